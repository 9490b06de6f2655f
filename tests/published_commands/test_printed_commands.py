"""Commands that the pages of other programs print: each does here what it says."""

import ast
import json
import os
import shlex
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT, SHAPE, write_vocabulary

from src.config import loader
from src.tasks.ner.preprocess_options import PreprocessingOptions
from src.tasks.pretrain.options import PretrainEvalOptions
from src.tasks.task import TASKS
from tests.launch.test_scripts import RANK, home  # noqa: F401 (home is a fixture)
from tests.published_commands import commands, zoo_files

PROGRAMS = {f"{task.options.ZOO_SCRIPT}.py": task.options for task in TASKS.values() if task.options.ZOO_SCRIPT}
PROGRAMS["pretrain_eval.py"] = PretrainEvalOptions
PROGRAMS["finetune_data_preprocess.py"] = PreprocessingOptions
HEADS = {"run_classifier_lr.py": "linear", "run_classifier_cnn.py": "cnn"}  # of bert_multi_gpu


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders for the paths of the commands."""
    paths = {name: tmp_path_factory.mktemp(name) for name in ("weights", "data", "zoo")}
    shape = json.dumps({**SHAPE, "vocab_size": 30522})
    (paths["weights"] / "bert_config.json").write_text(shape, encoding="utf-8")
    for name in ("bert_model.ckpt.index", "bert_model.ckpt.data-00000-of-00001"):
        (paths["weights"] / name).touch()
    write_vocabulary(paths["weights"] / "vocab.txt")
    for name in zoo_files.FILES:
        zoo_files.write(paths["zoo"], name)
    return paths


@pytest.mark.parametrize("command", commands.RUNS, ids=lambda command: " ".join(command.split()[:3]))
def test_the_flags_of_a_printed_command_are_loaded(command, folders, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command.format(**folders))
    words = words[words.index("python") + 1 :]
    name = os.path.basename(words[0])
    flags = [*words[1:], f"--head={HEADS[name]}"] if name in HEADS else words[1:]
    options = loader.load(PROGRAMS["run_classifier.py" if name in HEADS else name], flags)
    if hasattr(options, "train_batch_size") and "--config_path" not in command:
        wanted = next((word.split("=")[1] for word in flags if word.startswith(("--train_batch_size=", "--batch_size="))), None)
        assert wanted is None or options.train_batch_size == int(wanted)


@pytest.fixture
def call(home):  # noqa: F811
    """`call(command)`: a printed command in a copy of the repository with one device of each kind, whose run scripts only print."""
    for name in ("pretrain_eval.py", "run_eval_onnx.py"):
        (home / name).write_text(RANK)
    for name in ("train_cls.sh", "pretrain.sh"):
        shutil.copy(ROOT / name, home / name)
    for name in ("checkpoint", "squad"):
        (home / name).mkdir()
    (home / "checkpoint/bert.pt").touch()
    found = "*config.json) return 1 ;; *nvidia*) echo /dev/nvidia0 ;; *) echo /dev/davinci0 ;;"
    devices = {"BASH_FUNC_compgen%%": f'() {{ case "$1$2" in {found} esac; }}'}  # replaces the builtin

    def run(command):
        return subprocess.run(
            shlex.split(command), cwd=home, env=os.environ | devices | {"DATA_PATH": "."}, capture_output=True, text=True, timeout=60
        )

    return run


@pytest.mark.parametrize(
    "command",
    [pytest.param(command, marks=pytest.mark.slow if command in commands.TRIED_ELSEWHERE else ()) for command in commands.SCRIPTS],
)
def test_a_printed_script_starts_its_program(command, call):
    done = call(command)
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout
    if said.startswith(("run_", "pretrain")):  # the stub's own line
        name, _, flags = said.strip().split(" ", 2)
        said = " ".join([name, *ast.literal_eval(flags)])
    assert commands.SCRIPTS[command] in said


def test_the_measures_of_squad_are_a_file_of_its_own(tmp_path):
    question = {"id": "1", "question": "?", "answers": [{"text": "b", "answer_start": 2}]}
    gold = {"version": "1.1", "data": [{"title": "", "paragraphs": [{"context": "a b c", "qas": [question]}]}]}
    (tmp_path / "dev.json").write_text(json.dumps(gold), encoding="utf-8")
    (tmp_path / "predictions.json").write_text(json.dumps({"1": "b"}), encoding="utf-8")
    files = [str(tmp_path / "dev.json"), str(tmp_path / "predictions.json")]
    shutil.copy(ROOT / "squad_evaluate-v1.1.py", tmp_path)
    command = [sys.executable, "squad_evaluate-v1.1.py", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert json.loads(done.stdout) == {"exact_match": 100.0, "f1": 100.0}
    copied = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert copied.stdout == done.stdout
    alone = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True)
    assert alone.returncode == 1 and alone.stderr.startswith("error: run it in the folder of run_squad.py")
