"""What each device can do, and the settings that follow from it, whether the device is present or not: pure tables."""

import dataclasses
import re
from collections.abc import Mapping

from src.config.training import DeviceSettings


@dataclasses.dataclass(frozen=True)
class Capabilities:
    """What a kind of device can do.

    Attributes:
        best: the settings with everything that it has; compute_type is the one for "auto", recompute the form of recomputation.
        native_kernels: whether the kernels of src/kernels/native.cpp run on it.
        chips: chip -> what it can do, where that is less.
        peaks: chip, or a part of its name -> type of the products -> FLOP/s of its matrix products by the maker's public sheet, dense.
    """

    best: DeviceSettings
    bfloat16: bool = False
    tf32: bool = False
    native_kernels: bool = False
    chips: Mapping[str, "Capabilities"] = dataclasses.field(default_factory=dict)
    peaks: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)


_ASCEND = DeviceSettings(
    "Ascend",
    "float16",
    composed_ops=False,
    aclnn=True,
    flash_attention=True,
    length_multiple=16,
    data_sink=True,
    hashed_dropout=False,
    recompute="layer",
    unrolled=True,
)
_910A = dataclasses.replace(_ASCEND, flash_attention=False, saturates=True)
_GPU = DeviceSettings("GPU", "float16", composed_ops=False, length_multiple=8, data_sink=True, hashed_dropout=False, recompute="framework")
_ASCEND_PEAKS = {
    "910A": {"float16": 256e12},  # Huawei, launch of the Ascend 910, 2019-08-23
    "910B": {"float16": 313e12, "bfloat16": 313e12},  # Huawei, Atlas 800T A2: eight 910B3 of 2.5e15 together; other 910B differ
}
_GPU_PEAKS = {
    "V100": {"float16": 125e12, "float32": 15.7e12},  # NVIDIA, Tesla V100 data sheet: SXM2; PCIe has 112 and 14
    "A100": {"float16": 312e12, "tf32": 156e12, "float32": 19.5e12},  # NVIDIA, A100 Tensor Core GPU data sheet, without sparsity
}
DEVICES = {  # best first
    "Ascend": Capabilities(_ASCEND, bfloat16=True, chips={"910A": Capabilities(_910A)}, peaks=_ASCEND_PEAKS),
    "GPU": Capabilities(_GPU, tf32=True, peaks=_GPU_PEAKS),
    "CPU": Capabilities(DeviceSettings("CPU", "float32", recompute="layer"), native_kernels=True),
}


def settings(
    target: str,
    compute_type: str = "auto",
    sink: bool = False,
    recompute: bool = False,
    allow_tf32: bool = False,
    flash_attention: bool = True,
    jit_level: str = "O0",
    chip: str | None = None,
) -> DeviceSettings:
    """The settings that follow from a device.

    Args:
        target: Ascend, GPU or CPU.
        compute_type: auto, float32, float16 or bfloat16.
        sink: whether to feed data several steps at a time, if the device can.
        recompute: whether the backward pass recomputes the layers.
        allow_tf32: whether float32 matrix products may use TF32.
        flash_attention: whether attention may be one kernel, if the device has it.
        jit_level: optimisation level of Ascend's compiler.
        chip: 910A, 910B or A3, on Ascend.

    Raises:
        ValueError: the device lacks the compute type, or TF32.
    """
    device = DEVICES[target].chips.get(chip or "", DEVICES[target])
    best = device.best
    if allow_tf32 and not device.tf32:
        raise ValueError(f"allow_tf32=true: {target} has no TF32, a GPU has it")
    compute_type = best.compute_type if compute_type == "auto" else compute_type
    if compute_type == "bfloat16" and device.native_kernels:
        compute_type = "float32"  # that of all tensors: a kernel rounds the factors of products
    elif compute_type == "bfloat16" and not device.bfloat16:
        lacks = f"the {target} {chip} has no bfloat16" if DEVICES[target].bfloat16 else f"{target} has no bfloat16 matrix product here"
        raise ValueError(f"precision.compute_type=bfloat16: {lacks}; use float16 or float32")
    return dataclasses.replace(
        best,
        compute_type=compute_type,
        flash_attention=flash_attention and best.flash_attention and compute_type != "float32",
        jit_level=jit_level,
        data_sink=sink and best.data_sink,
        hashed_dropout=best.hashed_dropout or recompute and best.recompute == "framework",  # else recomputed layers drop others
        recompute=best.recompute if recompute else "none",
        allow_tf32=allow_tf32,
    )


def find_peak(device: DeviceSettings) -> float | None:
    """FLOP/s of the matrix products of a device by its maker's public sheet; None where the tables do not have it."""
    kind = "tf32" if device.allow_tf32 and device.compute_type == "float32" else device.product_type
    peaks = [peak for name, peak in DEVICES[device.target].peaks.items() if device.chip and re.search(rf"\b{name}\b", device.chip)]
    return peaks[0].get(kind) if peaks else None
