"""Folds and ensembles of taggers and of question answering: each item once, and the mean of a run with itself is that run."""

import csv
import json
import shutil

import numpy as np
import pytest
from conftest import TINY, WORDS, write_vocabulary

import run_ner
import run_squad
from src import ensemble

pytestmark = pytest.mark.slow  # two trainings each
SAME = 1e-5  # probabilities in float32, averaged in float64
ROWS = 24


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with tagged sentences and with questions, two on each text."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(1)
    sentences = [[*random.choice(WORDS, 6), ["cat", "dog", "mat"][number % 3]] for number in range(ROWS)]
    tags = {"cat": "B-PET", "dog": "B-PET", "mat": "B-THING"}
    tagged = "\n\n".join("\n".join(f"{word}\t{tags.get(word, 'O')}" for word in words) for words in sentences)
    (folder / "tagged.txt").write_text(f"{tagged}\n", encoding="utf-8")
    paragraphs = []
    for number, words in enumerate(sentences):
        text = " ".join(words)
        answers = [{"text": words[place], "answer_start": len(" ".join(words[:place])) + (place > 0)} for place in (0, 6)]
        questions = [{"id": f"{number}-{place}", "question": "it was", "answers": [answer]} for place, answer in enumerate(answers)]
        paragraphs.append({"context": text, "qas": questions})
    (folder / "questions.json").write_text(json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]}))
    (folder / "bert_config.json").write_text(json.dumps(TINY), encoding="utf-8")
    write_vocabulary(folder / "vocab.txt")
    return folder


TASKS = {
    "softmax": (run_ner, {"train_data_file_path": "tagged.txt"}),
    "crf": (run_ner, {"train_data_file_path": "tagged.txt", "use_crf": "true"}),
    "squad": (run_squad, {"train_data_file_path": "questions.json", "doc_stride": 3, "max_query_length": 4}),
}


def run(data, out, name, **changes):
    script, settings = TASKS[name]
    settings = {key: data / value if key.endswith("path") else value for key, value in settings.items()}
    common = {
        "do_train": "true",
        "folds": 2,
        "eval_epochs": 1,
        "vocab_file_path": data / "vocab.txt",
        "bert_config_file": data / "bert_config.json",
        "output_dir": out,
        "seq_length": 16,
        "bucket_list": 16,
        "train_batch_size": 4,
        "train_steps": 12,
        "optimizer.name": "AdamWeightDecay",
        "optimizer.learning_rate": 0.01,
    }
    script.main([part for key, value in {**common, **settings, **changes}.items() for part in (f"--{key}", str(value))])


def read_table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", TASKS)
def test_every_item_is_predicted_once_and_a_mean_of_equals_changes_nothing(name, data, tmp_path, capsys):
    out = tmp_path / "out"
    run(data, out, name)
    table = read_table(out / "out_of_fold.csv")
    count = ROWS * (2 if name == "squad" else 1)
    assert [int(row["row"]) for row in table] == list(range(1, count + 1))
    if name == "squad":
        assert [row["id"] for row in table] == [f"{number}-{place}" for number in range(ROWS) for place in range(2)]
        assert all(first["fold"] == second["fold"] for first, second in zip(table[::2], table[1::2]))  # on one text
    else:
        text = (data / "tagged.txt").read_text(encoding="utf-8")
        assert [row["text"] for row in table] == [
            " ".join(line.split("\t")[0] for line in sentence.splitlines()) for sentence in text.split("\n\n")
        ]
        assert json.loads(table[0]["entities"])[-1]["type"] == "PET"
    events = [json.loads(line) for line in (out / "fold-1/log.jsonl").read_text(encoding="utf-8").splitlines()]
    results = json.loads((out / "fold-1/eval_results.json").read_text(encoding="utf-8"))
    (best,) = [event for event in events if event.get("event") == "eval" and event.get("step") == results["global_step"]]
    assert {key: best[key] for key in ("eval_loss", "f1")} == {key: results[key] for key in ("eval_loss", "f1")}
    shutil.copytree(out / "fold-1", tmp_path / "copy")
    ensemble.main([str(out / "fold-1"), str(tmp_path / "copy"), "--output", str(tmp_path / "mean")])
    mean = json.loads((tmp_path / "mean/eval_results.json").read_text(encoding="utf-8"))
    for key in ("eval_loss", "f1", "num_examples"):
        assert mean[key] == pytest.approx(results[key], abs=SAME), key
