"""Bring the ranks of a training together: HCCL, NCCL or MCCL, with the framework's own cluster instead of an MPI library."""

import dataclasses
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import mindspore
from mindspore import communication

from src import signals
from src.launch.ports import is_listening
from src.ranks import RankInfo
from src.records.mindrecord import find_reason

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


def is_simulated() -> bool:
    """Whether the framework compiles without launching kernels: this single process then plays one of the ranks."""
    return "MS_SIMULATION_LEVEL" in os.environ


def run_scheduler() -> None:
    """Act as msrun's scheduler: it brings the ranks together, and the process exits when they have ended.

    Raises:
        ValueError: another program listens on its port, or ranks are missing.
    """
    _check_port()
    mindspore.set_device("CPU")
    with signals.ended_by_sigterm(), _named_errors():
        communication.init()
    sys.exit(0)


def _check_port() -> None:
    port = os.environ.get("MS_SCHED_PORT", "")
    if port.isdecimal() and is_listening(int(port)):
        raise ValueError(f"MS_SCHED_PORT={port}: another program of this host listens on the port; set another for all ranks")


@contextmanager
def _named_errors() -> Iterator[None]:
    """Turn the framework's error, of many lines, into a ValueError that names the address where the ranks meet."""
    try:
        yield
    except RuntimeError as error:
        address = ":".join(os.environ.get(name, "") for name in ("MS_SCHED_HOST", "MS_SCHED_PORT"))
        raise ValueError(f"the ranks do not meet at {address}, where another job may be: {find_reason(error)}") from None


def join(process: RankInfo, target: str) -> RankInfo:
    """Start the device of one rank and its communication with the others.

    Returns:
        `process` with the rank that the framework assigns.
    """
    if target == "CPU":
        process = dataclasses.replace(process, device_id=0)
    mindspore.set_device(target, process.device_id)
    by_table = process.launcher == "rank_table" and target == "Ascend" and "RANK_TABLE_FILE" in os.environ
    if process.launcher != "msrun" and not by_table and not is_simulated():
        become_worker(process)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))  # on a single core its threads miss each other's connections: 5 s become 60
    try:
        with signals.ended_by_sigterm(), _named_errors():
            communication.init()
    finally:
        os.sched_setaffinity(0, cores)
    return dataclasses.replace(process, rank=communication.get_rank(), world_size=communication.get_group_size())


def become_worker(process: RankInfo) -> None:
    """Let the framework's own cluster join processes that mpirun started, or that have only RANK_ID and RANK_SIZE.

    Rank 0 starts the scheduler. With several hosts, MS_SCHED_HOST must name the host of rank 0.

    Raises:
        ValueError: several hosts, and MS_SCHED_HOST is not set; or another program listens on the scheduler's port.
    """
    environ = os.environ
    if "MS_SCHED_HOST" not in environ and environ.get("OMPI_COMM_WORLD_LOCAL_SIZE", str(process.world_size)) != str(process.world_size):
        raise ValueError("the ranks are on several hosts: give mpirun -x MS_SCHED_HOST=ADDRESS, that of the host of rank 0")
    job = environ.get("PMIX_NAMESPACE") or environ.get("OMPI_MCA_ess_base_jobid")
    port = _FIRST_PORT + zlib.crc32(job.encode()) % _PORTS if job else _SCHEDULER_PORT
    environ.setdefault("MS_SCHED_HOST", "127.0.0.1")
    environ.setdefault("MS_SCHED_PORT", str(port))
    environ |= {"MS_WORKER_NUM": str(process.world_size), "MS_NODE_ID": str(process.rank), "MS_ROLE": "MS_WORKER"}
    for name in ("OMPI_COMMAND", "PMIX_RANK"):  # they would make the framework take its MPI library
        environ.pop(name, None)
    if process.rank == 0:
        _check_port()
        subprocess.Popen([sys.executable, "-c", _SCHEDULER], env={**environ, "MS_ROLE": "MS_SCHED"}, stdin=subprocess.DEVNULL)
