"""Which of several processes this one is: found in the environment that mpirun, msrun or a rank table's launcher leaves."""

import os
from dataclasses import dataclass

# launcher -> variables of the rank and of the number of ranks; the first launcher whose second variable is set counts
_VARIABLES = {
    "msrun": ("MS_NODE_ID", "MS_WORKER_NUM"),
    "mpirun": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    "rank_table": ("RANK_ID", "RANK_SIZE"),
}


@dataclass(frozen=True)
class Place:
    """One process among those that train together.

    launcher: msrun, mpirun, rank_table, or None for a process that was started alone.
    rank: from 0; None where msrun leaves it to the framework.
    world_size: number of processes.
    device_id: of this process on its host; None leaves it to the framework.
    is_scheduler: the process of msrun that only brings the others together.
    """

    launcher: str | None = None
    rank: int | None = 0
    world_size: int = 1
    device_id: int | None = None
    is_scheduler: bool = False


def _find_launcher(environ):
    return next((name for name, (_, size) in _VARIABLES.items() if environ.get(size)), None)


def find_rank(environ=os.environ):
    """The rank as the launcher tells it, a text; empty in a process that was started alone, or where msrun leaves it to the framework."""
    launcher = _find_launcher(environ)
    return environ.get(_VARIABLES[launcher][0], "") if launcher else ""


def find_place(environ=os.environ):
    """The Place that the environment tells.

    Raises:
        ValueError: a variable is no number, or the rank is not below the number of ranks.
    """
    launcher = _find_launcher(environ)
    if launcher is None:
        return Place()
    rank_name, size_name = _VARIABLES[launcher]
    size, rank = _read_number(environ, size_name), None
    if launcher != "msrun" or environ.get(rank_name, "").isdecimal():  # msrun's may be any name, then the framework numbers them
        rank = _read_number(environ, rank_name)
    if size < 1 or rank is not None and rank >= size:
        raise ValueError(f"{rank_name}={environ.get(rank_name)}, {size_name}={size}: ranks count from 0 and stay below their number")
    is_scheduler = environ.get("MS_ROLE") == "MS_SCHED"
    if rank is None and launcher != "msrun":
        raise ValueError(f"{size_name}={size}, but {rank_name} is not set")
    device = _read_number(environ, "OMPI_COMM_WORLD_LOCAL_RANK" if launcher == "mpirun" else "DEVICE_ID")
    return Place(launcher, rank, size, device, is_scheduler)


def _read_number(environ, name):
    text = environ.get(name)
    if not text:
        return None
    if not text.isdecimal():
        raise ValueError(f"{name}={text}: a number is expected")
    return int(text)
