"""What each device can do, and the settings that follow from it, whether the device is present or not: a pure table."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from src.config.training import DeviceSettings


@dataclasses.dataclass(frozen=True)
class Capabilities:
    """What a kind of device can do, and the form of the ops that is fast on it: see DeviceSettings."""

    compute_type: str = "float16"  # the compute type for "auto"
    bfloat16: bool = False
    tf32: bool = False
    length_multiple: int = 1
    composed_ops: bool = False
    native_kernels: bool = False
    aclnn: bool = False
    flash_attention: bool = False
    saturates: bool = False
    unrolled: bool = False
    data_sink: bool = True
    hashed_dropout: bool = False
    recompute: str = "layer"  # the form of recomputation
    chips: Mapping[str, dict[str, Any]] = dataclasses.field(default_factory=dict)  # chip -> properties in which it differs


DEVICES = {  # best first
    "Ascend": Capabilities(
        bfloat16=True,
        length_multiple=16,
        aclnn=True,
        flash_attention=True,
        unrolled=True,
        chips={"910A": {"bfloat16": False, "flash_attention": False, "saturates": True}},
    ),
    "GPU": Capabilities(tf32=True, length_multiple=8, recompute="framework"),
    "CPU": Capabilities(compute_type="float32", composed_ops=True, native_kernels=True, data_sink=False, hashed_dropout=True),
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
    device = dataclasses.replace(DEVICES[target], **DEVICES[target].chips.get(chip or "", {}))
    if allow_tf32 and not device.tf32:
        raise ValueError(f"allow_tf32=true: {target} has no TF32, a GPU has it")
    compute_type = device.compute_type if compute_type == "auto" else compute_type
    if compute_type == "bfloat16" and not device.bfloat16:
        lacks = f"the {target} {chip} has no bfloat16" if DEVICES[target].bfloat16 else f"{target} has no bfloat16 matrix product here"
        raise ValueError(f"precision.compute_type=bfloat16: {lacks}; use float16 or float32")
    return DeviceSettings(
        target=target,
        compute_type=compute_type,
        composed_ops=device.composed_ops,
        aclnn=device.aclnn,
        flash_attention=flash_attention and device.flash_attention and compute_type != "float32",
        jit_level=jit_level,
        length_multiple=device.length_multiple,
        data_sink=sink and device.data_sink,
        hashed_dropout=device.hashed_dropout or recompute and device.recompute == "framework",  # else recomputed layers drop others
        recompute=device.recompute if recompute else "none",
        saturates=device.saturates,
        unrolled=device.unrolled,
        allow_tf32=allow_tf32,
    )
