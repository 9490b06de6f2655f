import dataclasses
from types import SimpleNamespace

import pytest

from src.config.finetune import FineTuneOptions
from src.config.training import DeviceSettings
from src.kernels import native
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
        unrolled=True,
    ),
    "GPU": DeviceSettings("GPU", "float16", composed_ops=False, length_multiple=8, hashed_dropout=False),
    "CPU": DeviceSettings("CPU", "float32", native_library=native.build(), float32_library=native.build()),
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


def test_bfloat16_is_refused_where_the_device_lacks_it():
    with pytest.raises(ValueError, match="bfloat16: GPU"):
        runtime.settings("GPU", "bfloat16")


def test_bfloat16_is_refused_on_a_processor_without_the_instructions(monkeypatch):
    monkeypatch.setattr(native, "describe_processor", lambda: "flags : fpu avx2 avx512f")
    with pytest.raises(ValueError, match="bfloat16: CPU has no bfloat16 matrix product here: the processor lacks AVX512-BF16; use float32"):
        runtime.settings("CPU", "bfloat16")


def test_bfloat16_is_refused_on_a_cpu_without_a_compiler(monkeypatch):
    monkeypatch.setattr(native, "build", lambda: None)
    with pytest.raises(ValueError, match="bfloat16: CPU .*C.. compiler"):
        runtime.settings("CPU", "bfloat16")


@pytest.mark.skipif(native.lacks_bfloat16(native.build()) is not None, reason="no bfloat16 product here")
def test_bfloat16_on_a_cpu_is_that_of_the_products_alone():
    device = runtime.settings("CPU", "bfloat16")
    assert device == dataclasses.replace(EXPECTED["CPU"], float32_library=None, bfloat16_library=native.build())
    assert (device.compute_type, device.product_type) == ("float32", "bfloat16")


@pytest.mark.parametrize("target", ["CPU", "Ascend"])
def test_tf32_is_the_gpus(target):
    with pytest.raises(ValueError, match=f"allow_tf32=true: {target} has no TF32"):
        runtime.settings(target, allow_tf32=True)
    assert runtime.settings("GPU", allow_tf32=True).allow_tf32
    assert not runtime.settings("GPU").allow_tf32


@pytest.mark.parametrize(("chip", "saturates"), [("910A", True), ("910B", False), ("A3", False)])
def test_the_910a_saturates(chip, saturates):
    assert runtime.settings("Ascend", chip=chip).saturates == saturates
    assert runtime.settings("Ascend", chip=chip).flash_attention != saturates  # CANN has the kernel from the 910B on


@pytest.mark.parametrize("mode", ["SATURATION_MODE", "INFNAN_MODE"])
def test_a_later_chip_saturates_if_told_to(mode, monkeypatch):
    monkeypatch.setenv("MS_ASCEND_CHECK_OVERFLOW_MODE", mode)
    assert runtime.settings("Ascend", chip="910B").saturates == (mode == "SATURATION_MODE")
    assert runtime.settings("Ascend", chip="910A").saturates
    assert not runtime.settings("CPU").saturates


def test_bfloat16_is_refused_on_the_910a():
    with pytest.raises(ValueError, match="bfloat16: the Ascend 910A has no bfloat16"):
        runtime.settings("Ascend", "bfloat16", chip="910A")


@pytest.fixture
def tell_chip(monkeypatch):
    """A function that makes the framework return a chip name."""
    return lambda name: monkeypatch.setattr(
        runtime, "MSContext", SimpleNamespace(get_instance=lambda: SimpleNamespace(get_ascend_soc_version=lambda: name))
    )


@pytest.mark.parametrize(
    ("told", "given", "chip"),
    [("ascend910", None, "910A"), ("ascend910b", "910B", "910B"), ("ascend910_93", None, "A3"), ("", "910A", "910A"), ("", None, "910B")],
)
def test_the_chip_is_the_frameworks_or_the_one_given(told, given, chip, tell_chip, caplog):
    tell_chip(told)
    assert runtime.find_chip(given, "Ascend") == chip
    assert ("taken as 910B" in caplog.text) == (not told and not given)


def test_another_chip_than_the_machines_is_refused(tell_chip):
    tell_chip("ascend910")
    with pytest.raises(ValueError, match="ascend_chip=910B: the chip of this machine is 910A"):
        runtime.find_chip("910B", "Ascend")


def test_a_chip_elsewhere_has_no_effect_and_is_told(caplog):
    assert runtime.find_chip("910A", "CPU") is None
    assert "ascend_chip=910A has no effect: the device is CPU" in caplog.text


@pytest.mark.parametrize("target", EXPECTED)
def test_data_sinks_everywhere_but_on_the_cpu(target):
    assert runtime.settings(target, sink=True).data_sink == (target != "CPU")
    assert not runtime.settings(target).data_sink


def test_recompute_is_told_to_save_nothing_on_a_cpu_without_a_compiler_alone(caplog):
    options = FineTuneOptions(use_recompute=True, data_dir="x")
    for target, told in (("Ascend", False), ("GPU", False), ("CPU", True)):
        caplog.clear()
        device = dataclasses.replace(runtime.settings(target, recompute=True), native_library=None)
        runtime.tell_of_settings(options, device)
        assert any(message.startswith("use_recompute=true saves nothing") for message in caplog.messages) == told
