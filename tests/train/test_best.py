"""The best score of a training and the patience with it, also when it is resumed."""

import json
import math

import pytest

from src.config.training import DeviceSettings
from src.train.best import Best


def add_all(best, values, first=1):
    return [best.add(step, {best.metric: value}) for step, value in enumerate(values, first)]


@pytest.mark.parametrize(
    ("metric", "values", "gains", "kept"),
    [
        ("f1", [0.5, 0.7, 0.7, 0.6, 0.8], [True, True, False, False, True], (0.8, 5)),
        ("eval_loss", [0.5, 0.7, 0.4, 0.4], [True, False, True, False], (0.4, 3)),
        ("perplexity", [9, 8], [True, True], (8, 2)),
        ("auc", [None, math.nan, 0.3], [False, False, True], (0.3, 3)),
    ],
)
def test_only_a_better_score_is_a_gain(metric, values, gains, kept):
    best = Best(metric)
    assert add_all(best, values) == gains
    assert (best.score, best.step) == kept


def test_a_score_that_is_not_defined_is_told_and_no_gain(caplog):
    best = Best("auc", patience=1)
    assert not best.add(7, {"accuracy": 1.0})
    assert "eval step=7: auc is undefined" in caplog.text
    assert best.ends_training and best.fields["best_score"] is None


def test_patience_counts_evaluations_since_the_best():
    best = Best("f1", patience=2)
    add_all(best, [0.5, 0.4, 0.6, 0.6])
    assert not best.ends_training
    best.add(5, {"f1": 0.1})
    assert best.ends_training
    assert not Best("f1").ends_training


def test_a_resumed_training_knows_what_was_known_at_its_checkpoint(tmp_path):
    scores = [(10, 0.5), (20, 0.7), (30, 0.9), (20, 0.6), (30, 0.65), (40, 0.8)]  # it was resumed at 10 before
    records = [{"event": "compile"}, {"step": 5, "loss": 1.0}, *({"event": "eval", "step": step, "f1": value} for step, value in scores)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in [*records, {"event": "eval", "rows": 3}]))
    for last_step, known in ((5, (0, 0)), (10, (10, 0)), (25, (20, 0)), (39, (30, 0)), (40, (40, 0))):
        best = Best("f1")
        best.recall(tmp_path / "log.jsonl", last_step, DeviceSettings())
        assert (best.step, best.waited) == known
    best = Best("f1")
    best.recall(tmp_path / "absent.jsonl", 40, DeviceSettings())
    assert math.isnan(best.score)


def test_a_damaged_log_is_named_with_its_line(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n{"ev\n')
    with pytest.raises(ValueError, match="log.jsonl:2: not JSON"):
        Best("f1").recall(tmp_path / "log.jsonl", 9, DeviceSettings())
