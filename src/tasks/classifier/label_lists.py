"""Several labels a text: as files give them, as a JSON list of names, and as the row of 0 and 1 that the loss takes."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from src.log import logger, shorten
from src.text.tables import clean_name, match_case

_HAS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}  # pandas writes 1.0; JSON has true


class LabelReader:
    """Reads the labels of a row as a JSON list.

    Args:
        label: the column of a JSON list, or of names with `separator` between them; or a column of 0 and 1 for each of `names`.

    Attributes:
        has_split: whether the labels of some row were divided at separators.
    """

    def __init__(self, label: int | tuple[int, ...], names: Sequence[str], separator: str) -> None:
        self._label, self._names, self._separator = label, names, separator
        self.has_split = False

    def read(self, fields: Sequence[str | None]) -> str:
        """The labels of a row with these fields; a ValueError if it has none."""
        if isinstance(self._label, tuple):
            return _dump([name for name, index in zip(self._names, self._label) if _has(name, fields[index])])
        field = fields[self._label]
        if field is None:
            raise ValueError("no labels: a text without any has an empty list or field")
        if field.lstrip().startswith("["):
            names = _parse_list(field)
        else:
            self.has_split = True
            names = field.split(self._separator) if field.strip() else []
        names = [clean_name(str(name)) for name in names]
        if not all(names):
            raise ValueError(f"an empty name among the labels {field[:80]!r}")
        return _dump(list(dict.fromkeys(names)))


def _dump(names):
    return json.dumps(names, ensure_ascii=False)


def _parse_list(field):
    try:
        names = json.loads(field)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the labels {field[:80]!r} begin like a JSON list and are none: {error}") from None
    if any(isinstance(name, bool) or not isinstance(name, str | int) for name in names):
        raise ValueError(f"a list of names is expected, found {field[:80]!r}")
    return names


def _has(name, field):
    found = _HAS.get((field or "").strip().lower())
    if found is None:
        raise ValueError(f"0 or 1 is expected in the column of the label {name!r}, found {str(field)[:40]!r}")
    return found


def count_names(lists: Iterable[str]) -> Counter[str]:
    """The number of texts that have each label."""
    return Counter(name for text in lists if text for name in json.loads(text))


def warn_of_separator(names: Iterable[str]) -> None:
    """Warn of labels that look like several, with another separator than the one that was given."""
    known = set(names)
    for mark in "|;,/ ":
        joined = [name for name in known if mark in name and known.issuperset(map(clean_name, name.split(mark)))]
        if joined:
            logger.warning(f"labels such as {min(joined)!r} look like several: --label_separator {mark!r} divides them")


def find_rows(path: Path | str, lists: Sequence[str], lines: Sequence[int], labels: Sequence[str], separator: str | None) -> np.ndarray:
    """int8 [texts, C]: 1 where a text has a label, else 0; -1 in the row of a text without a list.

    Args:
        path, lines: of the texts, for errors.
        lists: the labels of each text, which may differ in case from `labels`.
        separator: at which they were divided, None if they were not.

    Raises:
        ValueError: a name that is not among `labels`, or one of these that has the separator in it.
    """
    if separator and (joined := [label for label in labels if separator in label]):
        hint = "give another --label_separator, or the labels as JSON lists"
        raise ValueError(f"{path}: the label {joined[0]!r} has the separator {separator!r} in it, so no text can have it: {hint}")
    ids = {label: number for number, label in enumerate(labels)}
    known = match_case(count_names(lists), labels)
    found = np.zeros((len(lists), len(labels)), np.int8)
    for number, text in enumerate(lists):
        if not text:
            found[number] = -1
            continue
        for name in json.loads(text):
            name = known.get(name, name)
            if name not in ids:
                raise ValueError(f"{path}:{lines[number]}: unknown label {name[:80]!r}; known are {shorten(labels)}")
            found[number, ids[name]] = 1
    return found


def choose_strata(lists: Sequence[str], folds: int) -> list[str]:
    """For each text the rarest of its labels that is frequent enough to be in every fold, by which the folds have equal shares of each.

    Texts whose labels are all rarer, or that have none, are one class together; so are those of a class that stays too small.
    """
    counts = count_names(lists)
    names = [[name for name in json.loads(text) if counts[name] >= folds] for text in lists]
    strata = [min(each, key=lambda name: (counts[name], name), default="") for each in names]
    sizes = Counter(strata)
    strata = [name if sizes[name] >= folds else "" for name in strata]
    if 0 < strata.count("") < folds:
        largest = Counter(filter(None, strata)).most_common(1)
        strata = [name or largest[0][0] if largest else name for name in strata]
    return strata
