"""The checkpoints that are kept, and the newest one: by their position in the training, never by the clock."""

import os
from types import SimpleNamespace

import numpy as np
import pytest

from src.train import checkpoint


class Step:
    """A TrainStep as far as checkpoint.save uses it."""

    def __init__(self, value):
        self.value = np.full(5, value, np.float32)

    def split_state(self, arrays):
        return arrays

    def parameters_dict(self):
        return {"a": SimpleNamespace(asnumpy=lambda: self.value)}


def save(folder, epoch, step, keep=1):
    return checkpoint.save(folder, "ner", Step(step), epoch, step, checkpoint.Position(epoch, 0, 1, 1), {}, keep)


def names(folder):
    return [path.name for path in checkpoint.find_checkpoints(folder, "ner")]


def set_clock(path, seconds):
    os.utime(path, (seconds, seconds))


@pytest.mark.parametrize("keep", [1, 2])
def test_a_clock_that_goes_back_removes_nothing_new(keep, tmp_path):
    for number in range(9, 12):
        set_clock(save(tmp_path, number, 10 * number, keep), 10_000 - number)
        assert names(tmp_path)[-1] == f"ner-{number}_{10 * number}.ckpt"
    assert names(tmp_path) == ["ner-10_100.ckpt", "ner-11_110.ckpt"][-keep:]
    assert checkpoint.step_of(tmp_path) == 110


def test_a_training_that_fell_back_keeps_what_it_writes_and_not_what_it_fell_back_from(tmp_path):
    save(tmp_path, 1, 100, keep=3)
    damaged = save(tmp_path, 2, 200, keep=3)
    damaged.write_bytes(b"")
    save(tmp_path, 2, 150, keep=2)
    assert names(tmp_path) == ["ner-1_100.ckpt", "ner-2_150.ckpt"]


def test_checkpoints_of_other_trainings_stay(tmp_path):
    others = [tmp_path / name for name in ("classifier-1_5.ckpt", "ner_1-1_5.ckpt", "model.ckpt", "more-ner-1_5.ckpt")]
    for other in others:
        other.touch()
    save(tmp_path, 1, 10)
    save(tmp_path, 2, 20)
    assert names(tmp_path) == ["ner-2_20.ckpt"]
    assert all(other.exists() for other in others)


@pytest.mark.parametrize("has_links", [True, False])
def test_the_best_is_kept_whole_beside_the_newest(has_links, tmp_path, monkeypatch):
    if not has_links:  # as on some file systems
        monkeypatch.setattr(os, "link", lambda *paths: (_ for _ in ()).throw(OSError("no links here")))
    (tmp_path / "vocab.txt").write_text("a word")
    assert checkpoint.find_best(tmp_path, "ner") is None
    first, content = save(tmp_path, 1, 10), (tmp_path / "ner-1_10.ckpt").read_bytes()
    checkpoint.keep_best(first)
    save(tmp_path, 2, 20)
    assert names(tmp_path) == ["ner-2_20.ckpt"]
    assert checkpoint.find_best(tmp_path, "ner").read_bytes() == content
    assert sorted(path.name for path in (tmp_path / "best").iterdir()) == ["ner-1_10.ckpt", "vocab.txt"]
    checkpoint.keep_best(tmp_path / "ner-2_20.ckpt")
    assert checkpoint.find_best(tmp_path, "ner") == tmp_path / "best/ner-2_20.ckpt"
    assert checkpoint.find_best(tmp_path, "classifier") is None
