"""The commands of each launcher, compared with scripts that were reviewed line by line."""

import subprocess
from collections import namedtuple
from pathlib import Path

import pytest

from src.launch.bash_script import as_script
from src.launch.commands import Program, format_cores, mpirun_job, msrun_job, rank_table_job

GOLDEN = Path(__file__).parent / "golden"
FLAGS = ("--data_dir=/data/cn wiki", "--epoch_size=40")
Device = namedtuple("Device", "device_id rank_id")


def program(cores=range(96), **changes):
    return Program(("python", "run_pretrain.py", *FLAGS), cores=tuple(cores), **{"environ": {}, **changes})


def ascend():
    """The second of two servers, of which it has four devices."""
    devices = [Device(number, 8 + index) for index, number in enumerate((4, 5, 6, 7))]
    return rank_table_job(program(), "/data/hccl_2s_12p.json", 12, devices)


SCRIPTS = {
    "ascend": ascend,
    "gpu": lambda: mpirun_job(program(log_dir="/var/log/bert"), 8),
    "first_host": lambda: msrun_job(program(bind=False), 2, ("10.0.0.1", 8118), num_hosts=2, host_rank=0),
    "second_host": lambda: msrun_job(program(bind=False), 2, ("10.0.0.1", 8118), num_hosts=2, host_rank=1),
    "cpu": lambda: msrun_job(program(cores=[0, 1]), 2, ("127.0.0.1", 8118)),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_script_is_the_golden_one(name):
    assert as_script(SCRIPTS[name](), "/opt/bert", "golden") == (GOLDEN / f"{name}.sh").read_text(encoding="utf-8")


def test_every_golden_script_is_compared():
    assert {path.stem for path in GOLDEN.iterdir()} == set(SCRIPTS)


def test_a_rank_of_a_table_has_its_variables_and_cores():
    job = ascend()
    process = job.ranks[1]
    assert process.name == "rank 9"
    assert process.environment == {
        "RANK_ID": "9",
        "RANK_SIZE": "12",
        "DEVICE_ID": "5",
        "RANK_TABLE_FILE": "/data/hccl_2s_12p.json",
        "HCCL_CONNECT_TIMEOUT": "600",
        "DEPLOY_MODE": "0",
        "GE_USE_STATIC_MEMORY": "1",
        "OMP_NUM_THREADS": "24",
    }
    assert process.command == ("taskset", "-c", "24-47", "python", "run_pretrain.py", *FLAGS)
    assert (process.log, job.followed, job.last_log) == tuple(f"LOG{rank}/pretraining_log.txt" for rank in (9, 8, 11))
    assert job.scheduler is None


def test_a_rank_of_msrun_has_its_variables():
    job = msrun_job(program(log_dir="runs/a", log_name="log.txt"), 4, ("10.0.0.1", 8118), num_hosts=2, host_rank=1)
    process = job.ranks[3]
    assert process.environment == {
        "MS_ROLE": "MS_WORKER",
        "MS_NODE_ID": "7",
        "DEVICE_ID": "3",
        "MS_WORKER_NUM": "8",
        "MS_SCHED_HOST": "10.0.0.1",
        "MS_SCHED_PORT": "8118",
        "HCCL_CONNECT_TIMEOUT": "600",
        "OMP_NUM_THREADS": "24",
    }
    assert (process.log, job.followed, job.scheduler) == ("runs/a/LOG7/log.txt", "runs/a/LOG4/log.txt", None)


def test_the_first_host_has_the_scheduler_on_all_cores():
    scheduler = msrun_job(program(), 4, ("10.0.0.1", 8118)).scheduler
    assert scheduler.environment == {
        "MS_ROLE": "MS_SCHED",
        "MS_WORKER_NUM": "4",
        "MS_SCHED_HOST": "10.0.0.1",
        "MS_SCHED_PORT": "8118",
    }
    assert (scheduler.command, scheduler.log) == (("python", "run_pretrain.py", *FLAGS), "scheduler.log")


def test_variables_that_the_caller_has_set_stay():
    job = msrun_job(program(environ={"OMP_NUM_THREADS": "3", "HCCL_CONNECT_TIMEOUT": "1800"}), 2, ("127.0.0.1", 8118))
    assert [(rank.environment["OMP_NUM_THREADS"], rank.environment["HCCL_CONNECT_TIMEOUT"]) for rank in job.ranks] == [("3", "1800")] * 2


@pytest.mark.parametrize(
    ("cores", "bind", "bindings", "threads"),
    [
        ([0, 1, 2, 3, 8, 9, 10], True, ["0-2", "3,8-9"], "3"),  # allowed cores need not be all, and some may be left over
        (range(8), False, [None, None], "4"),
        ([4, 5], True, ["4", "5"], "1"),
        ([4], True, [None, None], "1"),
    ],
)
def test_cores_are_divided_evenly(cores, bind, bindings, threads):
    job = msrun_job(program(cores, bind=bind), 2, ("127.0.0.1", 8118))
    assert [rank.command[2] if rank.command[0] == "taskset" else None for rank in job.ranks] == bindings
    assert {rank.environment["OMP_NUM_THREADS"] for rank in job.ranks} == {threads}


def test_format_cores_names_runs():
    assert [format_cores(numbers) for numbers in ([0], [3, 1, 2], [0, 2, 4, 5], range(12, 24))] == ["0", "1-3", "0,2,4-5", "12-23"]


@pytest.mark.parametrize("make", [ascend, SCRIPTS["gpu"], SCRIPTS["cpu"]])
def test_variables_of_other_launchers_are_unset(make):
    job = make()
    given = {name for process in job.ranks for name in process.environment}
    first = {"MS_WORKER_NUM", "OMPI_COMM_WORLD_SIZE", "RANK_SIZE", "DEVICE_ID"}  # what src/ranks.py looks at first
    assert first <= given | set(job.unset)
    assert not given & set(job.unset)


@pytest.mark.parametrize("cores", [[0], range(8)])
def test_the_bash_of_mpirun_takes_any_name_and_flag(cores, tmp_path):
    """The command is quoted twice; it runs here as under mpirun, with a taskset that runs its remaining arguments."""
    words = ("python3", "-c", "import os, sys; print(sys.argv[1:], os.getcwd())", "it's", 'a "b" $HOME `id`', "{0}")
    folder = tmp_path / "it's a $folder"
    process = mpirun_job(Program(words, str(folder), "a log.txt", tuple(cores), environ={}), 2).ranks[0]
    start = process.command.index("bash")
    (tmp_path / "taskset").write_text('#!/bin/sh\n[ "$1 $2" = "-c 4-7" ] || exit 9\nshift 2\nexec "$@"\n')
    (tmp_path / "taskset").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/local/bin:/usr/bin:/bin", "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}
    done = subprocess.run(process.command[start:], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (folder / "LOG1/a log.txt").read_text() == f"{list(words[3:])} {tmp_path}\n"
