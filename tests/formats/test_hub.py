"""Weights by name: the hubs' libraries are stand-ins here."""

import sys
from types import ModuleType

import pytest
from conftest import exit_code

from src.config import loader
from src.formats import hub
from src.tasks.task import TASKS
from tests.tiny_models import write_model


@pytest.fixture
def library(monkeypatch):
    """`library(name, folder)` puts a module in the place of a hub's library; it gives the calls of its snapshot_download."""

    def replace(name, give):
        calls, module = [], ModuleType(name)

        def snapshot_download(repository, allow_patterns, **options):
            calls.append((repository, tuple(allow_patterns), options))
            return give(allow_patterns)

        module.snapshot_download = snapshot_download
        monkeypatch.setitem(sys.modules, name, module)
        return calls

    return replace


def test_weights_are_fetched_by_name_and_revision_without_what_is_not_read(library, tmp_path):
    folder, _ = write_model(tmp_path / "model", kind="pretraining", target="huggingface")
    calls = library("huggingface_hub", lambda patterns: str(folder))
    assert hub.fetch("hf:google-bert/bert-base-uncased@main") == str(folder)
    assert calls == [("google-bert/bert-base-uncased", ("*.json", "*.txt", "*.safetensors"), {"revision": "main"})]


def test_pickled_weights_are_fetched_where_there_are_no_others(library, tmp_path):
    def give(patterns):
        if "pytorch_model*.bin" in patterns:
            (tmp_path / "pytorch_model.bin").touch()
        return str(tmp_path)

    calls = library("modelscope", give)
    assert hub.fetch("ms:tiansz/bert-base-chinese") == str(tmp_path)
    assert [patterns[-1] for _, patterns, _ in calls] == ["*.safetensors", "pytorch_model*.bin"]


def test_other_paths_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hf:mine").mkdir()
    for path in ("bert", "/a/b:c", "hf:mine", tmp_path, "C:model"):
        assert hub.fetch(path) == path


def test_a_run_script_takes_a_name_and_one_line_says_what_is_wrong(library, tmp_path, capsys, monkeypatch):
    def fail(patterns):
        raise OSError("We couldn't connect to the hub\nand more")

    library("huggingface_hub", fail)
    monkeypatch.setitem(sys.modules, "modelscope", None)
    flags = ["--do_train=true", "--task_name=cola", f"--output_dir={tmp_path}"]
    told = {
        "hf:a/b": "hf:a/b: Hugging Face gave no weights of this name: We couldn't connect to the hub; without a network give a folder",
        "ms:a/b": "ms:a/b: modelscope is not installed: pip install modelscope, or give a folder of weights",
        "hf:": "hf:: the name of a repository is expected, such as hf:google-bert/bert-base-uncased",
    }
    for name, line in told.items():
        flags_of_run = [*flags, f"--load_pretrain_checkpoint_path={name}"]
        assert exit_code(lambda argv: loader.load(TASKS["classifier"].options, argv), flags_of_run) == 2
        printed = capsys.readouterr().err
        assert line in printed and printed.count("\n") == 1
    folder, _ = write_model(tmp_path / "model", kind="pretraining", target="huggingface")
    library("huggingface_hub", lambda patterns: str(folder))
    options = loader.load(TASKS["classifier"].options, [*flags, "--load_pretrain_checkpoint_path=hf:a/b", "--seq_length=16"])
    assert options.load_pretrain_checkpoint_path == str(folder) and options.model.hidden_size == 32
