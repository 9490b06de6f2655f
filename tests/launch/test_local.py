"""The launcher with small Python scripts as ranks: exit codes, signals, logs."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import exit_code

from src.launch import commands, local, old_logs, supervision
from src.launch.ports import find_free_port, is_listening

ROOT = Path(__file__).resolve().parents[2]
# the scheduler of msrun listens; a rank finds its number, and `say` writes to its log without delay
PRELUDE = """
import os, signal, socket, subprocess, sys, time
if os.environ.get("MS_ROLE") == "MS_SCHED":
    server = socket.create_server((os.environ["MS_SCHED_HOST"], int(os.environ["MS_SCHED_PORT"])))
    time.sleep(60)
rank = int(next(os.environ[name] for name in ("MS_NODE_ID", "OMPI_COMM_WORLD_RANK", "RANK_ID") if name in os.environ))
def say(*words): print(*words, flush=True)
def wait(seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end: time.sleep(0.05)
def wait_for_file(name):
    while not os.path.exists(name): time.sleep(0.05)
def save(number, frame):
    say("saving"); time.sleep(0.3); say("saved"); sys.exit(128 + number)
def on_signals(action):
    for number in (signal.SIGTERM, signal.SIGINT): signal.signal(number, action)
    open(f"ready{rank}", "w").close()
    say("ready")
"""
MPIRUN = f"""#!{sys.executable}
import os, signal, subprocess, sys
def env(rank): return {{**os.environ, "OMPI_COMM_WORLD_SIZE": words[2], "OMPI_COMM_WORLD_RANK": rank, "OMPI_COMM_WORLD_LOCAL_RANK": rank}}
words = sys.argv[1:]
assert words[:2] == ["--allow-run-as-root", "-n"] and words[3:5] == ["--bind-to", "none"], words
ranks = [subprocess.Popen(words[5:], env=env(str(rank)), preexec_fn=os.setpgrp) for rank in range(int(words[2]))]
def pass_on(number, frame):
    for rank in ranks: rank.send_signal(number)
for number in (signal.SIGUSR1, signal.SIGUSR2): signal.signal(number, pass_on)
while ranks:
    pid, status = os.wait()
    ranks = [rank for rank in ranks if rank.pid != pid]
    if status:
        for rank in ranks: os.killpg(rank.pid, signal.SIGKILL)
        sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.fixture
def write_script(tmp_path):
    def write(body, prelude=PRELUDE):
        (tmp_path / "run.py").write_text(prelude + body, encoding="utf-8")

    return write


@pytest.fixture
def start(tmp_path, write_script):
    """`start(body, *options)`: the launcher as a process, whose ranks run `body`; two of msrun unless the options say otherwise."""
    started = []

    def begin(body, *options, flags=(), prelude=PRELUDE, **environment):
        write_script(body, prelude)
        command = [sys.executable, "-m", "src.launch.local", *(options or ("--device_num", "2")), "run.py", *flags]
        variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        process = subprocess.Popen(command, cwd=tmp_path, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def run(start):
    """The launcher run to its end; returns (exit code, stdout, stderr)."""

    def finish(*arguments, **changes):
        process = start(*arguments, **changes)
        out, err = process.communicate(timeout=30)
        return process.returncode, out, err

    return finish


@pytest.fixture
def log(tmp_path):
    return lambda rank: (tmp_path / f"LOG{rank}/pretraining_log.txt").read_text(encoding="utf-8")


def wait_for(condition, seconds=15):
    """Wait until a condition holds; fail when time runs out."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def wait_for_text(log, text, ranks=(0, 1)):
    def is_there():
        try:
            return all(text in log(rank) for rank in ranks)
        except FileNotFoundError:
            return False

    wait_for(is_there)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# ends


def test_ranks_run_side_by_side_and_the_first_ones_log_is_shown(run, log, tmp_path):
    for rank in (0, 1):
        (tmp_path / f"LOG{rank}").mkdir()
        (tmp_path / f"LOG{rank}/pretraining_log.txt").write_text("of an earlier run\n")
    body = 'say(rank, os.environ["DEVICE_ID"], os.environ["MS_WORKER_NUM"], os.environ.get("RANK_SIZE"), sys.argv[1:])\n'
    flags = ("--data_dir", "a b", "--device_num", "8", "--", "--dry_run")
    code, out, err = run(body + "print('error', file=sys.stderr)", flags=flags, RANK_SIZE="64", DEVICE_ID="7")
    logs = "LOG0/pretraining_log.txt to LOG1/pretraining_log.txt, scheduler.log"
    assert (code, err) == (0, "")
    assert out == f"starting 2 processes of run.py (msrun); logs: {logs}; the first follows\n{log(0)}"
    assert [log(rank) for rank in (0, 1)] == [f"{rank} {rank} 2 None {list(flags)}\nerror\n" for rank in (0, 1)]
    assert (tmp_path / "scheduler.log").read_text() == ""


def test_the_first_failing_code_is_returned_and_the_others_are_ended(run, log):
    code, out, err = run("on_signals(save); rank == 1 and (wait_for_file('ready0'), *map(say, range(40)), sys.exit(7)); wait()")
    assert code == 7
    assert err == "rank 1 ended with code 7; its log: LOG1/pretraining_log.txt\n" + "".join(f"{line}\n" for line in range(20, 40))
    assert out.endswith("saving\nsaved\n") and log(0).endswith("saving\nsaved\n")


def test_a_killed_rank_ends_the_others(run):
    code, _, err = run("say('here'); rank == 0 and (wait(0.5), os.kill(os.getpid(), signal.SIGKILL)); wait()")
    assert (code, err) == (137, "rank 0 ended with code 137 (signal SIGKILL); its log: LOG0/pretraining_log.txt\n")  # its log was shown


def test_a_rank_that_does_not_end_is_killed(write_script, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(supervision, "PATIENCE", 1)
    monkeypatch.chdir(tmp_path)
    write_script("on_signals(lambda number, frame: say('no')); rank == 1 and (wait_for_file('ready0'), sys.exit(3)); wait()")
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert local.main(["--device_num", "2", "run.py"]) == 3
    assert capfd.readouterr().out.endswith("ready\nno\n")
    assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_nothing_that_a_rank_started_is_left(run, log):
    code, _, _ = run("say(subprocess.Popen(['sleep', '60'], preexec_fn=os.setpgrp).pid)")
    assert code == 0
    assert not any(is_alive(log(rank).strip()) for rank in (0, 1))


def test_a_scheduler_that_fails_is_reported(run, tmp_path):
    (tmp_path / "LOG0").mkdir()
    (tmp_path / "LOG0/pretraining_log.txt").write_text("of an earlier run\n")
    code, out, err = run("import sys; sys.exit('no port')", prelude="")
    assert (code, err) == (1, "scheduler ended with code 1; its log: scheduler.log\nno port\n")
    assert "earlier" not in out
    assert not (tmp_path / "LOG1").exists()


def test_a_log_that_cannot_be_written_ends_all(run, tmp_path):
    (tmp_path / "LOG1").touch()
    code, _, err = run("wait()")
    assert (code, err) == (2, "error: LOG1: File exists\n")


def test_ranks_are_started_when_the_scheduler_has_ended_without_an_error(run):
    code, out, _ = run("import os; print(os.environ['MS_ROLE'])", prelude="")
    assert (code, out.splitlines()[1:]) == (0, ["MS_WORKER"])


# signals


def test_a_signal_before_the_scheduler_listens_ends_all(start, tmp_path):
    process = start("import time; open('here', 'w').close(); time.sleep(30)", prelude="")
    wait_for((tmp_path / "here").exists)
    process.terminate()
    assert process.wait(timeout=15) == 143
    assert not (tmp_path / "LOG0").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_is_passed_on_and_the_ranks_are_waited_for(number, code, start, log):
    process = start("on_signals(save); wait()")
    wait_for_text(log, "ready")
    process.send_signal(number)
    _, err = process.communicate(timeout=15)
    assert (process.returncode, [log(rank) for rank in (0, 1)]) == (code, ["ready\nsaving\nsaved\n"] * 2)
    assert err == f"{number.name} is passed on to the ranks, which save and end; a second one kills them\n"


def test_a_rank_that_ends_first_after_a_signal_does_not_end_the_others(start, log):
    process = start("on_signals(lambda number, frame: rank == 1 and sys.exit(1) or save(number, frame)); wait()")
    wait_for_text(log, "ready")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=15)
    assert (process.returncode, log(0)) == (1, "ready\nsaving\nsaved\n")
    assert "rank 1 ended with code 1; " in err


def test_a_second_signal_kills(start, log):
    process = start("on_signals(lambda number, frame: say('no')); wait()")
    wait_for_text(log, "ready")
    process.send_signal(signal.SIGTERM)
    wait_for_text(log, "no")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=15) == 143


def test_ranks_end_when_the_launcher_is_killed(start, log):
    process = start("on_signals(save); wait()")
    wait_for_text(log, "ready")
    process.kill()
    wait_for_text(log, "saved")


# the followed log


def test_the_log_is_shown_while_it_grows(start, tmp_path):
    process = start("say('one'); wait_for_file('go'); say('two')")
    assert [process.stdout.readline() for _ in range(2)][1] == "one\n"
    (tmp_path / "go").touch()
    assert process.communicate(timeout=15)[0] == "two\n"


def test_the_training_goes_on_when_nobody_reads_its_output(start, log, tmp_path):
    process = start("say('one'); wait_for_file('go'); say('two'); wait(0.5); say('three')")
    process.stdout.readline()
    process.stdout.close()
    (tmp_path / "go").touch()
    assert (process.wait(timeout=15), process.stderr.read(), log(0)) == (0, "", "one\ntwo\nthree\n")


# a rank table, mpirun, several hosts


@pytest.fixture
def table(tmp_path):
    """A rank table of two servers with two devices each."""
    servers = []
    for number in (1, 2):
        ranks = [(number - 1) * 2 + index for index in (0, 1)]
        devices = [{"device_id": str(2 + rank % 2), "device_ip": f"192.98.9{number}.{rank}", "rank_id": str(rank)} for rank in ranks]
        servers.append({"server_id": f"10.0.0.{number}", "device": devices, "host_nic_ip": "reserve"})
    tree = {"version": "1.0", "server_count": "2", "server_list": servers, "status": "completed"}
    (tmp_path / "hccl.json").write_text(json.dumps(tree))
    (tmp_path / "hccn.conf").write_text("address_2=192.98.92.2\naddress_3=192.98.92.3\n")
    return "hccl.json"


@pytest.mark.parametrize("own", [("--hccn_config_file", "hccn.conf"), ("--server_ip", "10.0.0.2")])
def test_this_servers_ranks_of_a_table_are_started(own, run, log, table, tmp_path):
    body = "say(*(os.environ.get(name) for name in ('RANK_ID', 'RANK_SIZE', 'DEVICE_ID', 'RANK_TABLE_FILE', 'MS_WORKER_NUM')))"
    code, out, _ = run(body, "--rank_table", table, *own, MS_WORKER_NUM="9")
    assert (code, out.splitlines()[1:]) == (0, log(2).splitlines())
    assert [log(rank) for rank in (2, 3)] == [f"{rank} 4 {rank} {tmp_path}/hccl.json None\n" for rank in (2, 3)]


@pytest.fixture(params=["stub", "installed"])
def mpirun(request, tmp_path, monkeypatch):
    """A stub of mpirun, then the one installed on this machine."""
    if request.param == "stub":
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/mpirun").write_text(MPIRUN)
        (tmp_path / "bin/mpirun").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    elif shutil.which("mpirun") is None:
        pytest.skip("mpirun is not on PATH")
    return ("--launcher", "mpirun", "--device_num", "2")


def test_mpirun_starts_ranks(mpirun, run, log):
    body = "say(rank, os.environ['OMPI_COMM_WORLD_SIZE'] == '2', os.environ.get('DEVICE_ID'), sys.argv[1:])"
    code, out, err = run(body, *mpirun, flags=("--x", "it's $HOME"), DEVICE_ID="5", RANK_SIZE="4")
    assert (code, err) == (0, "")
    assert out.splitlines()[1:] == log(0).splitlines()
    assert [log(rank) for rank in (0, 1)] == [f"{rank} True None ['--x', \"it's $HOME\"]\n" for rank in (0, 1)]


def test_a_failing_rank_of_mpirun_is_named(mpirun, run):
    code, _, err = run("rank == 1 and sys.exit(7); wait()", *mpirun)
    assert code == 7
    assert err.startswith("mpirun ended with code 7; its log: mpirun.log\n")
    assert "rank 1 ended with code 7; its log: LOG1/pretraining_log.txt\n" in err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_ranks_of_mpirun_save_after_a_signal(number, code, mpirun, start, log):
    process = start("on_signals(save); rank == 1 or wait(1); wait()", *mpirun)
    wait_for_text(log, "ready")
    process.send_signal(number)
    assert process.wait(timeout=15) == code
    assert [log(rank) for rank in (0, 1)] == ["ready\nsaving\nsaved\n"] * 2


def test_a_second_signal_kills_the_ranks_of_mpirun(mpirun, start, log):
    process = start("say(os.getpid()); on_signals(lambda number, frame: say('no')); wait()", *mpirun)
    wait_for_text(log, "ready")
    process.send_signal(signal.SIGTERM)
    wait_for_text(log, "no")
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=15) == 143
    assert not any(is_alive(log(rank).split()[0]) for rank in (0, 1))


def test_each_host_starts_its_ranks_and_the_first_waits_for_the_others(start, log, tmp_path):
    port = find_free_port()
    hosts = [("--device_num", "1", "--num_hosts", "2", "--host_rank", rank, "--scheduler", f"127.0.0.1:{port}") for rank in "01"]
    first, second = (start("say(rank); rank == 1 and wait_for_file('go')", *host) for host in hosts)
    wait_for_text(log, "0\n", ranks=[0])
    wait_for_text(log, "1\n", ranks=[1])
    time.sleep(0.5)
    assert is_listening(port)
    (tmp_path / "go").touch()
    assert second.wait(timeout=15) == 0
    first.terminate()  # this scheduler does not end by itself
    assert first.wait(timeout=15) == 0


# --dry_run


def dry_run(run, tmp_path, body, *options):
    """Write the script that --dry_run prints for `body`; returns its path."""
    code, out, err = run(body, *options, "--dry_run")
    assert (code, err) == (0, "")
    assert not (tmp_path / "LOG0").exists()
    (tmp_path / "commands.sh").write_text(out)
    return tmp_path / "commands.sh"


@pytest.mark.parametrize("options", [("--device_num", "2", "--scheduler"), ("--rank_table", "hccl.json", "--server_ip", "10.0.0.1")])
def test_the_printed_script_runs_and_ends_all_when_one_fails(options, run, log, table, tmp_path):
    options = (*options, f"127.0.0.1:{find_free_port()}") if "--scheduler" in options else options
    body = "say('MS_WORKER_NUM' in os.environ, 'RANK_SIZE' in os.environ); rank == 1 and sys.exit(5); wait()"
    script = dry_run(run, tmp_path, body, *options)
    done = subprocess.run(["bash", str(script)], cwd="/", capture_output=True, text=True, env={**os.environ, "RANK_SIZE": "3"}, timeout=30)
    assert done.returncode == 5
    assert done.stderr.splitlines()[0] == "rank 1 ended with code 5"
    assert log(0) == f"{options[0] == '--device_num'} {options[0] == '--rank_table'}\n"


def test_the_printed_script_passes_signals_on(run, log, table, tmp_path):
    script = dry_run(run, tmp_path, "on_signals(save); wait()", "--rank_table", table, "--server_ip", "10.0.0.1")
    process = subprocess.Popen(["bash", str(script)], stderr=subprocess.DEVNULL)
    wait_for_text(log, "ready")
    process.terminate()
    assert process.wait(timeout=15) == 143
    assert [log(rank) for rank in (0, 1)] == ["ready\nsaving\nsaved\n"] * 2


def test_the_printed_script_of_mpirun_runs(mpirun, run, log, tmp_path):
    script = dry_run(run, tmp_path, "on_signals(save); wait()", *mpirun)
    process = subprocess.Popen(["bash", str(script)], stderr=subprocess.DEVNULL)
    wait_for_text(log, "ready")
    process.terminate()
    assert process.wait(timeout=15) == 143
    assert [log(rank) for rank in (0, 1)] == ["ready\nsaving\nsaved\n"] * 2


# bad input

ERRORS = {
    "": "--launcher=msrun: give --device_num, the number of processes on this host",
    "--launcher mpirun": "--launcher=mpirun: give --device_num, the number of processes on this host",
    "--device_num 0": "argument --device_num: 0: a whole number from 1 is expected; see `python -m src.launch.local --help`",
    "--launcher rank_table": "--launcher=rank_table: give --rank_table FILE (python -m src.launch.rank_table generate makes one)",
    "--launcher msrun --rank_table hccl.json --device_num 2": "--rank_table: only --launcher=rank_table takes it, not msrun",
    "--device_num 2 --server_ip 10.0.0.1": "--server_ip: only --launcher=rank_table takes it, not msrun",
    "--launcher mpirun --device_num 2 --num_hosts 2": "--num_hosts: only --launcher=msrun takes it, not mpirun",
    "--device_num 2 --num_hosts 2": "--num_hosts=2: give --host_rank, and --scheduler HOST:PORT with the address of the host of rank 0",
    "--device_num 2 --num_hosts 2 --host_rank 2 --scheduler a:1": "--host_rank=2: a number below --num_hosts=2 is expected",
    "--device_num 2 --host_rank 1": "--host_rank=1: a number below --num_hosts=1 is expected",
    "--device_num 2 --scheduler 10.0.0.1": "argument --scheduler: 10.0.0.1: HOST:PORT is expected, such as 10.0.0.1:8118; "
    "see `python -m src.launch.local --help`",
    "--device_num 2 --log_name a/b": "--log_name=a/b: the name of a file is expected; --log_dir says where",
    "--device_num 2 --log_dir run.py": "run.py: File exists",
    "--device_num 2 --python python0": "python0 is not on PATH; see --python",
    "--rank_table absent.json": "absent.json: No such file or directory",
    "--rank_table hccl.json --server_ip 10.0.0.1 --device_num 8": "--device_num=8: hccl.json has 2 devices of this server",
    "--device_num 2 absent.py": "absent.py: no such file; a script is expected, such as run_pretrain.py",
}


@pytest.mark.parametrize("options", ERRORS)
def test_bad_input_is_named(options, write_script, table, tmp_path, monkeypatch, capsys):
    write_script("")
    monkeypatch.chdir(tmp_path)
    assert exit_code(local.main, [*options.split(), "run.py"]) == 2
    assert capsys.readouterr() == ("", f"error: {ERRORS[options]}\n")


@pytest.mark.parametrize(("name", "advice"), [("mpirun", "install Open MPI"), ("taskset", "install util-linux")])
def test_programs_that_are_absent_are_named(name, advice, write_script, tmp_path, monkeypatch, capsys):
    write_script("")
    monkeypatch.chdir(tmp_path)
    for other in {"mpirun", "taskset"} - {name}:
        (tmp_path / other).write_text("")
        (tmp_path / other).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert exit_code(local.main, ["--launcher", "mpirun", "--device_num", "2", "run.py"]) == 2
    assert capsys.readouterr().err.startswith(f"error: {name} is not on PATH; {advice}")


def test_another_server_of_the_table_is_named(table, write_script, tmp_path, monkeypatch, capsys):
    write_script("")
    monkeypatch.chdir(tmp_path)
    assert exit_code(local.main, ["--rank_table", table, "--server_ip", "10.0.0.3", "run.py"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: hccl.json: this server is not in the rank table") and "10.0.0.3" in err


def test_logs_of_an_earlier_launch_with_more_ranks_are_moved_away(run, log, tmp_path):
    for number in (0, 1, 2, 10):
        (tmp_path / f"LOG{number}").mkdir()
        (tmp_path / f"LOG{number}/pretraining_log.txt").write_text(f"of {number}\n")
    (tmp_path / "LOG3").mkdir()  # of another program
    (tmp_path / "earlier-1").mkdir()
    code, out, err = run("say('now')")
    assert (code, err) == (0, "")
    assert out.startswith("logs of an earlier launch with more ranks are now in earlier-2: LOG2, LOG10\nstarting 2 processes")
    assert [log(rank) for rank in (0, 1)] == ["now\n"] * 2
    assert sorted(path.name for path in tmp_path.glob("LOG*")) == ["LOG0", "LOG1", "LOG3"]
    assert (tmp_path / "earlier-2/LOG10/pretraining_log.txt").read_text() == "of 10\n"


@pytest.mark.parametrize(("rank", "moves"), [("0", True), ("1", False)])
def test_logs_of_the_ranks_of_other_hosts_stay(rank, moves, write_script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(5):
        (tmp_path / f"LOG{number}").mkdir()
        (tmp_path / f"LOG{number}/pretraining_log.txt").touch()
    job = commands.msrun_job(commands.Program(("python",)), 2, ("10.0.0.1", 8118), num_hosts=2, host_rank=int(rank))
    assert bool(old_logs.set_aside(job, ".", "pretraining_log.txt", 4)) == moves
    assert [(tmp_path / f"LOG{number}").exists() for number in range(5)] == [True] * 4 + [not moves]


def test_a_port_that_is_taken_is_named(write_script, tmp_path, monkeypatch, capsys):
    write_script("")
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert exit_code(local.main, ["--device_num", "2", "--scheduler", address, "run.py"]) == 2
    assert capsys.readouterr().err == f"error: --scheduler={address}: another program of this host listens on the port\n"
