"""Measures and thresholds of several labels a text, counted by hand."""

import itertools

import numpy as np
import pytest
from scipy.special import logit
from sklearn import metrics as theirs

from src.tasks.classifier.measures import multi_label_metrics
from src.tasks.classifier.thresholds import find_thresholds, tune

LABELS = ("a", "b", "c", "never")


def make_texts(seed, texts=40):
    """Probabilities [texts, 4], with ties, and labels, of which the last never occurs."""
    random = np.random.default_rng(seed)
    truth = (random.random((texts, 4)) < [0.5, 0.2, 0.1, 0.0]).astype(np.int8)
    truth[0, :3] = 1
    return np.round(np.clip(truth * 0.3 + random.random((texts, 4)) * 0.7, 0.01, 0.99), 2), truth


def f1_of(truth, predicted):
    hits, wrong = int((truth & predicted).sum()), int((truth ^ predicted).sum())
    return 2 * hits / (2 * hits + wrong) if hits else 0.0


@pytest.mark.parametrize("seed", range(3))
def test_measures_are_counted_by_hand_and_scikit_learns(seed):
    probabilities, truth = make_texts(seed)
    thresholds = np.array([0.5, 0.4, 0.6, 0.5])
    found = multi_label_metrics(logit(probabilities), truth, LABELS, thresholds)
    predicted = (probabilities >= thresholds).astype(np.int8)
    assert found["micro_f1"] == pytest.approx(f1_of(truth, predicted))
    assert found["macro_f1"] == pytest.approx(np.mean([f1_of(truth[:, n], predicted[:, n]) for n in range(4)]))
    assert found["sample_f1"] == pytest.approx(np.mean([f1_of(*pair) for pair in zip(truth, predicted)]))
    assert found["subset_accuracy"] == np.mean([np.array_equal(*pair) for pair in zip(truth, predicted)])
    assert found["micro_precision"] == pytest.approx(int((truth & predicted).sum()) / int(predicted.sum()))
    assert found["micro_recall"] == pytest.approx(int((truth & predicted).sum()) / int(truth.sum()))
    right = np.where(truth == 1, probabilities, 1 - probabilities)
    assert found["eval_loss"] == pytest.approx(-np.log(right).mean())
    areas = [theirs.average_precision_score(truth[:, n], probabilities[:, n]) for n in range(3)]
    assert found["mean_average_precision"] == pytest.approx(np.mean(areas))
    for number, label in enumerate(LABELS[:3]):
        of_label = found["per_label"][label]
        assert of_label["auc"] == pytest.approx(theirs.roc_auc_score(truth[:, number], probabilities[:, number]))
        assert of_label["f1"] == pytest.approx(f1_of(truth[:, number], predicted[:, number]))
        assert (of_label["threshold"], of_label["num_examples"]) == (thresholds[number], truth[:, number].sum())
    assert found["per_label"]["never"].keys() == {"threshold", "num_examples", "precision", "recall", "f1"}


def test_texts_without_any_label_have_no_mean_average_precision():
    found = multi_label_metrics(np.full((3, 2), -9.0), np.zeros((3, 2)), ("a", "b"), np.full(2, 0.5))
    assert found["subset_accuracy"] == 1 and found["micro_f1"] == 0 and "mean_average_precision" not in found


@pytest.mark.parametrize("seed", range(3))
def test_tuned_thresholds_are_as_good_as_the_best_of_all(seed):
    probabilities, truth = make_texts(seed)
    candidates = np.arange(0, 1.005, 0.005)  # probabilities have two digits
    (one,) = tune("one", LABELS, probabilities, truth)
    best = max(f1_of(truth, (probabilities >= cut).astype(np.int8)) for cut in candidates)
    assert f1_of(truth, (probabilities >= float(one)).astype(np.int8)) == pytest.approx(best)
    each = find_thresholds(tune("each", LABELS, probabilities, truth), LABELS)
    for number in range(3):
        of_label = truth[:, number]
        best = max(f1_of(of_label, (probabilities[:, number] >= cut).astype(np.int8)) for cut in candidates)
        assert f1_of(of_label, (probabilities[:, number] >= each[number]).astype(np.int8)) == pytest.approx(best)
    assert each[3] == 0.5  # nothing tells


def test_a_threshold_parts_neighbouring_probabilities_however_close():
    low, high = 0.3, np.nextafter(0.3, 1)
    for pair, truth in itertools.product([(low, high)], [(0, 1)]):
        (found,) = tune("one", ("a",), np.array(pair)[:, None], np.array(truth)[:, None])
        assert low < float(found) <= high
    assert tune("one", ("a",), np.array([[0.1], [0.7]]), np.array([[0], [1]])) == ("0.4",)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((), [0.5, 0.5, 0.5]),
        (("0.3",), [0.3, 0.3, 0.3]),
        (("b=0.2", "0.3"), [0.3, 0.2, 0.3]),
        (("0.1", "0.2", "1"), [0.1, 0.2, 1]),
        (("x=y=0.4",), [0.5, 0.5, 0.4]),
    ],
)
def test_thresholds_are_for_all_or_by_name_or_in_order(given, expected):
    assert find_thresholds(given, ("a", "b", "x=y")).tolist() == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("rude=0.4",), "thresholds=rude=0.4: there is no label 'rude'; the labels are a, b, c"),
        (("0.4", "0.5"), "2 numbers; expected one, or one for each of 3 labels"),
        (("0.4", "0.5", "0.6", "a=0.1"), "3 numbers"),
        (("a=high",), "thresholds=a=high: a number from 0 to 1"),
        (("1.5",), "thresholds=1.5: a number from 0 to 1"),
    ],
)
def test_thresholds_that_fit_no_label_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        find_thresholds(given, ("a", "b", "c"))
