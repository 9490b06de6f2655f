import pytest

from benchmarks import ascend_kernels

LOG = """
[INFO] DEVICE(1,7f,python):2026-11-30 [executor.cc:326] PrintOpSelectedNum] 0 0 1 0 0 0 0 0
[INFO] DEVICE(1,7f,python):2026-11-30 [kernel_select.cc:9] SelectKernel] AddN select aclop kernel
[INFO] DEVICE(1,7f,python):2026-11-30 [executor.cc:326] PrintOpSelectedNum] 0 942 2 0 0 0 0 0
[INFO] DEVICE(1,7f,python):2026-11-30 [executor.cc:326] PrintOpSelectedNum] 0 24 4 0 0 0 0 0
[INFO] DEVICE(1,7f,python):2026-11-30 [executor.cc:326] PrintOpSelectedNum] 0 1504 19 0 0 0 0 0
Used peak memory usage (without fragments): 12870M
Actual peak memory usage (with fragments): 13697M
"""


def test_the_figures_of_a_log_are_read():
    found = ascend_kernels.count(LOG)
    assert (found["forward_backward"], found["update"], found["others"], found["aclop"]) == (944, 1523, 29, 26)
    assert (found["peak_mb"], found["peak_with_gaps_mb"], found["aclop_names"]) == (12870, 13697, ["AddN"])


def test_a_log_without_figures_is_refused():
    with pytest.raises(ValueError, match="no figures in the log, which ends: nothing"):
        ascend_kernels.count("nothing")


def test_more_than_a_tenth_is_growth():
    before = {"update": 100, "peak_mb": 1000, "aclop_names": []}
    assert ascend_kernels.grown(before, {"update": 110, "peak_mb": 1101, "aclop_names": ["AddN"]}) == ["peak_mb"]
    assert ascend_kernels.grown({}, {"update": 1}) == []
