import pytest

from src.config.training import DeviceSettings
from src.models import native
from src.train import runtime

EXPECTED = {
    "Ascend": DeviceSettings(
        "Ascend",
        "float16",
        composed_ops=False,
        aclnn=True,
        flash_attention=True,
        length_multiple=16,
        hashed_dropout=False,
        has_float64=False,
    ),
    "GPU": DeviceSettings("GPU", "float16", composed_ops=False, length_multiple=8, hashed_dropout=False),
    "CPU": DeviceSettings("CPU", "float32", composed_ops=True, native_library=native.build(), length_multiple=1),
}


@pytest.mark.parametrize("target", EXPECTED)
def test_each_device_has_its_settings(target):
    assert runtime.settings(target) == EXPECTED[target]


@pytest.mark.parametrize(("target", "form"), [("CPU", "layer"), ("GPU", "framework"), ("Ascend", "layer")])
def test_layers_are_computed_again_by_what_the_device_does_best(target, form):
    assert (runtime.settings(target).recompute, runtime.settings(target, recompute=True).recompute) == ("none", form)
    assert runtime.settings(target, recompute=True).hashed_dropout == (target != "Ascend")  # a layer computed twice drops the same


def test_flash_attention_is_ascends_and_has_a_switch():
    assert not runtime.settings("Ascend", flash_attention=False).flash_attention
    assert not runtime.settings("Ascend", "float32").flash_attention
    assert not runtime.settings("GPU").flash_attention


def test_a_given_compute_type_is_kept():
    assert runtime.settings("CPU", "float16").compute_type == "float16"
    assert runtime.settings("Ascend", "bfloat16").compute_type == "bfloat16"


@pytest.mark.parametrize("target", ["CPU", "GPU"])
def test_bfloat16_is_refused_where_the_device_lacks_it(target):
    with pytest.raises(ValueError, match=f"bfloat16: {target}"):
        runtime.settings(target, "bfloat16")


@pytest.mark.parametrize("target", ["CPU", "Ascend"])
def test_tf32_is_the_gpus(target):
    with pytest.raises(ValueError, match=f"allow_tf32=true: {target} has no TF32"):
        runtime.settings(target, allow_tf32=True)
    assert runtime.settings("GPU", allow_tf32=True).allow_tf32
    assert not runtime.settings("GPU").allow_tf32


@pytest.mark.parametrize("target", EXPECTED)
def test_data_sinks_everywhere_but_on_the_cpu(target):
    assert runtime.settings(target, sink=True).data_sink == (target != "CPU")
    assert not runtime.settings(target).data_sink
