"""Reading JSON files of unknown quality: values are taken by type, and every fault is appended to a list as one line.

A path is that of an object within the file, such as server_list[0].device[3]; "" is the file's outermost object.
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

_MAX_BYTES = 4 << 20  # a rank table of 25,000 devices
_MAX_DEPTH = 8  # of nested lists and objects: a rank table means nothing below it
_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}")


class _Object(dict):
    """An object of a file, with the keys that it holds more than once."""

    repeated: list[str] = []


def load(file: Path | str) -> Any:
    """The parsed content of a file.

    Raises:
        OSError: it cannot be read. ValueError: it is not JSON, or too large.
    """
    with open(file, "rb") as stream:
        data = stream.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise ValueError(f"{file}: more than {_MAX_BYTES >> 20} MiB, too large for a rank table")
    try:
        return json.loads(data, object_pairs_hook=_make_object)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: no JSON: {error}") from None


def _make_object(pairs: list[tuple[str, Any]]) -> _Object:
    made = _Object(pairs)
    if len(made) < len(pairs):
        made.repeated = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    return made


def find_repeated_keys(node: Any, path: str = "", depth: int = _MAX_DEPTH) -> list[str]:
    """Faults of keys that an object holds more than once, down to `depth` levels."""
    faults = [f"{join(path, key)} occurs more than once" for key in getattr(node, "repeated", ())]
    values: Iterable[tuple[str, Any]] = ()
    if isinstance(node, dict):
        values = ((join(path, key), value) for key, value in node.items())
    elif isinstance(node, list):
        values = ((f"{path}[{index}]", value) for index, value in enumerate(node))
    for value_path, value in values if depth else ():
        faults += find_repeated_keys(value, value_path, depth - 1)
    return faults


def take_text(owner: Any, key: str, path: str, faults: list[str], allowed: Collection[str] | None = None) -> str | None:
    """The string under a key, if it is among those allowed; otherwise None, and a fault."""
    value = _take(owner, key, path, str, "a string", faults)
    if value is not None and allowed and value not in allowed:
        faults.append(describe(path, key, value, " or ".join(map(show, allowed))))
        return None
    return value


def take_number(owner: Any, key: str, path: str, faults: list[str], largest: int = 999_999_999) -> int | None:
    """The whole number up to `largest` under a key, written as a string; otherwise None, and a fault."""
    text = take_text(owner, key, path, faults)
    if text is not None and not (_NUMBER.fullmatch(text) and int(text) <= largest):
        faults.append(describe(path, key, text, f'a whole number from "0" to "{largest}", without leading zeros,'))
        return None
    return None if text is None else int(text)


def take_list(owner: Any, key: str, path: str, faults: list[str]) -> list[Any] | None:
    """The non-empty list under a key; otherwise None, and a fault."""
    value = _take(owner, key, path, list, "a list", faults)
    if value == []:
        faults.append(describe(path, key, value, "a non-empty list"))
    return value or None


def check_other_values(owner: Any, known: Collection[str], path: str, faults: list[str]) -> None:
    """Append a fault for each number, boolean and null under another key, for formats whose values are all strings."""
    for key in owner if isinstance(owner, dict) else ():
        if key not in known and not isinstance(owner[key], (str, dict, list)):
            faults.append(describe(path, key, owner[key], "a string"))


def find_repeats(entries: Iterable[tuple[Any, str, Any]]) -> list[str]:
    """Faults of entries (identity, path, value) whose identity an earlier entry has; entries with identity None are ignored."""
    first: dict[Any, str] = {}
    faults = []
    for identity, path, value in entries:
        if identity is not None and first.setdefault(identity, path) != path:
            faults.append(f'{path}="{value}": {first[identity]} has it already')
    return faults


def _take(owner: Any, key: str, path: str, kind: type, kind_name: str, faults: list[str]) -> Any:
    if not isinstance(owner, dict):
        fault = f"{path or 'the file'}={show(owner)}: an object is expected"
        if fault not in faults[-1:]:  # once, not for each of its keys
            faults.append(fault)
    elif key not in owner:
        faults.append(f"{join(path, key)} is missing")
    elif isinstance(owner[key], kind):
        return owner[key]
    else:
        faults.append(describe(path, key, owner[key], kind_name))
    return None


def describe(path: str, key: str, value: Any, expected: str) -> str:
    """The fault of a value that is not as expected."""
    return f"{join(path, key)}={show(value)}: {expected} is expected"


def join(path: str, key: str) -> str:
    """The path of the value under a key; characters that would break the line are escaped."""
    key = show(key)[1:-1]
    return f"{path}.{key}" if path else key


def show(value: Any) -> str:
    """A value as JSON, on one short line."""
    if isinstance(value, (dict, list)):  # may be large, and nested too deeply to be written
        return ("{...}" if isinstance(value, dict) else "[...]") if value else json.dumps(value)
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:56]}...{text[-1]}"
