import itertools

import numpy as np
import pytest

from src.tasks.classifier.measures import classification_metrics


def make_case(seed, rows, classes):
    random = np.random.default_rng(seed)
    return random.normal(size=(rows, classes)).astype(np.float32), random.integers(0, classes, rows).astype(np.int32)


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_loss_and_accuracy_are_means_over_rows(classes, seed):
    logits, labels = make_case(seed, 40, classes)
    found = classification_metrics(logits, labels)
    exponents = np.exp(logits.astype(np.float64))
    assert found["num_examples"] == 40
    assert found["eval_loss"] == pytest.approx(-np.log(exponents[np.arange(40), labels] / exponents.sum(1)).mean(), rel=1e-12)
    assert found["accuracy"] == np.mean(logits.argmax(1) == labels)


def prf(labels, predicted, positive):
    true = sum(a == positive == b for a, b in zip(labels, predicted))
    precision = true / max(1, sum(b == positive for b in predicted))
    recall = true / max(1, sum(a == positive for a in labels))
    return precision, recall, 2 * precision * recall / (precision + recall) if true else 0.0


@pytest.mark.parametrize("seed", range(3))
def test_binary_measures_are_of_class_one(seed):
    logits, labels = make_case(seed, 50, 2)
    found, predicted = classification_metrics(logits, labels), logits.argmax(1)
    assert [found[name] for name in ("precision", "recall", "f1")] == pytest.approx(prf(labels, predicted, 1))
    tp, fp, fn, tn = (sum((b == y) & (a == x) for a, b in zip(labels, predicted)) for x, y in ((1, 1), (0, 1), (1, 0), (0, 0)))
    assert found["mcc"] == pytest.approx((tp * tn - fp * fn) / np.sqrt(float((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))))


@pytest.mark.parametrize("seed", range(3))
def test_macro_measures_are_means_over_classes(seed):
    logits, labels = make_case(seed, 60, 4)
    found, predicted = classification_metrics(logits, labels), logits.argmax(1)
    expected = np.mean([prf(labels, predicted, label) for label in range(4)], axis=0)
    assert [found[name] for name in ("precision", "recall", "f1")] == pytest.approx(list(expected))
    # Gorodkin's R_K from the sums of the confusion matrix
    t, p = np.bincount(labels, minlength=4).astype(float), np.bincount(predicted, minlength=4).astype(float)
    c, s = (labels == predicted).sum(), len(labels)
    assert found["mcc"] == pytest.approx((c * s - t @ p) / np.sqrt((s * s - p @ p) * (s * s - t @ t)))


def test_class_that_never_occurs_does_not_count():
    logits = np.eye(4)[[0, 1, 1, 0]] * 3
    with_three = classification_metrics(logits, np.array([0, 1, 0, 0]))
    assert with_three["f1"] == pytest.approx((4 / 5 + 2 / 3) / 2)


@pytest.mark.parametrize("seed", range(4))
def test_auc_is_the_share_of_ordered_pairs(seed):
    logits, labels = make_case(seed, 30, 2)
    logits = np.round(logits)  # ties
    margins = logits[:, 1] - logits[:, 0]
    pairs = list(itertools.product(margins[labels == 1], margins[labels == 0]))
    expected = np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs])
    assert len(set(margins)) < 30
    assert classification_metrics(logits, labels)["auc"] == pytest.approx(expected)


def test_spearman_is_the_correlation_of_ranks():
    labels, predicted = np.array([0, 1, 2, 3, 4]), [1, 0, 2, 4, 3]
    found = classification_metrics(np.eye(5)[predicted], labels)
    assert found["spearman_correlation"] == pytest.approx(1 - 6 * 4 / (5 * 24))


def test_undefined_measures_are_left_out():
    varied, constant = np.array([[2.0, 0], [0, 2.0], [0, 2.0]]), np.array([[2.0, 0], [2.0, 0], [3.0, 0]])
    everything = {"num_examples", "eval_loss", "accuracy", "precision", "recall", "f1", "mcc", "spearman_correlation", "auc"}
    assert set(classification_metrics(varied, np.array([0, 1, 0]))) == everything
    assert set(classification_metrics(varied, np.array([0, 0, 0]))) == everything - {"spearman_correlation", "auc"}
    assert set(classification_metrics(varied, np.array([1, 1, 1]))) == everything - {"spearman_correlation", "auc"}
    assert set(classification_metrics(constant, np.array([0, 1, 0]))) == everything - {"spearman_correlation"}
    three = np.eye(3)[[0, 1, 2]]
    assert set(classification_metrics(three, np.array([0, 1, 0]))) == everything - {"auc"}


def test_values_are_plain_numbers():
    logits, labels = make_case(0, 10, 2)
    found = classification_metrics(logits, labels)
    assert type(found.pop("num_examples")) is int
    assert {type(value) for value in found.values()} == {float}
    assert all(np.isfinite(value) for value in found.values())
