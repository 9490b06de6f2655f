"""Rows of JSON: a value a line, or the elements of one array, which may span lines; each with its line."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

_BLANK = re.compile(r"[ \t\r\n]*")
_OBJECTS = re.compile(r"[ \t\r\n]*\[[ \t\r\n]*\{[ \t\r\n]*[\"}]")


def parse_values(
    path: Any, lines: Iterable[tuple[int, str]], fault: str = "not JSON", decoder: json.JSONDecoder | None = None
) -> Iterator[tuple[int, str, Any]]:
    """(line, text, value) of each row.

    A file whose first character is [ is one array, and is read whole; any other has a value a line, and blank lines are skipped. A
    comma after a value is ignored.

    Args:
        path: named in errors.
        lines: (number, line), without line ends.
        fault: what a line is called that is not JSON.

    Raises:
        ValueError: damaged JSON, with file and line.
    """
    decoder = decoder or json.JSONDecoder()
    rest = iter(lines)
    first = next(((number, row) for number, row in rest if row.strip()), None)
    if first is None:
        return
    if first[1].lstrip().startswith("["):
        yield from _parse_array(path, first[0], "\n".join([first[1], *(row for _, row in rest)]), decoder)
        return
    for number, row in chain([first], rest):
        if not row.strip():
            continue
        try:
            value = _parse_line(row, decoder)
        except RecursionError:
            raise ValueError(f"{path}:{number}: {fault}: nested too deeply") from None
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {fault}: {_describe(error)}") from None
        yield number, row, value


def _skip_blank(text, start):
    """The position of the first character from `start` on that is not blank."""
    blank = _BLANK.match(text, start)
    assert blank is not None  # it may be empty
    return blank.end()


def _parse_line(row, decoder):
    value, end = decoder.raw_decode(row, _skip_blank(row, 0))
    end = _skip_blank(row, end)
    if row[end:].rstrip(" \t\r") not in ("", ","):
        raise json.JSONDecodeError("Extra data", row, end)
    return value


def _parse_array(path, first_line, text, decoder):
    line, counted, position = first_line, 0, _skip_blank(text, text.index("[") + 1)
    try:
        while text[position : position + 1] != "]":
            value, end = decoder.raw_decode(text, position)
            line += text.count("\n", counted, position)
            counted = position
            yield line, text[position:end], value
            position = _skip_blank(text, end)
            if text[position : position + 1] == ",":
                position = _skip_blank(text, position + 1)
            elif text[position : position + 1] != "]":
                raise json.JSONDecodeError("',' or ']' expected", text, position)
        if text[position + 1 :].strip(" \t\r\n"):
            raise json.JSONDecodeError("text after the end of the array", text, position + 1)
    except RecursionError:
        raise ValueError(f"{path}:{line}: damaged JSON array: nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{first_line + text.count(chr(10), 0, error.pos)}: damaged JSON array: {error.msg}") from None
    except ValueError as error:
        line += text.count("\n", counted, position)
        raise ValueError(f"{path}:{line}: damaged JSON array: {error}") from None


def parse_objects(path: Any, lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """The rows of `parse_values`, each of which must be an object with keys, none of them twice."""
    for line, row, value in parse_values(path, lines, NO_OBJECT, _STRICT):
        if not isinstance(value, dict) or not value:
            raise ValueError(f"{path}:{line}: {NO_OBJECT}: found {row[:40]!r}")
        yield line, row, value


NO_OBJECT = "no JSON object in one line"


def holds_objects(text: str) -> bool:
    """Whether a text begins like JSON lines or an array of objects."""
    try:
        if _OBJECTS.match(text):
            return bool(next(parse_objects("", [(1, text)])))
        return isinstance(value := _parse_line(text.partition("\n")[0], _STRICT), dict) and bool(value)
    except (ValueError, RecursionError):
        return False


def _describe(error):
    return f"{error.msg} at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else str(error)


def _make_dict(pairs):
    found = dict(pairs)
    if len(found) < len(pairs):
        key = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"key {key[:40]!r} twice")
    return found


_STRICT = json.JSONDecoder(object_pairs_hook=_make_dict)
