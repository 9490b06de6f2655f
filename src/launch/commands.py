"""The processes of one host for each launcher: their variables, commands and logs. Nothing is started here.

rank_table: HCCL finds the ranks in a table of all devices. msrun: a scheduler on the first host brings the ranks together, as
MindSpore's msrun does. mpirun: Open MPI starts the ranks.
"""

import os
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGINT, SIGTERM, SIGUSR1, SIGUSR2, Signals
from typing import Any

from src.launch.rank_table_file import Device

# A process finds its rank (src/ranks.py) and its device by these; those that the caller was itself started with must not reach it.
RANK_VARIABLES = (
    *("MS_ROLE", "MS_WORKER_NUM", "MS_NODE_ID", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    *("RANK_SIZE", "RANK_ID", "RANK_TABLE_FILE", "DEVICE_ID"),
)


@dataclass(frozen=True)
class Program:
    """The program that every rank runs.

    command: python, script, flags.
    log_dir, log_name: output goes to {log_dir}/LOG{rank}/{log_name}.
    cores: numbers of the cores that this host's ranks share.
    bind: whether each rank is bound to its share of the cores.
    environ: the caller's environment.
    """

    command: tuple[str, ...]
    log_dir: str = "."
    log_name: str = "pretraining_log.txt"
    cores: tuple[int, ...] = (0,)
    bind: bool = True
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def log(self, rank: int) -> str:
        """Path of a rank's log."""
        return self.path(f"LOG{rank}", self.log_name)

    def path(self, *names: str) -> str:
        """A path below log_dir; relative if log_dir is."""
        return os.path.normpath(os.path.join(self.log_dir, *names))


@dataclass(frozen=True)
class Process:
    """One process of this host.

    name: shown to the user.
    environment: variables that are set in addition to the caller's.
    log: the file that receives its output.
    signals: signal -> the one to send instead, so that the ranks that mpirun starts receive the signal.
    """

    name: str
    environment: dict[str, str]
    command: tuple[str, ...]
    log: str
    signals: dict[int, Signals] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """All processes of this host.

    ranks: the ranks; for mpirun, mpirun itself.
    followed: the log of the lowest rank, shown while it grows.
    last_log: the log of the highest rank.
    scheduler, port: msrun's scheduler, and the port that it listens on.
    serves_others: whether ranks of other hosts need the scheduler too.
    """

    ranks: tuple[Process, ...]
    followed: str
    last_log: str
    scheduler: Process | None = None
    port: int | None = None
    serves_others: bool = False

    @property
    def other_logs(self) -> list[str]:
        """Logs of processes that are not ranks."""
        return [process.log for process in (self.scheduler, *self.ranks) if process and (process is self.scheduler or process.signals)]

    @property
    def unset(self) -> tuple[str, ...]:
        """Variables of the caller's environment that the processes must not inherit."""
        used = {name for process in self.ranks for name in process.environment}
        return tuple(name for name in RANK_VARIABLES if name not in used)


def rank_table_job(program: Program, table_file: Path | str, world_size: int, devices: Sequence[Device]) -> Job:
    """The ranks of one server of a rank table.

    Args:
        world_size: number of ranks on all servers.
        devices: the devices of this server.
    """
    shares = _Shares(program, len(devices))
    ranks = []
    for index, device in enumerate(devices):
        environment = {
            "RANK_ID": str(device.rank_id),
            "RANK_SIZE": str(world_size),
            "DEVICE_ID": str(device.device_id),
            "RANK_TABLE_FILE": os.path.abspath(table_file),
            "HCCL_CONNECT_TIMEOUT": _hccl_timeout(program),
            "DEPLOY_MODE": "0",  # as in the model zoo, like the next
            "GE_USE_STATIC_MEMORY": "1",
        }
        ranks.append(_make_rank(program, shares, device.rank_id, index, environment))
    return _make_job(program, ranks, [device.rank_id for device in devices])


def msrun_job(program: Program, device_num: int, scheduler: tuple[str, int], num_hosts: int = 1, host_rank: int = 0) -> Job:
    """The ranks of one of several hosts with as many processes each; on the first host also the scheduler.

    Args:
        device_num: number of processes on each host.
        scheduler: address of the first host, and a port there.
        host_rank: number of this host, from 0.
    """
    host, port = scheduler
    cluster = {"MS_WORKER_NUM": str(num_hosts * device_num), "MS_SCHED_HOST": host, "MS_SCHED_PORT": str(port)}
    shares = _Shares(program, device_num)
    numbers = range(host_rank * device_num, (host_rank + 1) * device_num)
    ranks = []
    for index, number in enumerate(numbers):
        environment = {"MS_ROLE": "MS_WORKER", "MS_NODE_ID": str(number), "DEVICE_ID": str(index), **cluster}
        environment["HCCL_CONNECT_TIMEOUT"] = _hccl_timeout(program)
        ranks.append(_make_rank(program, shares, number, index, environment))
    if host_rank:
        return _make_job(program, ranks, numbers)
    process = Process("scheduler", {"MS_ROLE": "MS_SCHED", **cluster}, tuple(program.command), program.path("scheduler.log"))
    return _make_job(program, ranks, numbers, scheduler=process, port=port, serves_others=num_hosts > 1)


# The bash around each rank of mpirun. After SIGTERM Open MPI kills every rank that does not end at once, but a rank saves first; and
# it kills all ranks when one ends with a code other than 0, as each rank does that was asked to stop. Therefore mpirun is sent SIGUSR1
# or SIGUSR2, which it passes on; bash sends the rank SIGTERM or SIGINT instead, and hides the rank's code. SIGINT is reset because it
# is ignored in the background. Tried with Open MPI 5.0.
_MPI_RANK = """\
log={log_dir}LOG$OMPI_COMM_WORLD_RANK/{log_name}
mkdir -p "${{log%/*}}"
{cores}(trap "" USR1 USR2; trap - INT; exec {command}) >"$log" 2>&1 &
trap "asked=0; kill -TERM $!" USR1
trap "asked=0; kill -INT $!" USR2
wait $!; code=$?
while kill -0 $! 2>/dev/null; do wait $!; code=$?; done
[ "${{asked:-$code}}" = 0 ] || echo "rank $OMPI_COMM_WORLD_RANK ended with code $code; its log: $log" >&2
exit ${{asked:-$code}}"""


def mpirun_job(program: Program, device_num: int) -> Job:
    """mpirun, which starts the ranks."""
    shares = _Shares(program, device_num)
    command = shlex.join(program.command)
    cores = ""
    if shares.bound:
        cores = f"cores=({' '.join(shares.names)})\n"
        command = f'taskset -c "${{cores[OMPI_COMM_WORLD_LOCAL_RANK]}}" {command}'
    log_dir = "" if program.path() == "." else shlex.quote(program.path() + "/")
    script = _MPI_RANK.format(log_dir=log_dir, log_name=shlex.quote(program.log_name), cores=cores, command=command)
    words = ("mpirun", "--allow-run-as-root", "-n", str(device_num), "--bind-to", "none", "bash", "-c", script)
    signals: dict[int, Signals] = {SIGTERM: SIGUSR1, SIGINT: SIGUSR2}
    process = Process("mpirun", {"OMP_NUM_THREADS": shares.threads}, words, program.path("mpirun.log"), signals)
    return _make_job(program, [process], range(device_num))


class _Shares:
    """Equal shares of this host's cores for `num_ranks` ranks; with fewer cores than ranks none is bound."""

    def __init__(self, program: Program, num_ranks: int):
        size = len(program.cores) // num_ranks
        self.bound = program.bind and size > 0
        self.names = [format_cores(program.cores[index * size : (index + 1) * size]) for index in range(num_ranks)]
        self.threads = program.environ.get("OMP_NUM_THREADS") or str(max(1, size))


def format_cores(numbers: Iterable[int]) -> str:
    """Numbers of cores as taskset reads them: 0,1,2,3,8 becomes 0-3,8."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in runs)


def _make_rank(program: Program, shares: _Shares, rank: int, index: int, environment: dict[str, str]) -> Process:
    binding = ("taskset", "-c", shares.names[index]) if shares.bound else ()
    environment = {**environment, "OMP_NUM_THREADS": shares.threads}
    return Process(f"rank {rank}", environment, (*binding, *program.command), program.log(rank))


def _make_job(program: Program, processes: Iterable[Process], numbers: Collection[int], **settings: Any) -> Job:
    return Job(tuple(processes), program.log(min(numbers)), program.log(max(numbers)), **settings)


def _hccl_timeout(program: Program) -> str:
    """Seconds to wait for other ranks; HCCL's default of 120 is too short if ranks first read a large dataset."""
    return program.environ.get("HCCL_CONNECT_TIMEOUT") or "600"
