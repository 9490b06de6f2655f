"""A task that stands outside of src (tests/toy_task): one folder and one line in TASKS train, evaluate, plan, export and serve it."""

import json

import numpy as np
import pytest
from conftest import TINY
from test_serve_bundle import serving

from src import fine_tune
from src.bundle.model import Bundle
from src.report import memory
from src.tasks.task import TASKS, Task


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.setitem(TASKS, "toy", Task("toy", "tests.toy_task"))


def write_texts(path, rows, seed):
    random = np.random.default_rng(seed)
    words = ("the cat", "a dog", "it was", "mat on")
    kind = ["good" if number % 2 else "bad" for number in range(rows)]
    lines = [f"{int(word == 'good')}\t{words[random.integers(4)]} {word}" for word in kind]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.slow
def test_a_task_from_outside_trains_evaluates_exports_and_serves(tmp_path, vocab_file):
    for split, rows in (("train", 64), ("dev", 16)):
        write_texts(tmp_path / f"{split}.txt", rows, rows)
    (tmp_path / "bert_config.json").write_text(json.dumps(TINY), encoding="utf-8")
    flags = {"data_dir": tmp_path, "vocab_file_path": vocab_file, "bert_config_file": tmp_path / "bert_config.json", "bucket_list": 16}
    flags |= {"output_dir": tmp_path / "out", "seq_length": 16, "epoch_num": 8, "train_batch_size": 8, "do_eval": "true"}
    flags |= {"optimizer.name": "AdamWeightDecay", "optimizer.learning_rate": 0.01, "do_train": "true", "save_for_serving": "true"}
    fine_tune.main("toy", [f"--{key}={value}" for key, value in flags.items()])
    results = json.loads((tmp_path / "out/eval_results.json").read_text(encoding="utf-8"))
    assert results["accuracy"] > 0.9
    assert (tmp_path / "out/figures/loss.png").is_file()

    bundle = Bundle(tmp_path / "out/serving")
    assert [result["kind"] for result in bundle.predict(["the cat good", "the cat bad"])] == [True, False]
    with serving(bundle) as client:
        assert client.post("/v1/models/toy:predict", json={"instances": ["a dog good"]}).json() == {"predictions": [{"kind": True}]}
        assert "Kindness" in client.get("/openapi.json").text
        assert "JSON.stringify(prediction" in client.get("/").text  # the page knows no more of this task


def test_a_task_from_outside_is_planned(tmp_path, capsys):
    memory.main(["--task", "toy", "--output", str(tmp_path), "--bert_config_file", "configs/networks/bert_tiny.json"])
    assert "largest batch" in capsys.readouterr().out
