import pytest

from src.train import runtime


@pytest.mark.parametrize(
    ("target", "compute_type", "composed", "multiple"), [("Ascend", "float16", False, 16), ("GPU", "float16", False, 8), ("CPU", "float32", True, 1)]
)
def test_each_device_has_its_settings(target, compute_type, composed, multiple):
    settings = runtime.settings(target)
    assert (settings.target, settings.compute_type, settings.composed_ops, settings.length_multiple) == (target, compute_type, composed, multiple)


def test_a_given_compute_type_is_kept():
    assert runtime.settings("CPU", "float16").compute_type == "float16"
    assert runtime.settings("Ascend", "bfloat16").compute_type == "bfloat16"


@pytest.mark.parametrize("target", ["CPU", "GPU"])
def test_bfloat16_is_refused_where_the_device_lacks_it(target):
    with pytest.raises(ValueError, match=f"bfloat16: {target}"):
        runtime.settings(target, "bfloat16")
