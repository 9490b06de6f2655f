"""Measures of tagged text: exact comparison of entities, as in seqeval, and the model zoo's older measures."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np


def entity_metrics(gold: Iterable[Iterable[tuple]], predicted: Iterable[Iterable[tuple]]) -> dict[str, Any]:
    """Precision, recall and F1 of entities; a hit has the right type, start and end.

    Args:
        gold, predicted: for each sentence its entities (type, start, end); duplicates count once.

    Returns:
        precision, recall, f1 over all entities; macro_f1, the mean f1 of the types in gold or predicted; per_type, for each type
        precision, recall, f1 and support (its entities in gold); num_entities in gold. A division by zero gives 0.
    """
    true: Counter[str] = Counter()
    found: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    for expected, given in zip(gold, predicted, strict=True):
        expected, given = set(expected), set(given)
        true.update(entity[0] for entity in expected)
        found.update(entity[0] for entity in given)
        hits.update(entity[0] for entity in expected & given)
    types = sorted(true.keys() | found.keys())
    per_type = {name: _rate(hits[name], found[name], true[name]) | {"support": true[name]} for name in types}
    return {
        **_rate(hits.total(), found.total(), true.total()),
        "macro_f1": sum(rates["f1"] for rates in per_type.values()) / max(len(types), 1),
        "per_type": per_type,
        "num_entities": true.total(),
    }


def _rate(hits, found, true):
    """Precision, recall and F1 of counts."""
    precision, recall = hits / max(found, 1), hits / max(true, 1)
    return {"precision": precision, "recall": recall, "f1": 2 * hits / max(found + true, 1)}


def token_accuracy(label_ids: np.ndarray, predicted_ids: np.ndarray) -> tuple[int, int]:
    """(correct, total) over the positions with a label, which is not -1; both arrays are int, of the same shape."""
    label_ids, predicted_ids = np.asarray(label_ids), np.asarray(predicted_ids)
    labelled = label_ids >= 0
    return int(((label_ids == predicted_ids) & labelled).sum()), int(labelled.sum())


def legacy_metrics(label_ids: np.ndarray, predicted_ids: np.ndarray) -> dict[str, Any]:
    """The model zoo's measures over all positions, in which padding, [CLS] and [SEP] count as tag 0, O.

    Args:
        label_ids, predicted_ids: int arrays of the same shape, padding included; label -1 stands for 0.

    Returns:
        precision, recall, f1 (`BF1`: any tag but 0 against 0); mf1 (`MF1`: the right tag, over all tags but 0); accuracy,
        num_correct, num_places.

    Source: `mf1` is ConfusionMatrixMetric(skip_channel=False, metric_name="f1 score") of one-hot tags, which, despite that argument,
    drops the first tag, and sums over the others before it divides.
    """
    label_ids, predicted_ids = np.maximum(label_ids, 0), np.asarray(predicted_ids)
    true, found, equal = label_ids > 0, predicted_ids > 0, label_ids == predicted_ids
    num_true, num_found = int(true.sum()), int(found.sum())
    return {
        **_rate(int((true & found).sum()), num_found, num_true),
        "mf1": _rate(int((true & equal).sum()), num_found, num_true)["f1"],
        "accuracy": int(equal.sum()) / max(equal.size, 1),
        "num_correct": int(equal.sum()),
        "num_places": equal.size,
    }


def legacy_entity_metrics(gold: Iterable[Iterable[tuple]], predicted: Iterable[Iterable[tuple]]) -> dict[str, Any]:
    """CLUENER's own score, which compares the texts of entities instead of their positions.

    Args:
        gold, predicted: for each sentence its entities (type, text); duplicates count once.

    Returns:
        macro_f1 and per_type, as in `entity_metrics`.
    """
    metrics = entity_metrics(gold, predicted)
    return {name: metrics[name] for name in ("macro_f1", "per_type")}
