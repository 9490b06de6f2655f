"""The choice of a device for a run, and its start. No other module asks which device there is."""

import dataclasses
import functools
import os
import time
from collections.abc import Callable
from typing import Any

import mindspore
import numpy as np
from mindspore import device_context
from mindspore._c_expression import MSContext

from src import framework
from src.config import devices
from src.config.training import DeviceSettings, RunOptions
from src.kernels import native
from src.log import logger, start_up
from src.models.native_layers import Bfloat16Linear
from src.ranks import RankInfo, find_rank_info
from src.train import cluster

_ALONE = RankInfo()
_PRODUCT, _PRODUCTS = 1024, 4  # size and number of the products that measure a CPU's peak
_CHIPS = {"ascend910": "910A", "ascend910b": "910B", "ascend910_93": "A3"}  # by the framework's names


_PRESENT: dict[str, Callable[[], bool]] = {
    "Ascend": device_context.ascend.is_available,
    "GPU": device_context.gpu.is_available,
    "CPU": lambda: True,
}


def available_devices() -> list[str]:
    """Names of the devices that this machine can run on, best first."""
    return [target for target in devices.DEVICES if _PRESENT[target]()]


def settings(target: str, compute_type: str = "auto", process: RankInfo = _ALONE, **choices: Any) -> DeviceSettings:
    """The settings that follow from a device, whether it is present or not, and from this process.

    Args:
        target, compute_type, choices: see `devices.settings`.
        process: this process among those that train together.

    Raises:
        ValueError: the device lacks the compute type, or TF32.
    """
    device = devices.settings(target, compute_type, **choices)
    has_kernels = devices.DEVICES[target].native_kernels
    library = native.build() if has_kernels else None
    float32_library, bfloat16_library = None, None
    if compute_type == "bfloat16" and has_kernels:
        if reason := native.lacks_bfloat16(library):
            raise ValueError(f"precision.compute_type=bfloat16: {target} has no bfloat16 matrix product here: {reason}; use float32")
        bfloat16_library = library
    elif device.compute_type == "float32" and native.has_float32(library):
        float32_library = library
    assert process.rank is not None  # the framework has assigned it
    told_to_saturate = device.aclnn and os.environ.get("MS_ASCEND_CHECK_OVERFLOW_MODE") == "SATURATION_MODE"
    return dataclasses.replace(
        device,
        native_library=library,
        float32_library=float32_library,
        bfloat16_library=bfloat16_library,
        saturates=device.saturates or told_to_saturate,
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
        options: settings of a model or of a run.

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
    is_joined = process.world_size > 1 or process.launcher == "msrun"
    if is_joined:
        process = cluster.join(process, target)
    number = options.device_id if process.device_id is None else process.device_id
    if not is_joined:
        mindspore.set_device(target, number)
    chip = find_chip(options.ascend_chip, target)
    device = settings(
        target,
        options.precision.compute_type,
        process,
        sink=options.enable_data_sink,
        recompute=options.use_recompute,
        allow_tf32=options.allow_tf32 or is_told_of_tf32(target),
        flash_attention=options.use_flash_attention,
        jit_level=options.jit_level,
        chip=chip,
    )
    device = dataclasses.replace(device, chip=framework.name_gpu(number) if target == "GPU" else chip)
    if target == "Ascend":
        framework.set_jit_level(device.jit_level)
    if device.allow_tf32:
        _allow_tf32(device)
    if device.world_size > 1:
        framework.sum_gradients_in_groups(device.world_size)
    if isinstance(options, RunOptions):
        mindspore.set_seed(options.seed)
    logger.info(
        f"device {target}:{number}{f' chip={chip}' if chip else ''} rank={device.rank}/{device.world_size} "
        f"compute_type={device.product_type} mindspore={mindspore.__version__}"
    )
    tell_of_settings(options, device)
    start_up.end("device")
    return dataclasses.replace(
        options,
        device_target=target,
        device=device,
        precision=dataclasses.replace(options.precision, compute_type=device.product_type),
    )


def share(started: Any, options: Any) -> Any:
    """The options with the device on which others of the same run have been started."""
    return dataclasses.replace(options, device_target=started.device_target, device=started.device, precision=started.precision)


def find_peak(device: DeviceSettings) -> float | None:
    """FLOP/s of this device's matrix products, of which a training reaches a share: measured on a CPU, else from the makers' sheets.

    None, told once, of a device or a type that the tables do not have.
    """
    if devices.DEVICES[device.target].native_kernels:
        peak: float | None = _measure_peak(device.bfloat16_library)
        kind = "bfloat16" if device.bfloat16_library else "float32"
        logger.info(f"peak={peak:.3g} FLOP/s, measured by {kind} products of {_PRODUCT} x {_PRODUCT}")
        return peak
    peak = devices.find_peak(device)
    told = "unknown: the share of it (mfu) is not told" if peak is None else f"{peak:.3g} FLOP/s, by the maker's sheet"
    logger.info(f"peak of {device.chip} in {device.product_type}: {told}")
    return peak


@functools.cache
def _measure_peak(bfloat16_library: str | None) -> float:
    """FLOP/s of the fastest of a few square products on this CPU: NumPy's in float32, or the kernels' in bfloat16."""
    x = np.ones((_PRODUCT, _PRODUCT), np.float32)
    factor, bias = mindspore.Tensor(x), mindspore.Tensor(x[0])
    linear = Bfloat16Linear(bfloat16_library) if bfloat16_library else None

    def product() -> np.ndarray:
        return x @ x if linear is None else linear(factor, factor, bias).asnumpy()

    product()  # wakes the threads, and compiles
    seconds = []
    for _ in range(_PRODUCTS):
        begun = time.perf_counter()
        product()
        seconds.append(time.perf_counter() - begun)
    return 2 * _PRODUCT**3 / min(seconds)


def is_told_of_tf32(target: str) -> bool:
    """Whether Enflame's variable asks for TF32 and the device has it."""
    if os.environ.get("ENFLAME_ENABLE_TF32", "").lower() != "true":
        return False
    has_it = devices.DEVICES[target].tf32
    effect = "allow_tf32=true, which counts with --precision.compute_type float32" if has_it else f"no effect, as {target} has no TF32"
    logger.info(f"ENFLAME_ENABLE_TF32=true: {effect}")
    return has_it


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
