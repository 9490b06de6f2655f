import pytest

from src.config.training import DeviceSettings
from src.models import native
from src.train import runtime

EXPECTED = {
    "Ascend": DeviceSettings("Ascend", "float16", composed_ops=False, length_multiple=16, has_float64=False),
    "GPU": DeviceSettings("GPU", "float16", composed_ops=False, length_multiple=8),
    "CPU": DeviceSettings("CPU", "float32", composed_ops=True, native_library=native.build(), length_multiple=1),
}


@pytest.mark.parametrize("target", EXPECTED)
def test_each_device_has_its_settings(target):
    assert runtime.settings(target) == EXPECTED[target]


def test_a_given_compute_type_is_kept():
    assert runtime.settings("CPU", "float16").compute_type == "float16"
    assert runtime.settings("Ascend", "bfloat16").compute_type == "bfloat16"


@pytest.mark.parametrize("target", ["CPU", "GPU"])
def test_bfloat16_is_refused_where_the_device_lacks_it(target):
    with pytest.raises(ValueError, match=f"bfloat16: {target}"):
        runtime.settings(target, "bfloat16")


@pytest.mark.parametrize("target", EXPECTED)
def test_data_sinks_everywhere_but_on_the_cpu(target):
    assert runtime.settings(target, sink=True).data_sink == (target != "CPU")
    assert not runtime.settings(target).data_sink
