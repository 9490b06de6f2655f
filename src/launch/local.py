"""Start one training process for each device of this host, and supervise them.

    python -m src.launch.local --device_num 8 run_classifier.py --task_name cola ...                  # one host, no rank table
    python -m src.launch.local --rank_table hccl_8p_01234567_10.0.0.1.json run_pretrain.py ...        # Ascend, by a rank table
    python -m src.launch.local --device_num 8 --num_hosts 2 --host_rank 1 --scheduler 10.0.0.1:8118 run_pretrain.py ...

The output of rank 3 goes to LOG3/pretraining_log.txt; that of the lowest rank is also shown on the terminal. When a rank fails, the
others are ended, and its exit code is returned. --dry_run prints a bash script of all commands instead.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from src.cli import Parser, bad_input_exits
from src.files import make_folder
from src.launch import commands, hccn, old_logs, ports, supervision
from src.launch.addresses import find_host_addresses
from src.launch.bash_script import as_script
from src.launch.rank_table_file import find_notes, find_own_server, read_table

LAUNCHERS = ("rank_table", "msrun", "mpirun")
_PORT = 8118  # msrun's default, printed by --dry_run; a run chooses a free port
_OWN_HOST = "127.0.0.1"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job, or print its script; returns the exit code."""
    with bad_input_exits():
        options = _make_parser().parse_args(argv)
        _check(options)
        job = _plan(options)
        if options.dry_run:
            title = f"made by python -m src.launch.local --launcher {options.launcher} --dry_run"
            print(as_script(job, os.getcwd(), title), end="")
            return 0
        _check_machine(options)
        if moved := old_logs.set_aside(job, options.log_dir, options.log_name, _count_ranks(options, job)):
            print(moved, flush=True)
        print(_describe(options, job), flush=True)
        return supervision.run(job)


def plan_rank_table(
    program: commands.Program, table_file: Path | str, hccn_config_file: Path | str | None = None, server_ip: str | None = None
) -> commands.Job:
    """The Job of this server of a rank table.

    Args:
        hccn_config_file: the addresses of this server's devices; None asks hccn_tool, and reads /etc/hccn.conf.
        server_ip: the server_id of this server; None finds it by the addresses of devices and host.

    Raises:
        OSError: a file cannot be read. ValueError: the table has faults, or this server is not in it.
    """
    table = read_table(table_file)
    for note in find_notes(table):
        print(f"warning: {table_file}: {note}", file=sys.stderr)
    device_ids = sorted({device.device_id for server in table.servers for device in server.devices})
    device_addresses = hccn.find_own_addresses(device_ids, hccn_config_file) if server_ip is None else []
    host_addresses = find_host_addresses() if server_ip is None else {server_ip}
    try:
        server = find_own_server(table, device_addresses, host_addresses)
    except ValueError as error:
        raise ValueError(f"{table_file}: {error}") from None
    return commands.rank_table_job(program, table_file, table.world_size, server.devices)


def find_cores() -> tuple[int, ...]:
    """Numbers of the cores that this process may use."""
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else tuple(range(os.cpu_count() or 1))


def _plan(options: argparse.Namespace) -> commands.Job:
    program = commands.Program(
        (options.python, options.script, *options.flags), options.log_dir, options.log_name, find_cores(), not options.no_bind
    )
    if options.launcher == "rank_table":
        job = plan_rank_table(program, options.rank_table, options.hccn_config_file, options.server_ip)
        if options.device_num not in (None, len(job.ranks)):
            raise ValueError(f"--device_num={options.device_num}: {options.rank_table} has {len(job.ranks)} devices of this server")
        return job
    if options.launcher == "mpirun":
        return commands.mpirun_job(program, options.device_num)
    scheduler = options.scheduler or (_OWN_HOST, _PORT if options.dry_run else ports.find_free_port())
    return commands.msrun_job(program, options.device_num, scheduler, options.num_hosts, options.host_rank)


def _check(options: argparse.Namespace) -> None:
    """Refuse contradicting options; fill in the launcher, num_hosts and host_rank."""
    if options.launcher is None:
        options.launcher = "rank_table" if options.rank_table else "msrun"
    launcher = options.launcher
    if launcher == "rank_table" and not options.rank_table:
        raise ValueError("--launcher=rank_table: give --rank_table FILE (python -m src.launch.rank_table generate makes one)")
    if launcher != "rank_table" and options.device_num is None:
        raise ValueError(f"--launcher={launcher}: give --device_num, the number of processes on this host")
    for name, allowed in (
        *((name, "rank_table") for name in ("rank_table", "server_ip", "hccn_config_file")),
        *((name, "msrun") for name in ("num_hosts", "host_rank", "scheduler")),
    ):
        if getattr(options, name) is not None and launcher != allowed:
            raise ValueError(f"--{name}: only --launcher={allowed} takes it, not {launcher}")
    several = options.num_hosts is not None and options.num_hosts > 1
    if several and (options.host_rank is None or options.scheduler is None):
        raise ValueError(
            f"--num_hosts={options.num_hosts}: give --host_rank, and --scheduler HOST:PORT with the address of the host of rank 0"
        )
    options.num_hosts = options.num_hosts or 1
    options.host_rank = options.host_rank or 0
    if options.host_rank >= options.num_hosts:
        raise ValueError(f"--host_rank={options.host_rank}: a number below --num_hosts={options.num_hosts} is expected")
    if "/" in options.log_name or options.log_name in ("", ".", ".."):
        raise ValueError(f"--log_name={options.log_name}: the name of a file is expected; --log_dir says where")
    if not Path(options.script).is_file():
        raise ValueError(f"{options.script}: no such file; a script is expected, such as run_pretrain.py")


def _check_machine(options: argparse.Namespace) -> None:
    """Check that processes can be started here; --dry_run may print a script for another machine."""
    make_folder(options.log_dir)
    needed = {options.python: "see --python"}
    if options.launcher == "mpirun":
        needed["mpirun"] = "install Open MPI, or take --launcher msrun, which needs none"
    if not options.no_bind:
        needed["taskset"] = "install util-linux, or give --no_bind"
    for name, advice in needed.items():
        if shutil.which(name) is None:
            raise ValueError(f"{name} is not on PATH; {advice}")
    if options.scheduler and options.host_rank == 0 and ports.is_listening(options.scheduler[1]):
        raise ValueError(f"--scheduler={':'.join(map(str, options.scheduler))}: another program of this host listens on the port")


def _count_ranks(options: argparse.Namespace, job: commands.Job) -> int:
    """The number of ranks on all hosts."""
    environment = job.ranks[0].environment
    return int(environment.get("RANK_SIZE") or environment.get("MS_WORKER_NUM") or options.device_num)


def _describe(options: argparse.Namespace, job: commands.Job) -> str:
    """The line that announces the processes and their logs."""
    ranks = options.device_num or len(job.ranks)
    logs = [job.followed if ranks == 1 else f"{job.followed} to {job.last_log}", *job.other_logs]
    processes = f"{ranks} process{'es' if ranks > 1 else ''}"
    return f"starting {processes} of {options.script} ({options.launcher}); logs: {', '.join(logs)}; the first follows"


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: a whole number from 1 is expected")
    return int(text)


def _host_rank(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text}: a whole number from 0 is expected")
    return int(text)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text}: HOST:PORT is expected, such as 10.0.0.1:8118")
    return host, int(port)


def _make_parser() -> Parser:
    parser = Parser(prog="python -m src.launch.local", description=__doc__)
    add = parser.add_argument
    add("--launcher", choices=LAUNCHERS, help="how ranks find each other [rank_table if --rank_table is given, else msrun]")
    add("--device_num", type=_positive, metavar="N", help="processes on this host; a rank table tells it")
    add("--rank_table", metavar="FILE", help="table of all servers, made by python -m src.launch.rank_table")
    add("--server_ip", metavar="ID", help="server_id of this server in the table [found by the addresses of devices and host]")
    add("--hccn_config_file", metavar="FILE", help=f"addresses of this server's devices [hccn_tool is asked, then {hccn.CONFIG}]")
    add("--num_hosts", type=_positive, metavar="N", help="hosts with --device_num processes each; start this program on each (msrun) [1]")
    add("--host_rank", type=_host_rank, metavar="N", help="number of this host; 0 starts the scheduler [0]")
    add("--scheduler", type=_address, metavar="HOST:PORT", help="address of host 0, and a free port there [this host, any free port]")
    add("--no_bind", action="store_true", help="let each process use all cores, not only its share")
    add("--log_dir", default=".", metavar="FOLDER", help="folder of LOG0, LOG1 and so on [.]")
    add("--log_name", default="pretraining_log.txt", metavar="NAME", help="name of the log in each [pretraining_log.txt]")
    add("--python", default=sys.executable, metavar="PATH", help="interpreter that runs the script [this one]")
    add("--dry_run", action="store_true", help="print the commands as a bash script, and start nothing")
    add("script", metavar="SCRIPT", help="run_pretrain.py, run_classifier.py, run_ner.py, run_squad.py or run_embedding.py")
    add("flags", metavar="FLAG", nargs=argparse.REMAINDER, help="everything after SCRIPT is passed to it")
    return parser


if __name__ == "__main__":
    sys.exit(main())
