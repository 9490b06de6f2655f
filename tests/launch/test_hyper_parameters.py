"""The model zoo's ini file, and the program that writes distributed_cmd.sh from it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import exit_code

from src.launch import hyper_parameters
from src.launch.hyper_parameters import find_folder, read_flags

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "scripts/ascend_distributed_launcher"
ZOO = {
    "distribute": "true",
    "epoch_size": "40",
    "enable_save_ckpt": "true",
    "enable_lossscale": "true",
    "do_shuffle": "true",
    "enable_data_sink": "true",
    "data_sink_steps": "100",
    "accumulation_steps": "1",
    "allreduce_post_accumulation": "true",
    "save_checkpoint_path": "./",
    "save_checkpoint_steps": "10000",
    "save_checkpoint_num": "1",
}


@pytest.fixture
def ini(tmp_path):
    def write(text):
        path = tmp_path / "hyper_parameter_config.ini"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_file_has_the_model_zoos_keys_and_values():
    flags = [f"--{key}={'LOG0/ckpt_0' if value == './' else value}" for key, value in ZOO.items()]
    assert read_flags(FOLDER / "hyper_parameter_config.ini") == flags
    lines = (FOLDER / "hyper_parameter_config.ini").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["[config]", *(f"{key}={value}" for key, value in ZOO.items())]


def test_further_keys_are_passed_on(ini):
    path = ini("; of ours\n[config]\nseed = 3\n  \n# more\noptimizer.name=AdamWeightDecay\nmodel.Note=50% a: b\n")
    assert read_flags(path) == ["--seed=3", "--optimizer.name=AdamWeightDecay", "--model.Note=50% a: b"]


@pytest.mark.parametrize(
    ("path", "folder"),
    [("./", "LOG0/ckpt_0"), ("checkpoint", "LOG0/checkpoint/ckpt_0"), ("../all/", "all/ckpt_0"), ("/data/bert/", "/data/bert/ckpt_0")],
)
def test_checkpoints_are_where_the_zoos_rank_0_has_them(path, folder):
    assert find_folder(path) == folder


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[config]\nseed=1\ndevice_id = 0\n", "FILE:3: device_id is not allowed here: each process gets its own"),
        ("[config]\ndevice_num=8\n", "FILE:2: device_num is not allowed here: the rank table tells it"),
        ("# data_dir=\n[config]\ndata_dir=/data\n", "FILE:3: data_dir is not allowed here: it is an argument of the launcher"),
        ("[config]\nseed=\n", "FILE:2: seed: one value on the same line is expected"),
        ("[config]\nseed=1\n  2\n", "FILE:2: seed: one value on the same line is expected"),
        ("[config]\nseed=1\nseed=2\n", "While reading from 'FILE' [line 3]: option 'seed' in section 'config' already exists"),
        ("seed=1\n", "File contains no section headers. file: 'FILE', line: 1 'seed=1\\n'"),
        ("[config]\nseed\n", "Source contains parsing errors: 'FILE' [line 2]: 'seed\\n'"),
        ("[run]\nseed=1\n", "FILE: one section is expected, [config]; found: run"),
        ("", "FILE: one section is expected, [config]; found: none"),
    ],
)
def test_bad_files_are_named_with_the_line(text, message, ini, capsys):
    path = ini(text)
    assert exit_code(hyper_parameters.main, [str(path)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.replace(str(path), "FILE")) == ("", f"error: {message}\n")


def test_a_binary_or_absent_file_is_named(tmp_path, capsys):
    (tmp_path / "a.ini").write_bytes(b"[config]\n\xff=1\n")
    assert [exit_code(hyper_parameters.main, [f"{tmp_path}/{name}.ini"]) for name in "ab"] == [2, 2]
    assert exit_code(hyper_parameters.main, []) == 2
    assert capsys.readouterr().err.replace(f"{tmp_path}/", "").splitlines() == [
        "error: a.ini: a text file in UTF-8 is expected",
        "error: b.ini: No such file or directory",
        "error: the following arguments are required: FILE; see `python -m src.launch.hyper_parameters --help`",
    ]


# get_distribute_pretrain_cmd.py


@pytest.fixture
def write_commands(tmp_path):
    """`write_commands(*flags)`: the program as a user of the model zoo calls it, in a folder with a table, hccn.conf and data."""
    devices = [{"device_id": str(rank), "device_ip": f"192.98.92.{rank + 1}", "rank_id": str(rank)} for rank in range(2)]
    servers = [{"server_id": "10.0.0.1", "device": devices, "host_nic_ip": "reserve"}]
    tree = {"version": "1.0", "server_count": "1", "server_list": servers, "status": "completed"}
    (tmp_path / "hccl.json").write_text(json.dumps(tree))
    (tmp_path / "hccn.conf").write_text("address_1=192.98.92.2\n")
    (tmp_path / "cn wiki").mkdir()

    def call(*flags):
        given = [
            "--run_script_dir=run_pretrain.py",
            "--data_dir=cn wiki",
            "--hccl_config_dir=hccl.json",
            "--hccn_config_file=hccn.conf",
            *flags,
        ]
        command = [sys.executable, str(FOLDER / "get_distribute_pretrain_cmd.py"), *given]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    return call


def test_the_commands_are_written(write_commands, tmp_path):
    done = write_commands("--hyper_parameter_config_dir=scripts/ascend_distributed_launcher/hyper_parameter_config.ini", "--no_bind")
    assert (done.returncode, done.stdout, done.stderr) == (0, "distributed_cmd.sh\n", "")
    path = tmp_path / "distributed_cmd.sh"
    assert os.access(path, os.X_OK)
    text = path.read_text()
    assert f"cd {ROOT} || exit 2\n" in text
    assert f"RANK_ID=1 RANK_SIZE=2 DEVICE_ID=1 RANK_TABLE_FILE={tmp_path}/hccl.json HCCL_CONNECT_TIMEOUT=120 " in text
    command = next(line for line in text.splitlines() if " run_pretrain.py " in line)
    assert " run_pretrain.py --device_target=Ascend --distribute=true --epoch_size=40 " in command
    assert command.endswith(f" --save_checkpoint_steps=10000 --save_checkpoint_num=1 '--data_dir={tmp_path}/cn wiki' \\")
    assert "taskset" not in text


def test_several_sources_keep_their_weights(write_commands, tmp_path):
    (tmp_path / "news").mkdir()
    for given, written in (("cn wiki:0.75,news:.25", "cn wiki:0.75,{0}/news:0.25"), ("news,cn wiki", "news,{0}/cn wiki")):
        assert write_commands(f"--data_dir={given}").returncode == 0
        assert f"'--data_dir={tmp_path}/{written.format(tmp_path)}'" in (tmp_path / "distributed_cmd.sh").read_text()


def test_the_commands_run(write_commands, tmp_path):
    (tmp_path / "rank.py").write_text("import os, sys; print(os.environ['RANK_ID'], sys.argv[1:])")
    (tmp_path / "a.ini").write_text("[config]\nseed=1\n")
    flags = ("--run_script_dir=rank.py", "--hyper_parameter_config_dir=a.ini", "--hccl_time_out=600", "--cmd_file=a.sh")
    assert write_commands(*flags).returncode == 0
    text = (tmp_path / "a.sh").read_text()
    assert "HCCL_CONNECT_TIMEOUT=600" in text
    (tmp_path / "a.sh").write_text(text.replace(f"cd {ROOT} ", f"cd {tmp_path} ").replace(".venv/bin/python ", f"{sys.executable} "))
    assert subprocess.run([tmp_path / "a.sh"]).returncode == 0
    given = ["--device_target=Ascend", "--seed=1", f"--data_dir={tmp_path}/cn wiki"]
    assert [(tmp_path / f"LOG{rank}/pretraining_log.txt").read_text() for rank in (0, 1)] == [f"{rank} {given}\n" for rank in (0, 1)]


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--data_dir=cn wiki,absent", "absent: no such file or folder, neither in FOLDER nor in ROOT"),
        ("--data_dir=cn wiki:1,hccl.json", "data_dir=cn wiki:1,hccl.json: hccl.json has no weight"),
        ("--data_dir=absent", "absent: no such file or folder, neither in FOLDER nor in ROOT"),
        ("--hccl_config_dir=hccn.conf", "FOLDER/hccn.conf: "),
        (
            "--hccl_time_out=2m",
            "argument --hccl_time_out: 2m: a whole number from 1 is expected; see `get_distribute_pretrain_cmd.py --help`",
        ),
        (
            "--run_script_dir=scripts/run_distributed_pretrain_ascend.sh",
            "--run_script_dir=scripts/run_distributed_pretrain_ascend.sh: a Python program is expected, run_pretrain.py",
        ),
        ("--run_script=a.py", "unrecognized arguments: --run_script=a.py; see `get_distribute_pretrain_cmd.py --help`"),
    ],
)
def test_bad_input_is_named(flag, message, write_commands, tmp_path):
    done = write_commands(flag)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.replace(str(tmp_path), "FOLDER").replace(str(ROOT), "ROOT").startswith(f"error: {message}")
    assert not (tmp_path / "distributed_cmd.sh").exists()


def test_another_servers_table_is_named(write_commands, tmp_path):
    (tmp_path / "other.conf").write_text("address_0=192.98.93.1\n")
    done = write_commands("--hccn_config_file=other.conf")
    assert done.returncode == 2
    assert f"{tmp_path}/hccl.json: this server is not in the rank table" in done.stderr
    assert "192.98.93.1" in done.stderr
