"""Labels of a table as numbers: ids of classes, or scores."""

import math
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from src.log import logger, shorten
from src.text.tables import match_case


def find_ids(path: Path | str, names: Sequence[str], lines: Sequence[int], labels: Collection[str]) -> Iterator[int]:
    """Yield the id of each name in `labels`, from which it may differ in case; -1 for an empty name.

    Args:
        path, lines: named in errors.
    """
    ids = {"": -1, **{label: number for number, label in enumerate(labels)}}
    known = match_case(set(filter(None, names)), labels)
    for label, line in zip(names, lines):
        name = known.get(label, label)
        if name not in ids:
            raise ValueError(f"{path}:{line}: unknown label {label[:80]!r}; known are {shorten(labels)}")
        yield ids[name]
    if known:
        logger.info(f"{path}: labels are matched without regard to case: {shorten(f'{name} is {known[name]}' for name in sorted(known))}")


def parse_score(path: Path | str, label: str, line: int) -> float:
    """The label of a regression; nan without one. A ValueError with file and line if it is no finite number."""
    if not label:
        return math.nan
    try:
        score = float(label)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise ValueError(f"{path}:{line}: the score {label[:80]!r} is no finite number")
    return score
