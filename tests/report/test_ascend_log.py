"""What a dry run's log tells, and what scripts/try_ascend.sh refuses; nothing is compiled here."""

from types import SimpleNamespace

import numpy as np
import pytest
from conftest import exit_code

from src.launch import cann_stand_ins
from src.ranks import RankInfo
from src.report import ascend
from src.report.ascend_log import DryRun
from src.train import collectives, runtime


@pytest.fixture
def stand_ins(monkeypatch, tmp_path):
    """No library is made, so that any processor and MindSpore will do; nothing is compiled then."""
    monkeypatch.setattr(cann_stand_ins, "prepare", lambda: tmp_path / "cann/lib64")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["false"], []),
        (["true"], ["error: nothing was compiled for Ascend; the command needs --device_target Ascend"]),
    ],
)
def test_of_a_command_that_failed_itself_nothing_is_said(stand_ins, capsys, command, words):
    assert ascend.main(command) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.splitlines() == words


def test_that_no_operator_lacks_a_kernel_is_said_after_a_whole_run_alone():
    found = read_lines("\n".join(line for line in LOG.splitlines() if "TryBackoffCpu" not in line))
    line = "operators without an Ascend kernel: none"
    assert line in found.lines() and line not in found.lines(finished=False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--json", "."], "error: --json .: is a folder; a file is expected"),
        (["--json", "setup/report.json"], "error: setup: File exists"),
        (["--time_limit", "0"], "--time_limit: 0: a whole number from 1 is expected"),
        (["--time_limit", "-1"], "--time_limit: -1: a whole number from 1 is expected"),
    ],
)
def test_bad_options_end_before_the_command_begins(stand_ins, monkeypatch, tmp_path, capsys, options, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "setup").touch()
    assert exit_code(ascend.main, [*options, "touch", "ran"]) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "ran").exists()


LOG = """\
[INFO] RUNTIME_FRAMEWORK(7,7f,python):2026 [a.cc:1] Build] Status record: start compile function graph: 17_1_src_step_TrainStep_construct_19
[INFO] RUNTIME_FRAMEWORK(7,7f,python):2026 [a.cc:1] CompileGraph] Compile graph: 17_1_src_step_TrainStep_construct_19, Split
[INFO] RUNTIME_FRAMEWORK(7,7f,python):2026 [a.cc:1] RecursiveSetRunMode] Kernel graph: kernel_graph0, set run mode:KernelMode
[INFO] DEVICE(7,7f,python):2026 [a.cc:1] CollectOpSelectedType] Gather select aclop kernel
[INFO] DEVICE(7,7f,python):2026 [a.cc:1] TryBackoffCpu] Try to use backoff CPU kernel, node:Default/head/FloatStatus-op0
[INFO] DEVICE(7,7f,python):2026 [a.cc:1] PrintOpSelectedNum] Number of INTERNAL_KERNEL, OPAPI_KERNEL, ACL_KERNEL:
[INFO] DEVICE(7,7f,python):2026 [a.cc:1] PrintOpSelectedNum] 1 3 2 0 1 0 0 0\x20
[INFO] RUNTIME_FRAMEWORK(7,7f,python):2026 [a.cc:1] OptimizeNopNode] The reference relation of nopnode Default/Reshape-op0, index: 0
[INFO] SESSION(7,7f,python):2026 [a.cc:1] PrintGraphExecuteOrder] Index[0], node name[Default/word/Gather-op0], logic id[1]
[INFO] SESSION(7,7f,python):2026 [a.cc:1] PrintGraphExecuteOrder] Index[1], node name[Default/Reshape-op0], logic id[1]
[INFO] SESSION(7,7f,python):2026 [a.cc:1] PrintGraphExecuteOrder] Index[2], node name[Default/Mul-op0], logic id[1]
[INFO] RUNTIME_FRAMEWORK(7,7f,python):2026 [a.cc:1] CompileGraph] Compile graph: 18_2_✓2↓update_49, Split segments size: 2
[INFO] RUNTIME_FRAMEWORK(7,7f,python):2026 [a.cc:1] RecursiveSetRunMode] Kernel graph: kernel_graph1, set run mode:KernelMode
[INFO] SESSION(7,7f,python):2026 [a.cc:1] PrintGraphExecuteOrder] Index[0], node name[Default/Mul-op0], logic id[1]
[INFO] SESSION(7,7f,python):2026 [a.cc:1] PrintGraphExecuteOrder] Index[1], node name[Default/Mul-op1], logic id[1]
[INFO] SESSION(7,7f,python):2026 [a.cc:1] PrintGraphExecuteOrder] Index[2], node name[Default/StreamSend-op0], logic id[1]
[INFO] RUNTIME_FRAMEWORK(7,7f,python):2026 [a.cc:1] CompileGraph] Compile graph: 18_3_✗2↓update_54, Split segments size: 2
[INFO] RUNTIME_FRAMEWORK(7,7f,python):2026 [a.cc:1] RecursiveSetRunMode] Kernel graph: kernel_graph2, set run mode:KernelMode
[INFO] SESSION(7,7f,python):2026 [a.cc:1] PrintGraphExecuteOrder] Index[0], node name[Default/Add-op0], logic id[1]
[INFO] DEVICE(7,7f,python):2026 [a.cc:1] FreeDeviceMem] Max actual used memory size is 445440
[INFO] DEVICE(7,7f,python):2026 [a.cc:1] FreeDeviceMem] Max peak used memory size is 368640
[INFO] DEVICE(7,7f,python):2026 [a.cc:1] FreeDeviceMem] Max actual used memory size is 170496
"""


def read_lines(text):
    found = DryRun()
    assert all(found.read(line) for line in text.splitlines())
    return found


def test_a_log_tells_kernels_launches_memory_and_what_has_no_kernel():
    found = read_lines(LOG)
    report = found.describe()
    (network,) = report["networks"]
    first, update, _ = network["graphs"]
    assert network["network"] == "src_step_TrainStep"
    assert (first["aclnn"], first["aclop"], first["other"], first["launches"]) == (3, 2, 2, 2)  # a reshape launches nothing
    assert update["operators"] == {"Mul": 2, "StreamSend": 1} and update["function"] == "✓2↓update"
    assert (network["launches"], network["fewest_launches"]) == (4, 3)  # one side of the `if` runs
    assert report["aclop"] == ["Gather"] and report["without_kernel"] == ["FloatStatus"]
    assert report["peak_memory"] == {"tensors": 368640, "with_gaps": 445440}
    assert any("FloatStatus" in line for line in found.lines())


def test_what_a_command_says_itself_is_no_log():
    assert not DryRun().read("[rank 0] saved out/ckpt")


def test_the_value_of_a_tensor_is_log_to_its_end():
    entry = "[INFO] SESSION(7,7f,python):2026 [a.cc:1] CreateNewValueNode] Data sync for Tensor Tensor(shape=[2, 1], dtype=Float32, value="
    second = " [ 1.0e+00]])} map to front node: ValueNode<Tensor> Tensor(shape=[2, 1], dtype=Float32, value="
    value = ["[[ 1.0e+00]", " [ 1.0e+00]])}"]
    found = DryRun()
    assert all(found.read(line) for line in (entry, value[0], second, *value))
    assert not found.read("saved out/ckpt")


def test_networks_of_several_processes_keep_apart():
    lines = [line for name in ("7", "8") for line in LOG.replace("(7,", f"({name},").splitlines()[:11]]
    half = len(lines) // 2
    found = read_lines("\n".join(line for pair in zip(lines[:half], lines[half:]) for line in pair))
    assert [network.graphs[0].launches for network in found.networks] == [2, 2]


@pytest.mark.parametrize(
    ("environ", "size", "rank"),
    [
        ({}, "1", "0"),
        ({"MS_WORKER_NUM": "8", "MS_NODE_ID": "3", "MS_ROLE": "MS_WORKER", "MS_SCHED_HOST": "h", "MS_SCHED_PORT": "1"}, "8", "3"),
        ({"RANK_TABLE_FILE": "t.json", "RANK_SIZE": "4", "RANK_ID": "1", "DEVICE_ID": "1"}, "4", "1"),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}, "2", "1"),
    ],
    ids=["alone", "msrun", "rank_table", "mpirun"],
)
def test_one_process_stands_for_a_rank_of_any_launcher(tmp_path, environ, size, rank):
    variables = ascend.environment(tmp_path, tmp_path / "lib64", environ)
    assert (variables["RANK_SIZE"], variables["RANK_ID"]) == (size, rank)
    assert not {"MS_ROLE", "MS_SCHED_HOST", "RANK_TABLE_FILE", "OMPI_COMM_WORLD_SIZE"} & variables.keys()


def test_a_rank_of_a_dry_run_goes_on_with_its_own_values(monkeypatch):
    """There a collective gives zeros, as every kernel does."""
    for name in ("_broadcast_cell", "_gather_cell"):
        monkeypatch.setattr(collectives, name, lambda: lambda tensor: tensor * 0)
    monkeypatch.setenv("MS_SIMULATION_LEVEL", "1")
    device = runtime.settings("Ascend", process=RankInfo("rank_table", 0, 8))
    values = np.array([3, 5])
    assert collectives.broadcast(device, values).tolist() == [3, 5]
    assert collectives.largest(device, 15) == 15
    assert len(collectives.gather_arrays(device, [values])) == 8


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("platform.machine", lambda: "aarch64", "aarch64"),
        ("importlib.metadata.version", lambda name: "2.7.1", "MindSpore 2.7.1: the dry run for Ascend was tried with 2.10.0"),
        ("importlib.util.find_spec", lambda name: SimpleNamespace(origin="/absent/__init__.py"), "plugin for Ascend"),
        ("shutil.which", lambda name: None if name == "nm" else name, "nm is not on PATH"),
    ],
    ids=["processor", "version", "plugin", "nm"],
)
def test_where_it_cannot_run_one_line_says_why(monkeypatch, capsys, name, value, words):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(name, value)
    assert exit_code(ascend.main, ["true"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and words in line
