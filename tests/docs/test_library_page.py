"""docs/library.md lists the public names, its blocks of Python run, and so does the notebook."""

import inspect
import json
import re
import shutil
from pathlib import Path

import pytest
from conftest import ROOT, write_vocabulary
from tiny_models import make_model, write_model

from src import library
from tests.docs import pages

PAGE = pages.read("docs/library.md")
BLOCKS = [match["text"] for match in pages.FENCE.finditer(PAGE) if match["language"] == "python"]
NOTEBOOK = ROOT / "examples/quickstart.ipynb"
FOLDERS = {  # folder -> its head, labels and settings of the training
    "bert": ("encoder", (), {}),
    "cola_finetune": ("classifier", ("a", "b", "c"), {"task_name": "custom", "columns": "text_a=0", "seq_length": 32, "num_class": 3}),
    "cluener_finetune": (
        "tagger",
        ("O", "B-name", "I-name", "B-address", "I-address"),
        {"seq_length": 32, "use_crf": True, "with_lstm": False, "tagged_pieces": "all"},
    ),
    "squad_finetune": ("span", (), {"seq_length": 32, "doc_stride": 8, "max_query_length": 8, "version_2_with_negative": False}),
}


def list_names():
    """Public names of the library, those of its classes too."""
    for name in library.__all__:
        yield name, getattr(library, name)
        if inspect.isclass(getattr(library, name)):
            members = vars(getattr(library, name)).items()
            yield from ((f"{name}.{member}", value) for member, value in members if not member.startswith("_"))


@pytest.mark.parametrize(("name", "value"), list(list_names()), ids=lambda value: value if isinstance(value, str) else "")
def test_public_names_have_docstrings_and_are_listed_with_their_arguments(name, value):
    assert inspect.getdoc(value)
    arguments = "".join(f", {each}" for each in inspect.signature(value).parameters if each != "self") if callable(value) else ""
    listed = [re.sub(r"=[^,)]+", "", text).replace("**", "") for text in re.findall(r"`([^`]+)`", pages.FENCE.sub("", PAGE))]
    assert name in listed or f"{name}({arguments[2:]})" in listed


def test_the_blocks_are_short():
    assert len(BLOCKS) == 6
    assert max(len([line for line in block.splitlines() if line]) for block in BLOCKS) <= 5


@pytest.mark.slow
def test_the_blocks_run(tmp_path, monkeypatch, capsys):
    vocabulary = write_vocabulary(tmp_path / "vocab.txt").read_bytes()
    model = make_model(vocab_size=len(vocabulary.splitlines()), max_position_embeddings=128)
    for name, (kind, labels, trained_with) in FOLDERS.items():
        described = {"labels": labels, "trained_with": trained_with, "vocabulary": vocabulary}
        write_model(tmp_path / name, model, kind, **described)
    monkeypatch.chdir(tmp_path)
    for block in BLOCKS:
        exec(block, {})
    printed = capsys.readouterr().out
    assert "['[CLS]', 'the', 'cat', 'sat', 'on', 'the', 'mat', '.', '[SEP]'] (9, 32)" in printed
    assert "(2, 32) [[" in printed and (tmp_path / "run/rows/train.jsonl").is_file()


def test_the_notebook_is_stored_without_outputs():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells if cell["cell_type"] == "code")


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, encoder):
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed (requirements-dev.txt)")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed (requirements-dev.txt)")
    for name in ("src", "configs"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(NOTEBOOK.parent, tmp_path / "examples")
    notebook = nbformat.read(Path(tmp_path, "examples", NOTEBOOK.name), as_version=4)
    nbclient.NotebookClient(notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": tmp_path / "examples"}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("text/plain" in output.get("data", {}) for output in outputs)
    assert (tmp_path / "examples/run/eval_results.json").is_file()
