"""python -m src.doctor: every line says ok, note or "to do", and what to do."""

import json
import subprocess
import sys
from importlib import metadata

import pytest
from conftest import ROOT, exit_code

from src.doctor import __main__ as doctor
from src.doctor import framework, machine
from src.doctor.finding import NOTE, OK, TO_DO, Finding
from src.doctor.rank_table import check_rank_table
from src.doctor.weights import check_weights
from src.launch.rank_table_file import Device, Server, Table, to_json
from tests.tiny_models import TOKENS, make_model, make_weights, write_model

BARE = """
import sys
sys.path.insert(0, ".")
from src.doctor import framework
from src.doctor.__main__ import main
framework._PROBE = ("-S", *framework._PROBE)
main(["--checkpoint", "."])
"""


@pytest.fixture
def healthy(monkeypatch):
    """A machine whose MindSpore works."""
    monkeypatch.setattr(framework, "_ask", lambda: {"version": "2.10.0", "devices": ["CPU"], "product": 4.0, "library": None})
    monkeypatch.delenv("RANK_TABLE_FILE", raising=False)
    monkeypatch.setattr(machine, "check_memory", lambda: Finding(OK, "memory", "enough"))


def kinds(findings):
    return [finding.kind for finding in findings]


def test_nothing_to_do_ends_with_0_and_something_with_1(healthy, monkeypatch, capsys):
    assert exit_code(doctor.main, []) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok     Python: 3.")
    assert all(line.startswith(("ok     ", "note   ")) for line in lines)
    monkeypatch.setattr(framework, "_ask", lambda: "does not run")
    assert exit_code(doctor.main, []) == 1
    assert "to do  MindSpore: does not run" in capsys.readouterr().out
    assert exit_code(doctor.main, ["--chekpoint", "x"]) == 2


def test_a_framework_that_does_not_start_is_quoted(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "Traceback\nImportError: numpy.core.multiarray failed to import\n")
    monkeypatch.setattr(framework.subprocess, "run", lambda *_, **__: failed)
    (finding,) = framework.check_framework()
    assert finding.kind == TO_DO and "numpy.core.multiarray failed to import" in finding.text


def test_versions_outside_of_the_requirements_are_named(monkeypatch):
    versions = {"numpy": "2.1.0"}

    def version(name):
        if name == "tokenizers":
            raise metadata.PackageNotFoundError(name)
        return versions.get(name) or real(name)

    real = metadata.version
    monkeypatch.setattr(machine.metadata, "version", version)
    finding = next(iter(machine.check_packages()))
    assert finding.kind == TO_DO
    assert "numpy 2.1.0, and <2,>=" in finding.text and "tokenizers is missing" in finding.text


def test_an_interpreter_without_packages_is_told_what_to_do(tmp_path):
    done = subprocess.run([sys.executable, "-I", "-S", "-c", BARE], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "to do  packages: hardly any is installed" in done.stdout
    assert "to do  MindSpore: does not run" in done.stdout and "to do  weights: not checked" in done.stdout


def test_a_python_without_a_mindspore_is_named(monkeypatch):
    monkeypatch.setattr(machine.sys, "version_info", (3, 9, 1))
    assert machine.check_python().kind == TO_DO


def test_memory_is_that_of_the_group_if_it_is_less(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n")
    limit = tmp_path / "memory.max"
    assert machine.check_memory(tmp_path / "meminfo", limit) == Finding(OK, "memory", "8.0 GB of 16.0 are free")
    limit.write_text("max\n")
    assert machine.check_memory(tmp_path / "meminfo", limit).kind == OK
    limit.write_text("1073741824\n")
    assert machine.check_memory(tmp_path / "meminfo", limit).kind == TO_DO


def test_the_processors_instructions_for_bfloat16_are_named(tmp_path):
    path = tmp_path / "cpuinfo"
    for flags, told in (
        ("fpu avx512_bf16 amx_bf16", "Xeon, with AVX512-BF16 and AMX-BF16 for --precision.compute_type bfloat16"),
        ("fpu avx512_bf16", "Xeon, with AVX512-BF16 for --precision.compute_type bfloat16"),
        ("fpu avx2", "Xeon, without AVX512-BF16 and AMX-BF16: bfloat16 is refused on it"),
    ):
        path.write_text(f"processor\t: 0\nmodel name\t: Xeon\nflags\t\t: {flags}\n\n" * 2, encoding="utf-8")
        assert machine.check_processor(path) == Finding(OK, "processor", told)
    assert machine.check_processor(tmp_path / "absent").kind == NOTE


def test_a_user_without_a_home_folder_is_told_what_becomes_of_the_kernels(monkeypatch):
    def refuse():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(machine.Path, "home", refuse)
    finding = list(machine.check_disk())[-1]
    assert finding.kind == NOTE and "XDG_CACHE_HOME names a folder" in finding.text


def test_devices_that_mindspore_does_not_find_are_named(tmp_path):
    assert kinds(machine.check_devices(["CPU"], tmp_path)) == [OK]
    for name in ("davinci0", "davinci_manager", "nvidia0", "nvidiactl"):
        (tmp_path / name).touch()
    findings = list(machine.check_devices(["CPU"], tmp_path))
    assert kinds(findings) == [OK, TO_DO, NOTE]
    assert findings[1].text.startswith("davinci0 in ") and "set_env.sh" in findings[1].text
    assert findings[2].text.startswith("nvidia0 in ")


def test_weights_fit_their_configuration_and_their_vocabulary(tmp_path):
    write_model(tmp_path / "good")
    assert kinds(check_weights(str(tmp_path / "good"))) == [OK, OK]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"vocab_size": 61}, "vocab_size=61, and bert.embeddings.word.weight is of shape (60, 32)"),
        ({"num_hidden_layers": 1}, "num_hidden_layers=1, and the weights have bert.encoder.layers.1."),
        ({"num_hidden_layers": 3}, "lacks bert.encoder.layers.2."),
        ({"hidden_size": 64}, "hidden_size=64"),
        ({"max_position_embeddings": 16}, "max_position_embeddings=16"),
        ({"trained_with": {"seq_length": 64}}, "trained with seq_length=64, and there are 32 positions"),
    ],
)
def test_a_configuration_that_does_not_fit_is_named(change, told, tmp_path):
    write_model(tmp_path / "model")
    path = tmp_path / "model/config.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    assert [told in finding.text for finding in check_weights(str(tmp_path / "model")) if finding.kind == TO_DO] == [True]


def test_a_head_without_its_bias_is_named(tmp_path):
    arrays = make_weights(make_model(), "classifier")
    del arrays["head.dense.bias"]
    write_model(tmp_path / "model", arrays=arrays)
    assert "lacks head.dense.bias" in next(check_weights(str(tmp_path / "model"))).text


@pytest.mark.parametrize(("tokens", "kind"), [(TOKENS[:55], OK), (TOKENS[:40], NOTE), ([*TOKENS, "one", "two"], TO_DO)])
def test_a_vocabulary_of_other_weights_is_named(tokens, kind, tmp_path):
    write_model(tmp_path / "model", make_model(), vocabulary="".join(f"{token}\n" for token in tokens).encode())
    assert kinds(check_weights(str(tmp_path / "model")))[1:] == [kind]


def test_a_folder_without_weights_is_named(tmp_path):
    (finding,) = check_weights(str(tmp_path))
    assert finding.kind == TO_DO and str(tmp_path) in finding.text


def test_a_rank_table_is_validated(tmp_path):
    path = tmp_path / "hccl.json"
    path.write_text(to_json(Table((Server("10.0.0.1", (Device(0, "192.168.1.1", 0),)),))), encoding="utf-8")
    assert check_rank_table(str(path)).kind == OK
    path.write_text("{}", encoding="utf-8")
    assert check_rank_table(str(path)).kind == TO_DO


@pytest.mark.slow
def test_this_machine_is_ready():
    done = subprocess.run([sys.executable, "-m", "src.doctor"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "computes on CPU" in done.stdout
