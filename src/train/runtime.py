"""The devices: what each can do, the choice of one for a run, and its start. No other module asks which device there is."""

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import mindspore
from mindspore import device_context
from mindspore._c_expression import MSContext

from src import framework
from src.config.training import DeviceSettings
from src.log import logger
from src.models import native
from src.ranks import RankInfo, find_rank_info
from src.train import cluster

_ALONE = RankInfo()
_CHIPS = {"ascend910": "910A", "ascend910b": "910B", "ascend910_93": "A3"}  # by the framework's names


@dataclasses.dataclass(frozen=True)
class Capabilities:
    """What a kind of device can do, and the form of the ops that is fast on it: see DeviceSettings."""

    is_available: Callable[[], bool]
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


DEVICES = {  # best first
    "Ascend": Capabilities(
        device_context.ascend.is_available, bfloat16=True, length_multiple=16, aclnn=True, flash_attention=True, unrolled=True
    ),
    "GPU": Capabilities(device_context.gpu.is_available, tf32=True, length_multiple=8, recompute="framework"),
    "CPU": Capabilities(lambda: True, compute_type="float32", composed_ops=True, native_kernels=True, data_sink=False, hashed_dropout=True),
}
# properties in which a chip differs from others of its kind
_CHIP_DIFFERENCES: dict[str, dict[str, Any]] = {"910A": {"bfloat16": False, "flash_attention": False, "saturates": True}}


def available_devices() -> list[str]:
    """Names of the devices that this machine can run on, best first."""
    return [target for target, device in DEVICES.items() if device.is_available()]


def settings(
    target: str,
    compute_type: str = "auto",
    sink: bool = False,
    process: RankInfo = _ALONE,
    recompute: bool = False,
    allow_tf32: bool = False,
    flash_attention: bool = True,
    jit_level: str = "O0",
    chip: str | None = None,
) -> DeviceSettings:
    """The settings that follow from a device, whether it is present or not.

    Args:
        target: Ascend, GPU or CPU.
        compute_type: auto, float32, float16 or bfloat16.
        sink: whether to feed data several steps at a time, if the device can.
        process: this process among those that train together.
        recompute: whether the backward pass recomputes the layers.
        allow_tf32: whether float32 matrix products may use TF32.
        flash_attention: whether attention may be one kernel, if the device has it.
        jit_level: optimisation level of Ascend's compiler.
        chip: 910A, 910B or A3, on Ascend.

    Raises:
        ValueError: the device lacks the compute type, or TF32.
    """
    device = dataclasses.replace(DEVICES[target], **_CHIP_DIFFERENCES.get(chip or "", {}))
    if allow_tf32 and not device.tf32:
        raise ValueError(f"allow_tf32=true: {target} has no TF32, a GPU has it")
    compute_type = device.compute_type if compute_type == "auto" else compute_type
    native_library = native.build() if device.native_kernels else None
    bfloat16_library = None
    if compute_type == "bfloat16" and device.native_kernels:
        if reason := native.lacks_bfloat16(native_library):
            raise ValueError(f"precision.compute_type=bfloat16: {target} has no bfloat16 matrix product here: {reason}; use float32")
        compute_type, bfloat16_library = "float32", native_library
    elif compute_type == "bfloat16" and not device.bfloat16:
        lacks = f"the {target} {chip} has no bfloat16" if DEVICES[target].bfloat16 else f"{target} has no bfloat16 matrix product here"
        raise ValueError(f"precision.compute_type=bfloat16: {lacks}; use float16 or float32")
    assert process.rank is not None  # the framework has assigned it
    told_to_saturate = device.aclnn and os.environ.get("MS_ASCEND_CHECK_OVERFLOW_MODE") == "SATURATION_MODE"
    return DeviceSettings(
        target=target,
        compute_type=compute_type,
        composed_ops=device.composed_ops,
        aclnn=device.aclnn,
        flash_attention=flash_attention and device.flash_attention and compute_type != "float32",
        jit_level=jit_level,
        native_library=native_library,
        bfloat16_library=bfloat16_library,
        length_multiple=device.length_multiple,
        data_sink=sink and device.data_sink,
        hashed_dropout=device.hashed_dropout or recompute and device.recompute == "framework",  # else recomputed layers drop others
        recompute=device.recompute if recompute else "none",
        saturates=device.saturates or told_to_saturate,
        unrolled=device.unrolled,
        allow_tf32=allow_tf32,
        rank=process.rank,
        world_size=process.world_size,
        simulated=cluster.is_simulated(),
    )


def _choose_target(asked: str) -> str:
    present = available_devices()
    target = present[0] if asked == "auto" else asked
    if target not in present:
        raise ValueError(f"device_target={target}: no such device here; found {', '.join(present)}")
    return target


def start(options: Any) -> Any:
    """Choose and start the device.

    Args:
        options: RunOptions of a script.

    Returns:
        The options with device_target and compute type resolved and `device` filled in.

    Raises:
        ValueError: the device is not there, or lacks the compute type.
    """
    process = find_rank_info()
    if process.is_scheduler:
        cluster.run_scheduler()
    target = _choose_target(options.device_target)
    framework.run_as_graphs()
    if process.world_size > 1 or process.launcher == "msrun":
        process = cluster.join(process, target)
    else:
        mindspore.set_device(target, options.device_id if process.device_id is None else process.device_id)
    chip = find_chip(options.ascend_chip, target)
    device = settings(
        target,
        options.precision.compute_type,
        options.enable_data_sink,
        process,
        options.use_recompute,
        options.allow_tf32,
        options.use_flash_attention,
        options.jit_level,
        chip,
    )
    if target == "Ascend":
        framework.set_jit_level(device.jit_level)
    if device.allow_tf32:
        _allow_tf32(device)
    if device.world_size > 1:
        framework.sum_gradients_in_groups(device.world_size)
    mindspore.set_seed(options.seed)
    number = options.device_id if process.device_id is None else process.device_id
    logger.info(
        f"device {target}:{number}{f' chip={chip}' if chip else ''} rank={device.rank}/{device.world_size} "
        f"compute_type={device.product_type} mindspore={mindspore.__version__}"
    )
    tell_of_settings(options, device)
    return dataclasses.replace(
        options,
        device_target=target,
        device=device,
        precision=dataclasses.replace(options.precision, compute_type=device.product_type),
    )


def tell_of_settings(options: Any, device: DeviceSettings) -> None:
    """Log the options that have no effect, or a dangerous one, on a device with these settings."""
    if device.product_type == "float32" and options.precision.loss_scale != "none":
        logger.info("loss scaling is inactive: compute_type is float32")
    if device.composed_ops and device.recompute == "layer" and not device.native_library:
        logger.warning("use_recompute=true saves nothing without a C++ compiler: the framework's own kernels keep what they have computed")
    if options.enable_data_sink and not device.data_sink:
        logger.warning(f"enable_data_sink=true has no effect: {device.target} takes its data step by step")
    if device.saturates and device.compute_type == "float16" and options.precision.loss_scale == "none":
        logger.warning("precision.loss_scale=none: this chip saturates, so that overflows are neither seen nor skipped")


def find_chip(given: str | None, target: str) -> str | None:
    """The chip of a started Ascend: the one the framework names, otherwise the one given; None on other devices.

    Raises:
        ValueError: the framework names another chip than the one given.
    """
    if target != "Ascend":
        if given:
            logger.warning(f"ascend_chip={given} has no effect: the device is {target}")
        return None
    reported = MSContext.get_instance().get_ascend_soc_version()  # "" in a dry run
    chip = _CHIPS.get(reported)
    if given and chip and given != chip:
        raise ValueError(f"ascend_chip={given}: the chip of this machine is {chip}")
    if not given and not chip:
        logger.warning(f"the framework calls the chip '{reported}', which is not known here: taken as 910B; --ascend_chip tells another")
    return chip or given or "910B"


def _allow_tf32(device: DeviceSettings) -> None:
    """Allow TF32 in matrix products; convolutions, which have a switch of their own, do not occur here."""
    device_context.gpu.op_precision.matmul_allow_tf32(True)
    if device.compute_type != "float32":
        logger.warning(f"allow_tf32=true changes no product of {device.compute_type}; it is for --precision.compute_type float32")
