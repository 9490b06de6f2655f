"""The device: which one, what follows from it, and starting it. The only place that asks."""

import dataclasses

import mindspore
from mindspore import context

from src.config.training import DeviceSettings
from src.log import logger
from src.models import native


def available_devices():
    """Names of the devices that this machine can run on, best first."""
    found = []
    for target in ("Ascend", "GPU"):
        try:
            usable = mindspore.hal.is_available(target)
        except (RuntimeError, ValueError):
            usable = False
        if usable:
            found.append(target)
    return [*found, "CPU"]


def settings(target, compute_type="auto", sink=False):
    """What follows from a device, for any device name, present or not.

    Args:
        target: Ascend, GPU or CPU.
        compute_type: auto, float32, float16 or bfloat16.
        sink: whether data is to be fed several steps at a time; the CPU cannot.

    Raises:
        ValueError: a compute type that the device lacks.
    """
    if compute_type == "auto":
        compute_type = "float32" if target == "CPU" else "float16"
    if compute_type == "bfloat16" and target != "Ascend":
        raise ValueError(f"precision.compute_type=bfloat16: {target} has no bfloat16 matrix product here; use float16 or float32")
    return DeviceSettings(
        target=target,
        compute_type=compute_type,
        composed_ops=target == "CPU",
        native_library=native.build() if target == "CPU" else None,
        length_multiple={"Ascend": 16, "GPU": 8, "CPU": 1}[target],
        data_sink=sink and target != "CPU",
        has_float64=target != "Ascend",
    )


def start(options):
    """Choose and start the device.

    Args:
        options: RunOptions.

    Returns:
        The options with device_target and compute type resolved and `device` filled in.

    Raises:
        ValueError: the device is not there, or lacks the compute type.
    """
    present = available_devices()
    target = present[0] if options.device_target == "auto" else options.device_target
    if target not in present:
        raise ValueError(f"device_target={target}: no such device here; found {', '.join(present)}")
    device = settings(target, options.precision.compute_type, options.enable_data_sink)
    if options.enable_data_sink and not device.data_sink:
        logger.warning(f"enable_data_sink=true has no effect: {target} takes its data step by step")
    mindspore.set_context(mode=context.GRAPH_MODE)
    mindspore.set_device(target, options.device_id)
    mindspore.set_seed(options.seed)
    logger.info(f"device {target}:{options.device_id} compute_type={device.compute_type} mindspore={mindspore.__version__}")
    if device.compute_type == "float32" and options.precision.loss_scale != "none":
        logger.info("loss scaling is inactive: compute_type is float32")
    return dataclasses.replace(
        options,
        device_target=target,
        device=device,
        precision=dataclasses.replace(options.precision, compute_type=device.compute_type),
    )
