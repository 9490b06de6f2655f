"""Cross-validation: which items of a training file are held out in which fold."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

_BINS = 10  # of the scores of a regression


def choose_rows(config: Any, split: str, path: Path | str, strata: Sequence[str], groups: Sequence[str] | None = None) -> list[int]:
    """The numbers from 0 of the items of a split: all, or of the training file those that one fold trains on, or holds out for evaluation.

    Args:
        config: FineTuneOptions; folds, fold and seed count.
        path, strata, groups: see `assign_folds`.
    """
    if config.fold is None or split == "predict":
        return list(range(len(strata)))
    is_held_out = assign_folds(path, strata, groups, config.folds, config.seed) == config.fold
    return np.flatnonzero(is_held_out if split == "eval" else ~is_held_out).tolist()


def assign_folds(path: Path | str, strata: Sequence[str], groups: Sequence[str] | None, folds: int, seed: int) -> np.ndarray:
    """The fold, from 1, of each item: int [items].

    Args:
        path: named in errors.
        strata: the class of each item; each fold has about the same share of each class.
        groups: the group of each item; items of a group are in one fold. None: each item is a group.

    Raises:
        ValueError: more folds than items of the rarest class, or than groups.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # takes long to import

    rarest, count = min(Counter(strata).items(), key=lambda pair: pair[1])
    if count < folds:
        raise ValueError(f"folds={folds}: {path} has only {count} rows of the rarest class, {rarest!r}; each fold needs one")
    if groups is not None and len(set(groups)) < folds:
        raise ValueError(f"folds={folds}: {path} has only {len(set(groups))} groups of rows that must not be divided")
    splitter = (StratifiedKFold if groups is None else StratifiedGroupKFold)(folds, shuffle=True, random_state=seed)
    found = np.zeros(len(strata), np.int64)
    for number, (_, held_out) in enumerate(splitter.split(np.zeros(len(strata)), list(strata), groups), 1):
        if not len(held_out):
            raise ValueError(f"folds={folds}: {path} has a group of rows so large that a fold stays empty")
        found[held_out] = number
    return found


def bin_scores(scores: Sequence[float], folds: int) -> list[str]:
    """Classes of the scores of a regression: up to ten of equal size by rank, each with enough rows for all folds."""
    bins = max(1, min(_BINS, len(scores) // folds))
    ranks = np.argsort(np.argsort(scores, kind="stable"), kind="stable")
    return [f"scores {number + 1} of {bins} by rank" for number in ranks * bins // len(scores)]
