"""Classifiers as the pages of PaddlePaddle and bert_multi_gpu have them: the test set's measures, and their table of titles."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest

from src.config import loader
from src.tasks.classifier.examples import Example
from src.tasks.classifier.options import ClassifierOptions
from src.tasks.classifier.results import report_predictions
from src.tasks.task import Prepared


class Titles(list):
    """Examples, with their labels as a column."""

    @property
    def labels(self):
        return [example.label for example in self]


def predict(folder, logits, labels, **settings):
    config = ClassifierOptions(labels=("0", "1"), num_class=2, output_dir=str(folder), **settings)
    examples = Titles(Example(f"title {number}", None, label, number + 1) for number, label in enumerate(labels))
    records = {"predict": SimpleNamespace(rows={"label_ids": np.zeros(len(logits))})}
    report_predictions(Prepared(config, records, None, {"predict": examples}), [np.log(np.asarray(logits))])


LOGITS = [[0.9, 0.1], [0.25, 0.75], [0.5, 0.4]]


def test_do_test_measures_the_test_set(tmp_path, capsys):
    predict(tmp_path, LOGITS, "011", do_test=True)
    measures = json.loads((tmp_path / "test_measures.json").read_text(encoding="utf-8"))
    assert (measures["num_examples"], measures["accuracy"]) == (3, pytest.approx(2 / 3))
    assert "test set: num_examples=3 eval_loss=" in capsys.readouterr().out
    predict(tmp_path / "other", LOGITS, "011", do_predict=True)
    assert not (tmp_path / "other/test_measures.json").exists()


def test_predictions_have_the_columns_of_titles(tmp_path):
    predict(tmp_path, LOGITS, "011", prediction_columns="titles")
    with open(tmp_path / "predictions.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["title", "label", "prob", "pre_label", "confident"]
    assert rows[1] == ["title 0", "0", "[0.900000 0.100000]", "0", "0.100000"]
    assert rows[2] == ["title 1", "1", "[0.250000 0.750000]", "1", "0.750000"]


def test_a_test_set_without_labels_is_refused(job, tmp_path):
    from src.tasks.classifier import task  # imports MindSpore

    path = tmp_path / "test.tsv"
    path.write_text("text\tlabel\nthe cat\tpositive\na dog\tunknown\n", encoding="utf-8")
    flags = job(do_test="true", predict_data_file_path=path)
    with pytest.raises(ValueError, match=r"test.tsv:3: the label is 'unknown', which do_test=true cannot measure by \(labels: negative"):
        task.prepare(loader.load(ClassifierOptions, flags))
