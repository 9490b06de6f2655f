"""Files that are not what their name says are named, with what to do; wrapped weights load."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from src import cli
from src.files import read_json_object
from src.formats import names, tokenizer_files, weights
from src.formats.safetensors_file import write
from src.tasks.squad.file import read_squad
from src.text.lines import read_lines
from src.text.tables import read_rows

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"
READERS = [read_rows, read_squad, lambda path: list(read_lines(path))]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (POINTER, "a Git LFS pointer, .* `git lfs pull`"),
        (b"PK\x03\x04" + b"\0" * 20, "a zip archive, as .xlsx .* unpack it, or save the table as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0", "a file of Excel or Word .* save it as CSV"),
        (b"\x89HDF\r\n\x1a\n\0", "an HDF5 file"),
        (b"PAR1\0", "a Parquet file"),
        (b"%PDF-1.4", "a PDF file"),
    ],
)
def test_file_that_is_no_text_is_named(read, data, message, tmp_path):
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(ValueError, match=f"a.csv: {message}"):
        read(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("config.json", read_json_object),
        ("vocab.txt", tokenizer_files.read_tokenizer_files),
        ("tokenizer.json", tokenizer_files.read_tokenizer_files),
        ("model.safetensors", weights.read),
        ("pytorch_model.bin", weights.read),
        ("a.ckpt", weights.read),
    ],
)
def test_pointer_in_place_of_a_models_file_is_named(name, read, tmp_path):
    (tmp_path / name).write_bytes(POINTER)
    with pytest.raises(ValueError, match=f"{name}: a Git LFS pointer"):
        read(tmp_path / name)


def test_weights_of_keras_and_of_lightning_are_named(tmp_path):
    (tmp_path / "tf_model.h5").write_bytes(b"\x89HDF\r\n\x1a\n\0")
    for path in (tmp_path, tmp_path / "tf_model.h5"):
        with pytest.raises(ValueError, match="tf_model.h5: weights of Keras .HDF5., which are not read; give Google's"):
            weights.read(path)
    shutil.copy(GOLDEN / "torch/under_state_dict.pt", tmp_path / "epoch=1.ckpt")
    with pytest.raises(ValueError, match="epoch=1.ckpt: a checkpoint of PyTorch, such as Lightning's: rename it to epoch=1.pt"):
        weights.read(tmp_path / "epoch=1.ckpt")
    assert weights.read((tmp_path / "epoch=1.ckpt").rename(tmp_path / "epoch=1.pt")).arrays
    with zipfile.ZipFile(tmp_path / "folder.bin", "w") as archive:
        archive.writestr("model/vocab.txt", b"")
    with pytest.raises(ValueError, match="no data.pkl in the archive, .*unpack other archives"):
        weights.read(tmp_path / "folder.bin")


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "model.", "module.module.", "_orig_mod.module.", "model._orig_mod.", "model.bert."]
)
def test_prefixes_of_wrappers_are_left_out(prefix, tmp_path):
    assert names.from_huggingface(f"{prefix}embeddings.LayerNorm.gamma") == "bert.embeddings.norm.weight"
    name = f"{prefix}bert.pooler.dense.bias" if "bert" not in prefix else f"{prefix}pooler.dense.bias"
    write(tmp_path / "a.safetensors", {name: np.ones(2, np.float32)})
    assert list(weights.read(tmp_path / "a.safetensors").arrays) == ["bert.pooler.bias"]


def test_a_name_that_begins_with_dashes_is_told_how_to_write(capsys):
    parser = cli.Parser(prog="p")
    parser.add_argument("--folder")
    assert parser.parse_args(["--folder=--odd"]).folder == "--odd"
    with pytest.raises(ValueError, match="--folder: expected one argument; a value that begins with - follows a =, as in --folder=--name"):
        parser.parse_args(["--folder", "--odd"])
