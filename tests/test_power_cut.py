"""A power cut at any moment: what was there before, or what is there now, is left whole."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from power_cut import Disk
from test_build_records import write_text as write_corpus
from test_finetune_data_preprocess import SENTENCES, TOKENS
from tiny_models import write_model
from train.test_saving import save

from src import build_records, build_vocab, finetune_data_preprocess
from src.convert import conversion
from src.export import exporting
from src.files import move_whole, write_text, written_whole
from src.formats import mindspore_checkpoint, safetensors_file, tensorflow
from src.locks import hidden_folder
from src.records import record_set as records

ARRAYS = {"a": np.arange(7, dtype=np.float32)}
DATA_FLAGS = ["--vocab_file=vocab.txt", "--label2id=types.txt", "--data_dir=data.xml", "--save_path=new/x.mindrecord"]
BUILDER_FLAGS = ["--input_file=corpus.txt", "--vocab_file=words.txt", "--max_seq_length=16", "--max_predictions_per_seq=2", "--workers=1"]


@pytest.fixture
def disks(monkeypatch):
    """`disks(root, check)` gives a Disk."""
    made = []

    def make(root, *check):
        made.append(Disk(root, monkeypatch, *check))
        return made[-1]

    yield make
    for disk in made:
        disk.close()


def stands(root):
    """Relative path -> bytes of every file."""
    return visible({os.path.relpath(path, root): path.read_bytes() for path in root.rglob("*") if path.is_file()})


def visible(files):
    """Without locks, and without what has a temporary name, which may be left."""
    return {name: content for name, content in files.items() if not any(part.startswith(".") for part in Path(name).parts)}


def test_a_whole_checkpoint_is_left_at_any_moment(tmp_path, disks):
    saved, folder = [], tmp_path / "out" / "ckpt"

    def check(files):
        whole = []
        for name, content in files.items():
            if re.fullmatch(r"out/ckpt/ner-.*\.ckpt", name):
                copy = tmp_path.parent / f"{tmp_path.name}-left.ckpt"
                copy.write_bytes(content)
                whole.append(mindspore_checkpoint.read(copy)["a"][0])  # raises where it is empty or cut
        assert max(whole, default=-1) >= len(saved) - 1

    disk = disks(tmp_path, check)
    for number in range(3):
        saved.append(save(folder, number, number))
        for files in disk.left():
            check(files)
    assert [path.name for path in folder.glob("*.ckpt")] == ["ner-2_2.ckpt"]


def test_a_file_that_is_replaced_is_left_old_or_new(tmp_path, disks):
    write_text(tmp_path / "a.txt", "old")
    contents = set()
    disk = disks(tmp_path, lambda files: contents.add(files["a.txt"]))
    write_text(tmp_path / "a.txt", "new")
    assert contents == {b"old", b"new"}
    assert [visible(files) for files in disk.left()] == [{"a.txt": b"new"}] * 3


def test_what_was_never_flushed_is_lost(tmp_path, disks):
    disk = disks(tmp_path)
    (tmp_path / ".a").write_text("x")
    os.replace(tmp_path / ".a", tmp_path / "a")
    assert disk.left() == [{}, {"a": b""}, {}]


def write_rows(folder):
    records.cached_records(folder / "cache" / "rows", lambda: [records.join_rows([{"input_ids": [2, 4, 3], "label_ids": 1}])])


def write_hidden(folder):
    with hidden_folder(folder / "new") as hidden:
        (hidden / "graphs").mkdir()
        (hidden / "graphs" / "a.onnx").write_bytes(b"graph")
        (hidden / "b.json").write_text("{}")
        move_whole([hidden / "graphs", hidden / "b.json"], folder / "new")


def write_folder(folder):
    with written_whole(folder / "new" / "rows") as temporary:
        temporary.mkdir()
        (temporary / "a.npy").write_bytes(b"array")


def write_bundle(folder):
    with hidden_folder(folder / "bundle") as hidden:
        for name in ("model.onnx", "config.json", "bundle.json"):
            (hidden / name).write_text("{}")
        exporting.move_bundle(hidden, folder / "bundle")


WRITERS = {
    "text": lambda folder: write_text(folder / "new" / "inner" / "a.txt", "x"),
    "rows of a cache": write_rows,
    "a folder": write_folder,
    "files of a hidden folder": write_hidden,
    "a checkpoint": lambda folder: mindspore_checkpoint.write(folder / "a.ckpt", ARRAYS),
    "safetensors": lambda folder: safetensors_file.write(folder / "a.safetensors", ARRAYS),
    "a checkpoint of TensorFlow's": lambda folder: tensorflow.write(folder / "a", ARRAYS),
    "converted weights": lambda folder: conversion.convert("mindspore", "huggingface", folder / "model", folder / "converted"),
    "a bundle": write_bundle,
    "pretraining records": lambda folder: build_records.main([*BUILDER_FLAGS, "--output_file=new/x.tfrecord"]),
    "tagged records": lambda folder: finetune_data_preprocess.main(DATA_FLAGS),
    "a vocabulary": lambda folder: build_vocab.main(["--input_file=corpus.txt", "--vocab_file=new.txt", "--vocab_size=60"]),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_what_was_written_outlasts_a_power_cut(write, tmp_path, monkeypatch, vocab_file, disks):
    vocab_file.rename(tmp_path / "words.txt")
    (tmp_path / "vocab.txt").write_text(TOKENS.replace(" ", "\n"), encoding="utf-8")
    (tmp_path / "data.xml").write_text(SENTENCES, encoding="utf-8")
    (tmp_path / "types.txt").write_text("LOCATION\nPERSON\nDATE\n", encoding="utf-8")
    write_corpus(tmp_path / "corpus.txt")
    write_model(tmp_path / "model", kind="pretraining")
    before = stands(tmp_path)
    monkeypatch.chdir(tmp_path)
    disk = disks(tmp_path)
    write(tmp_path)
    now = stands(tmp_path)
    assert len(now) > len(before)
    for files in disk.left():
        assert visible(files) == now


def test_one_module_renames_files():
    others = [str(path) for path in Path(ROOT, "src").rglob("*.py") if "os.replace(" in path.read_text() and path.name != "files.py"]
    assert others == []
