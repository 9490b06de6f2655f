"""The probability from which a text has a label: as given, one for all labels or one for each, and as the development set chooses it."""

import math
from collections.abc import Sequence

import numpy as np
from sklearn.metrics import precision_recall_curve

from src.log import shorten

_DEFAULT = 0.5
_MAX_DIGITS = 17  # by which every float64 is told from its neighbours


def find_thresholds(given: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """The threshold of each label: float64 [C].

    Args:
        given: numbers, one for all labels or one for each in id order, or LABEL=X; both: the number is for the labels without their own.

    Raises:
        ValueError: no number from 0 to 1, a label that is not there, or another number of numbers.
    """
    bare = [_parse(text, text) for text in given if "=" not in text]
    named = [text.rpartition("=")[::2] for text in given if "=" in text]
    if len(bare) > 1 and (named or len(bare) != len(labels)):
        raise ValueError(f"thresholds={shorten(given)}: {len(bare)} numbers; expected one, or one for each of {len(labels)} labels")
    found = dict(zip(labels, bare if len(bare) > 1 else (bare or [_DEFAULT]) * len(labels)))
    for label, number in named:
        if label not in found:
            raise ValueError(f"thresholds={label}={number}: there is no label {label!r}; the labels are {shorten(labels)}")
        found[label] = _parse(f"{label}={number}", number)
    return np.array(list(found.values()), np.float64)


def _parse(text, number):
    try:
        threshold = float(number)
    except ValueError:
        threshold = math.nan
    if not 0 <= threshold <= 1:
        raise ValueError(f"thresholds={text}: a number from 0 to 1 is expected, or LABEL=NUMBER")
    return threshold


def tune(mode: str, labels: Sequence[str], probabilities: np.ndarray, label_ids: np.ndarray) -> tuple[str, ...]:
    """The setting `thresholds` that gives the highest F1.

    Args:
        mode: one: for all labels together, by micro F1; each: for every label by itself.
        probabilities: float64 [texts, C].
        label_ids: [texts, C], 0 or 1.
    """
    if mode == "one":
        return (_choose(probabilities.ravel(), label_ids.ravel()),)
    return tuple(f"{label}={_choose(probabilities[:, number], label_ids[:, number])}" for number, label in enumerate(labels))


def _choose(probabilities, label_ids):
    """The best threshold as text, with few digits; of equally good ones that nearest to the default, which also stands if none is true."""
    if not label_ids.any():
        return str(_DEFAULT)
    precision, recall, found = precision_recall_curve(label_ids, probabilities)
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    below = np.concatenate(([0.0], found[:-1]))
    best = np.flatnonzero(f1[: len(found)] == f1[: len(found)].max())
    low, high = min(zip(below[best], found[best]), key=lambda pair: abs(sum(pair) / 2 - _DEFAULT))
    numbers = (f"{(low + high) / 2:.{digits}g}" for digits in range(2, _MAX_DIGITS))
    return next((text for text in numbers if low < float(text) <= high), repr(float(high)))
