"""The rank of this process among those that train together, as mpirun, msrun or a rank table's launcher sets it in the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

# launcher -> variables with the rank and the number of ranks; the first launcher whose second variable is set counts
_VARIABLES = {
    "msrun": ("MS_NODE_ID", "MS_WORKER_NUM"),
    "mpirun": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    "rank_table": ("RANK_ID", "RANK_SIZE"),
}


@dataclass(frozen=True)
class RankInfo:
    """One process among those that train together.

    launcher: msrun, mpirun, rank_table, or None for a process that was started alone.
    rank: from 0; None where msrun leaves the numbering to the framework.
    world_size: number of processes.
    device_id: the process's device on its host; None leaves the choice to the framework.
    is_scheduler: whether this is msrun's scheduler, which only brings the others together.
    """

    launcher: str | None = None
    rank: int | None = 0
    world_size: int = 1
    device_id: int | None = None
    is_scheduler: bool = False


def find_rank(environ: Mapping[str, str] = os.environ) -> str:
    """The rank as the launcher spells it; empty in a process that was started alone, or where msrun leaves it to the framework."""
    launcher = _find_launcher(environ)
    return environ.get(_VARIABLES[launcher][0], "") if launcher else ""


def find_rank_info(environ: Mapping[str, str] = os.environ) -> RankInfo:
    """The RankInfo that the environment describes.

    Raises:
        ValueError: a variable is not a number, or the rank is not below the number of ranks.
    """
    launcher = _find_launcher(environ)
    if launcher is None:
        return RankInfo()
    rank_name, size_name = _VARIABLES[launcher]
    size = _read_number(environ, size_name) or 0
    rank = None
    if launcher != "msrun" or environ.get(rank_name, "").isdecimal():  # msrun's may be any name; then the framework numbers the ranks
        rank = _read_number(environ, rank_name)
    if size < 1 or rank is not None and rank >= size:
        raise ValueError(f"{rank_name}={environ.get(rank_name)}, {size_name}={size}: ranks count from 0 and stay below their number")
    if rank is None and launcher != "msrun":
        raise ValueError(f"{size_name}={size}, but {rank_name} is not set")
    device_id = _read_number(environ, "OMPI_COMM_WORLD_LOCAL_RANK" if launcher == "mpirun" else "DEVICE_ID")
    return RankInfo(launcher, rank, size, device_id, is_scheduler=environ.get("MS_ROLE") == "MS_SCHED")


def _find_launcher(environ: Mapping[str, str]) -> str | None:
    return next((name for name, (_, size) in _VARIABLES.items() if environ.get(size)), None)


def _read_number(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name)
    if not text:
        return None
    if not text.isdecimal():
        raise ValueError(f"{name}={text}: a number is expected")
    return int(text)
