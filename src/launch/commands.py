"""The processes of one host, by launcher: their variables, commands and logs. Nothing is started here.

rank_table: HCCL finds the ranks in a table of all devices. msrun: a scheduler on the first host brings the ranks together; this is
what MindSpore's msrun does. mpirun: Open MPI starts the ranks.
"""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from signal import SIGINT, SIGTERM, SIGUSR1, SIGUSR2

# By these a rank finds its place (src/ranks.py) and its device; what the caller was itself started with must not reach it.
RANK_VARIABLES = (
    *("MS_ROLE", "MS_WORKER_NUM", "MS_NODE_ID", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    *("RANK_SIZE", "RANK_ID", "RANK_TABLE_FILE", "DEVICE_ID"),
)


@dataclass(frozen=True)
class Program:
    """What every rank runs.

    command: python, script, flags.
    log_dir, log_name: output goes to {log_dir}/LOG{rank}/{log_name}.
    cores: numbers of the cores that this host's ranks share; bind: whether each is kept on its share.
    environ: the caller's.
    """

    command: tuple
    log_dir: str = "."
    log_name: str = "pretraining_log.txt"
    cores: tuple = (0,)
    bind: bool = True
    environ: Mapping = field(default_factory=lambda: os.environ)

    def log(self, rank):
        """Path of a rank's log."""
        return self.path(f"LOG{rank}", self.log_name)

    def path(self, *names):
        """A path below log_dir; relative where that is."""
        return os.path.normpath(os.path.join(self.log_dir, *names))


@dataclass(frozen=True)
class Process:
    """One process of this host.

    name: for people. environment: what is set beside the caller's variables. log: file of its output.
    signals: what to send it instead, so that its ranks receive SIGTERM or SIGINT.
    """

    name: str
    environment: dict
    command: tuple
    log: str
    signals: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """All processes of this host.

    ranks: tuple of Process. followed: the log of the lowest rank. last_log: of the highest.
    scheduler: a Process, or None; port: on which it listens; serves_others: ranks of other hosts need it too.
    """

    ranks: tuple
    followed: str
    last_log: str
    scheduler: Process | None = None
    port: int | None = None
    serves_others: bool = False

    @property
    def other_logs(self):
        """Logs of processes that are no ranks."""
        return [process.log for process in (self.scheduler, *self.ranks) if process and (process is self.scheduler or process.signals)]

    @property
    def unset(self):
        """Names of variables that the caller's environment must not hand on."""
        used = {name for process in self.ranks for name in process.environment}
        return tuple(name for name in RANK_VARIABLES if name not in used)


def rank_table_job(program, table_file, world_size, devices):
    """The ranks of one server of a rank table.

    Args:
        table_file: its path.
        world_size: ranks of all servers.
        devices: this server's, each with rank_id and device_id.
    """
    shares, ranks = _Shares(program, len(devices)), []
    for index, device in enumerate(devices):
        environment = {
            "RANK_ID": str(device.rank_id),
            "RANK_SIZE": str(world_size),
            "DEVICE_ID": str(device.device_id),
            "RANK_TABLE_FILE": os.path.abspath(table_file),
            "HCCL_CONNECT_TIMEOUT": _hccl_timeout(program),
            "DEPLOY_MODE": "0",  # this and the next: the model zoo's
            "GE_USE_STATIC_MEMORY": "1",
        }
        ranks.append(_rank(program, shares, device.rank_id, index, environment))
    return _job(program, ranks, [device.rank_id for device in devices])


def msrun_job(program, device_num, scheduler, num_hosts=1, host_rank=0):
    """The ranks of one of several alike hosts, and on the first one their scheduler.

    Args:
        device_num: processes of each host.
        scheduler: (address, port) of the first host.
    """
    host, port = scheduler
    cluster = {"MS_WORKER_NUM": str(num_hosts * device_num), "MS_SCHED_HOST": host, "MS_SCHED_PORT": str(port)}
    shares, ranks, first = _Shares(program, device_num), [], host_rank * device_num
    for index in range(device_num):
        place = {"MS_ROLE": "MS_WORKER", "MS_NODE_ID": str(first + index), "DEVICE_ID": str(index)}
        environment = {**place, **cluster, "HCCL_CONNECT_TIMEOUT": _hccl_timeout(program)}
        ranks.append(_rank(program, shares, first + index, index, environment))
    numbers = range(first, first + device_num)
    if host_rank:
        return _job(program, ranks, numbers)
    process = Process("scheduler", {"MS_ROLE": "MS_SCHED", **cluster}, tuple(program.command), program.path("scheduler.log"))
    return _job(program, ranks, numbers, scheduler=process, port=port, serves_others=num_hosts > 1)


# The bash of each rank of mpirun. Open MPI kills what has not ended at once after SIGTERM, but a rank saves before it ends; and it
# kills all ranks when one has ended with another code than 0, as each does that was asked to stop. So mpirun is asked to pass on
# SIGUSR1 or SIGUSR2, which bash takes for SIGTERM or SIGINT to the rank, whose code it then keeps for itself. In the background SIGINT
# is ignored unless reset. Tried with Open MPI 5.0.
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


def mpirun_job(program, device_num):
    """mpirun, which starts the ranks."""
    shares = _Shares(program, device_num)
    command, cores = shlex.join(program.command), ""
    if shares.bound:
        cores = f"cores=({' '.join(shares.names)})\n"
        command = f'taskset -c "${{cores[OMPI_COMM_WORLD_LOCAL_RANK]}}" {command}'
    log_dir = "" if program.path() == "." else shlex.quote(program.path() + "/")
    script = _MPI_RANK.format(log_dir=log_dir, log_name=shlex.quote(program.log_name), cores=cores, command=command)
    words = ("mpirun", "--allow-run-as-root", "-n", str(device_num), "--bind-to", "none", "bash", "-c", script)
    signals = {SIGTERM: SIGUSR1, SIGINT: SIGUSR2}
    process = Process("mpirun", {"OMP_NUM_THREADS": shares.threads}, words, program.path("mpirun.log"), signals)
    return _job(program, [process], range(device_num))


class _Shares:
    """The cores of each of `number` ranks on this host: equal parts of what is there; with fewer cores than ranks none is bound."""

    def __init__(self, program, number):
        size = len(program.cores) // number
        self.bound = program.bind and size > 0
        self.names = [format_cores(program.cores[rank * size : (rank + 1) * size]) for rank in range(number)]
        self.threads = program.environ.get("OMP_NUM_THREADS") or str(max(1, size))


def format_cores(numbers):
    """0,1,2,3,8 as 0-3,8, as taskset reads it."""
    runs = []
    for number in sorted(numbers):
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in runs)


def _rank(program, shares, rank, index, environment):
    binding = ("taskset", "-c", shares.names[index]) if shares.bound else ()
    environment = {**environment, "OMP_NUM_THREADS": shares.threads}
    return Process(f"rank {rank}", environment, (*binding, *program.command), program.log(rank))


def _job(program, processes, numbers, **settings):
    return Job(tuple(processes), program.log(min(numbers)), program.log(max(numbers)), **settings)


def _hccl_timeout(program):
    """Seconds to wait for other ranks; HCCL's own 120 are too few where ranks read a large dataset first."""
    return program.environ.get("HCCL_CONNECT_TIMEOUT") or "600"
