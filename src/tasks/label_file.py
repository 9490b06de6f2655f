"""Files that list labels in the order of their ids: JSON in several forms, or a label a line."""

import json
import re
from pathlib import Path
from typing import Any

from src.text.json_rows import parse_objects
from src.text.tables import clean_name, read_text

_MAPS = ("label2id", "id2label")


def is_json(text: str) -> bool:
    """Whether the text of a label file is JSON."""
    return bool(re.match(r"\s*(\{|\[\s*[\"\]{])", text))


def read_json_labels(path: Path | str, text: str, kind: str) -> tuple[str, ...]:
    """Labels in id order, from `{label: id}`, `{id: label}`, either inside another object, `[label, …]`, or CLUE's `{"label": …}` lines.

    An object with label2id or id2label, such as Hugging Face's config.json, has them there; else an inner object must be the only value.

    Args:
        text: the content of the file.
        kind: tag or label, for messages.

    Raises:
        ValueError: damaged JSON, or ids that are not 0 to n-1; with file and line.
    """
    lines = list(filter(str.strip, text.split("\n")))
    if len(lines) > 1 and all(re.match(r"\s*\{\s*\"", line) for line in lines):
        return tuple(_take_label(path, line, row) for line, _, row in parse_objects(path, enumerate(text.split("\n"), 1)))
    try:
        found = json.loads(text, object_pairs_hook=_Pairs)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: no JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # from thousands of digits or brackets
        raise ValueError(f"{path}: no JSON: {error}") from None
    if not isinstance(found, _Pairs):
        return _check_list(path, found, kind)
    pairs = _find_map(path, found)
    if pairs and all(isinstance(label, str) and key.isdecimal() for key, label in pairs):
        pairs = _Pairs((label, int(key)) for key, label in pairs)
    return _order(path, text, pairs, kind)


def read_labels(path: Path | str) -> tuple[str, ...]:
    """Class names in id order, from JSON in a form of `read_json_labels`, or one a line.

    Raises:
        ValueError: a name twice, or fewer than two; also the errors of `read_text`.
    """
    text = read_text(path)
    labels = read_json_labels(path, text, "label") if is_json(text) else tuple(filter(None, map(clean_name, text.split("\n"))))
    if twice := [label for label in labels if labels.count(label) > 1]:
        raise ValueError(f"{path}: label {twice[0]!r} twice")
    if len(labels) < 2:
        raise ValueError(f"{path}: one label only, {list(labels)}: nothing to tell apart")
    return labels


class _Pairs(list[tuple[str, Any]]):
    """The keys and values of a JSON object, in which a key may be repeated."""


def _take_label(path, line, row):
    if not isinstance(row.get("label"), str | int):
        raise ValueError(f'{path}:{line}: "label" is missing; expected {{"label": …}} in each line')
    return clean_name(str(row["label"]))


def _check_list(path, found, kind):
    if not isinstance(found, list) or not all(isinstance(label, str) for label in found):
        raise ValueError(f"{path}: expected an object {{{kind}: id}} or a list of {kind}s")
    return tuple(map(clean_name, found))


def _find_map(path, pairs):
    """The pairs of the object that maps labels and ids, which may lie inside another."""
    maps = [value for key, value in pairs if key in _MAPS and isinstance(value, _Pairs)]
    if len(maps) == 2 and {tuple(map(str, pair)) for pair in maps[0]} != {tuple(map(str, pair[::-1])) for pair in maps[1]}:
        raise ValueError(f"{path}: label2id and id2label contradict each other")
    if maps:
        return maps[0]
    return pairs[0][1] if len(pairs) == 1 and isinstance(pairs[0][1], _Pairs) else pairs


def _order(path, text, pairs, kind):
    taken: dict[int, str] = {}
    for label, number in pairs:
        line = text.count("\n", 0, max(0, text.find(json.dumps(label, ensure_ascii=False)))) + 1
        if type(number) is not int or not 0 <= number < len(pairs):
            raise ValueError(f"{path}:{line}: {label!r} has id {number!r}; the {len(pairs)} {kind}s need the ids 0 to {len(pairs) - 1}")
        if number in taken:
            raise ValueError(f"{path}:{line}: {label!r} has id {number}, which {taken[number]!r} has too")
        taken[number] = clean_name(label)
    return tuple(taken[number] for number in range(len(pairs)))
