import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from src.tasks.ner.measures import entity_metrics, legacy_entity_metrics, legacy_metrics, token_accuracy
from src.tasks.ner.tags import make_tag_set

GOLDEN = json.loads(gzip.decompress((Path(__file__).parent.parent / "golden" / "tagging.json.gz").read_bytes()))
A, B, C = ("PER", 0, 2), ("LOC", 4, 5), ("PER", 7, 9)


def rates(precision, recall, f1):
    return pytest.approx({"precision": precision, "recall": recall, "f1": f1})


def pick(metrics):
    return {name: metrics[name] for name in ("precision", "recall", "f1")}


def test_entity_counts_by_type_start_and_end():
    near = [("LOC", 0, 2), ("PER", 0, 1), ("PER", 1, 2), ("LOC", 4, 5)]
    found = entity_metrics([[A, B], [C]], [near, [C]])
    assert pick(found) == rates(2 / 5, 2 / 3, 0.5)
    assert found["num_entities"] == 3
    assert list(found["per_type"]) == ["LOC", "PER"]
    assert found["per_type"]["LOC"] == pytest.approx({"precision": 1 / 2, "recall": 1, "f1": 2 / 3, "support": 1})
    assert found["per_type"]["PER"] == pytest.approx({"precision": 1 / 3, "recall": 1 / 2, "f1": 0.4, "support": 2})
    assert found["macro_f1"] == pytest.approx((2 / 3 + 0.4) / 2)


@pytest.mark.parametrize("scheme", GOLDEN)
def test_entity_scores_are_those_of_seqeval(scheme):
    golden = GOLDEN[scheme]
    tag_set = make_tag_set(golden["labels"])
    found = entity_metrics(*([tag_set.find_spans(label_ids) for label_ids in golden[name]] for name in ("gold", "predicted")))
    exact = 1e-12  # the same quotients, but rounded elsewhere
    assert pick(found) == pytest.approx(pick(golden), rel=exact)
    assert found["macro_f1"] == pytest.approx(golden["macro_f1"], rel=exact)
    assert list(found["per_type"]) == list(golden["per_type"])
    for name, expected in golden["per_type"].items():
        assert found["per_type"][name] == pytest.approx(expected, rel=exact)
    assert found["num_entities"] == sum(map(len, golden["gold_spans"]))


def test_entity_in_another_sentence_is_no_hit():
    assert pick(entity_metrics([[A], []], [[], [A]])) == rates(0, 0, 0)


def test_entity_counts_once_however_often_it_is_named():
    assert pick(entity_metrics([[A, A, B]], [iter([A, A])])) == rates(1, 0.5, 2 / 3)


def test_type_that_is_predicted_alone_counts_in_the_macro_mean():
    found = entity_metrics([[A]], [[A, B]])
    assert found["macro_f1"] == 0.5
    assert found["per_type"]["LOC"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}


@pytest.mark.parametrize(("gold", "predicted"), [([], []), ([[]], [[]]), ([[A]], [[]]), ([[]], [[A]])])
def test_division_by_zero_is_zero(gold, predicted):
    found = entity_metrics(gold, predicted)
    assert pick(found) == {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    assert found["macro_f1"] == 0.0
    assert found["num_entities"] == sum(map(len, gold))


def test_sentences_of_gold_and_prediction_must_be_as_many():
    with pytest.raises(ValueError, match="shorter"):
        entity_metrics([[A], [B]], [[A]])


def test_position_without_label_does_not_count_in_accuracy():
    assert token_accuracy([-1, 0, 1, 2, -1], np.array([0, 0, 1, 1, -1])) == (2, 3)
    assert token_accuracy(np.array([-1], np.int32), np.array([0])) == (0, 0)


def count_one_by_one(labels, predicted):
    """The model zoo's F1 in binary mode, position by position."""
    positive = [(label > 0, guess > 0) for label, guess in zip(labels, predicted)]
    tp, fp, fn = positive.count((True, True)), positive.count((False, True)), positive.count((True, False))
    return tp / (tp + fp), tp / (tp + fn), 2 * tp / (2 * tp + fp + fn)


@pytest.mark.parametrize("seed", range(3))
def test_legacy_figures_are_those_of_the_model_zoo(seed):
    from mindspore.train import ConfusionMatrixMetric

    random = np.random.default_rng(seed)
    labels, classes = random.integers(0, 5, (6, 4, 10)), 5
    predicted = np.where(random.random(labels.shape) < 0.5, labels, random.integers(0, classes, labels.shape))
    zoo = ConfusionMatrixMetric(skip_channel=False, metric_name="f1 score", calculation_method=False, decrease="mean")
    for batch in range(len(labels)):
        zoo.update(np.eye(classes)[predicted[batch].ravel()], np.eye(classes)[labels[batch].ravel()])
    found = legacy_metrics(labels, predicted)
    assert found["mf1"] == pytest.approx(zoo.eval()[0], rel=1e-12)
    assert pick(found) == rates(*count_one_by_one(labels.ravel(), predicted.ravel()))
    assert found["accuracy"] == np.mean(labels == predicted)


def test_legacy_figures_count_padding_and_unlabelled_positions_as_outside():
    assert legacy_metrics([-1, 1, 2, -1, 0, 0], [0, 1, 1, 3, 0, 0]) == legacy_metrics([0, 1, 2, 0, 0, 0], [0, 1, 1, 3, 0, 0])
    found = legacy_metrics(np.array([[-1, 1, 2], [-1, 0, 0]], np.int32), np.array([[0, 1, 1], [3, 0, 0]], np.int32))
    rates = {"precision": 2 / 3, "recall": 1.0, "f1": 0.8, "mf1": 2 / 5, "accuracy": 4 / 6}
    assert found == pytest.approx({**rates, "num_correct": 4, "num_places": 6})
    nothing = legacy_metrics([0, 0], [0, 0])
    assert (nothing["f1"], nothing["mf1"], nothing["accuracy"]) == (0.0, 0.0, 1.0)


def test_legacy_entities_are_texts_and_not_places():
    gold = [[("PER", "Li"), ("PER", "Li"), ("LOC", "Xi'an")], [("PER", "Wu")]]
    found = legacy_entity_metrics(gold, [[("PER", "Li"), ("ORG", "Li")], [("PER", "Li"), ("PER", "Wu")]])
    assert {name: value["f1"] for name, value in found["per_type"].items()} == pytest.approx({"LOC": 0, "ORG": 0, "PER": 0.8})
    assert found["macro_f1"] == pytest.approx(0.8 / 3)
    assert set(found) == {"macro_f1", "per_type"}


def test_values_are_plain_numbers():
    entities = entity_metrics([[A, B]], [[A]])
    values = [*entities.pop("per_type")["PER"].values(), *entities.values(), *legacy_metrics(np.array([1]), np.array([1])).values()]
    assert {type(value) for value in values} == {int, float}
    assert {type(value) for value in token_accuracy(np.array([1]), np.array([1]))} == {int}
