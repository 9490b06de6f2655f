"""The device: which one, what follows from it, and starting it, beside others where several ranks train together.

The only place that asks for the device.
"""

import dataclasses
import os
import subprocess
import sys
import zlib

import mindspore
from mindspore import communication, device_context
from mindspore._c_expression import MSContext

from src import framework, signals
from src.config.training import DeviceSettings
from src.log import logger
from src.models import native
from src.ranks import RankInfo, find_rank_info

_ALONE = RankInfo()
_CHIPS = {"ascend910": "910A", "ascend910b": "910B", "ascend910_93": "A3"}  # by the framework's names
_SCHEDULER_PORT = 8118  # msrun's
_FIRST_PORT, _PORTS = 20000, 10000  # below those that systems hand out themselves
_SCHEDULER = """
import signal
signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))  # which rank 0 blocks
signal.signal(signal.SIGINT, signal.SIG_DFL)
from mindspore import communication, set_device
set_device("CPU")
communication.init()
"""


def available_devices():
    """Names of the devices that this machine can run on, best first."""
    is_available = {"Ascend": device_context.ascend.is_available, "GPU": device_context.gpu.is_available, "CPU": lambda: True}
    return [target for target, answers in is_available.items() if answers()]


def settings(
    target,
    compute_type="auto",
    sink=False,
    place=_ALONE,
    recompute=False,
    allow_tf32=False,
    flash_attention=True,
    jit_level="O0",
    chip=None,
):
    """What follows from a device, for any device name, present or not.

    Args:
        target: Ascend, GPU or CPU.
        compute_type: auto, float32, float16 or bfloat16.
        sink: whether data is to be fed several steps at a time; the CPU cannot.
        place: of this process among those that train together.
        recompute: whether the backward pass is to compute the layers again.
        allow_tf32: whether float32 matrix products may be TF32's.
        flash_attention: whether attention may be one kernel, where the device has it.
        jit_level: of Ascend's compiler.
        chip: of an Ascend: 910A, 910B or A3.

    Raises:
        ValueError: a compute type or TF32, which the device lacks.
    """
    if allow_tf32 and target != "GPU":
        raise ValueError(f"allow_tf32=true: {target} has no TF32, a GPU has it")
    if compute_type == "auto":
        compute_type = "float32" if target == "CPU" else "float16"
    if compute_type == "bfloat16" and target != "Ascend":
        raise ValueError(f"precision.compute_type=bfloat16: {target} has no bfloat16 matrix product here; use float16 or float32")
    if compute_type == "bfloat16" and chip == "910A":
        raise ValueError("precision.compute_type=bfloat16: the Ascend 910A has no bfloat16; use float16 or float32")
    return DeviceSettings(
        target=target,
        compute_type=compute_type,
        composed_ops=target == "CPU",
        aclnn=target == "Ascend",
        flash_attention=flash_attention and target == "Ascend" and chip != "910A" and compute_type != "float32",
        jit_level=jit_level,
        native_library=native.build() if target == "CPU" else None,
        length_multiple={"Ascend": 16, "GPU": 8, "CPU": 1}[target],
        data_sink=sink and target != "CPU",
        hashed_dropout=target == "CPU" or (recompute and target == "GPU"),  # or layers computed again would drop others
        recompute=("framework" if target == "GPU" else "layer") if recompute else "none",
        saturates=chip == "910A" or target == "Ascend" and os.environ.get("MS_ASCEND_CHECK_OVERFLOW_MODE") == "SATURATION_MODE",
        unrolled=target == "Ascend",
        allow_tf32=allow_tf32,
        rank=place.rank,
        world_size=place.world_size,
        simulated=_is_simulated(),
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
    place = find_rank_info()
    if place.is_scheduler:
        _schedule()
    present = available_devices()
    target = present[0] if options.device_target == "auto" else options.device_target
    if target not in present:
        raise ValueError(f"device_target={target}: no such device here; found {', '.join(present)}")
    framework.run_as_graphs()
    if place.world_size > 1 or place.launcher == "msrun":
        place = _join(place, target)
    else:
        mindspore.set_device(target, options.device_id if place.device_id is None else place.device_id)
    chip = _find_chip(options.ascend_chip, target)
    device = settings(
        target,
        options.precision.compute_type,
        options.enable_data_sink,
        place,
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
    number = options.device_id if place.device_id is None else place.device_id
    logger.info(
        f"device {target}:{number}{f' chip={chip}' if chip else ''} rank={device.rank}/{device.world_size} "
        f"compute_type={device.compute_type} mindspore={mindspore.__version__}"
    )
    tell_of_settings(options, device)
    return dataclasses.replace(
        options,
        device_target=target,
        device=device,
        precision=dataclasses.replace(options.precision, compute_type=device.compute_type),
    )


def tell_of_settings(options, device):
    """Log which settings of RunOptions have no effect, or a dangerous one, on a device as `settings` describes it."""
    if device.compute_type == "float32" and options.precision.loss_scale != "none":
        logger.info("loss scaling is inactive: compute_type is float32")
    if device.composed_ops and device.recompute == "layer" and not device.native_library:
        logger.warning("use_recompute=true saves nothing without a C++ compiler: the framework's own kernels keep what they have computed")
    if options.enable_data_sink and not device.data_sink:
        logger.warning(f"enable_data_sink=true has no effect: {device.target} takes its data step by step")
    if device.saturates and device.compute_type == "float16" and options.precision.loss_scale == "none":
        logger.warning("precision.loss_scale=none: this chip saturates, so that overflows are neither seen nor skipped")


def _find_chip(given, target):
    """The chip of a started Ascend, by the framework or, where it does not tell, as given; None on other devices.

    Raises:
        ValueError: another one is given.
    """
    if target != "Ascend":
        if given:
            logger.warning(f"ascend_chip={given} has no effect: the device is {target}")
        return None
    told = MSContext.get_instance().get_ascend_soc_version()  # "" in a dry run
    chip = _CHIPS.get(told)
    if given and chip and given != chip:
        raise ValueError(f"ascend_chip={given}: the chip of this machine is {chip}")
    if not given and not chip:
        logger.warning(f"the framework calls the chip '{told}', which is not known here: taken as 910B; --ascend_chip tells another")
    return chip or given or "910B"


def _allow_tf32(device):
    """Networks have no convolutions, whose switch is another one."""
    device_context.gpu.op_precision.matmul_allow_tf32(True)
    if device.compute_type != "float32":
        logger.warning(f"allow_tf32=true changes no product of {device.compute_type}; it is for --precision.compute_type float32")


def _schedule():
    """The life of msrun's scheduler: it brings the ranks together, and ends when they have ended."""
    mindspore.set_device("CPU")
    with signals.ended_by_sigterm():
        communication.init()
    sys.exit(0)


def _join(place, target):
    """Start the device of one rank, and its communication with the others: HCCL, NCCL or MCCL.

    Returns:
        the RankInfo with the rank that the framework tells.
    """
    if target == "CPU":
        place = dataclasses.replace(place, device_id=0)
    mindspore.set_device(target, place.device_id)
    by_table = place.launcher == "rank_table" and target == "Ascend" and "RANK_TABLE_FILE" in os.environ
    if place.launcher != "msrun" and not by_table and not _is_simulated():
        _become_worker(place)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count()))  # on a single core its threads miss each other's connections: 5 s become 60
    try:
        with signals.ended_by_sigterm():
            communication.init()
    finally:
        os.sched_setaffinity(0, cores)
    return dataclasses.replace(place, rank=communication.get_rank(), world_size=communication.get_group_size())


def _is_simulated():
    """Whether the framework compiles and skips the launches: this process alone stands for one of the ranks."""
    return "MS_SIMULATION_LEVEL" in os.environ


def _become_worker(place):
    """Let the framework's own cluster bring together what mpirun, or RANK_ID and RANK_SIZE alone, started; no MPI library is needed.

    Rank 0 starts the scheduler. Where hosts differ, MS_SCHED_HOST must name rank 0's.

    Raises:
        ValueError: several hosts, and MS_SCHED_HOST is not set.
    """
    environ = os.environ
    if "MS_SCHED_HOST" not in environ and environ.get("OMPI_COMM_WORLD_LOCAL_SIZE", str(place.world_size)) != str(place.world_size):
        raise ValueError("the ranks are on several hosts: give mpirun -x MS_SCHED_HOST=ADDRESS, that of the host of rank 0")
    job = environ.get("PMIX_NAMESPACE") or environ.get("OMPI_MCA_ess_base_jobid")
    port = _FIRST_PORT + zlib.crc32(job.encode()) % _PORTS if job else _SCHEDULER_PORT
    environ.setdefault("MS_SCHED_HOST", "127.0.0.1")
    environ.setdefault("MS_SCHED_PORT", str(port))
    environ |= {"MS_WORKER_NUM": str(place.world_size), "MS_NODE_ID": str(place.rank), "MS_ROLE": "MS_WORKER"}
    for name in ("OMPI_COMMAND", "PMIX_RANK"):  # by these it would take its MPI library instead
        environ.pop(name, None)
    if place.rank == 0:
        subprocess.Popen([sys.executable, "-c", _SCHEDULER], env={**environ, "MS_ROLE": "MS_SCHED"}, stdin=subprocess.DEVNULL)
