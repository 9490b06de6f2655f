"""Rows of Python objects as a file for a training: tagged text of rows with tokens and tags, JSON lines of rows with text and entities."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from src.files import write_text
from src.text import objects

ENDING = ".txt"
_TAGS = ("ner_tags", "tags")  # the names of a column of tags, the first that a row has


def write(path: Path | str, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of tokens and ner_tags or tags (lists of equal length), or of text and entities as docs/formats.md has them.

    Raises:
        ValueError: a row has neither, its lists differ in length, or a token is no text in one line.
    """
    if all("text" in row for row in rows):
        objects.write(path, rows)
        return
    write_text(path, "\n".join(_tag(number, row) for number, row in enumerate(rows)))


def _tag(number, row):
    """The lines of a sentence."""
    tokens, tags = row.get("tokens"), next((row[name] for name in _TAGS if name in row), None)
    if not isinstance(tokens, list) or not isinstance(tags, list) or len(tokens) != len(tags):
        told = f"tokens and {' or '.join(_TAGS)} of equal length, or text and entities, are expected"
        raise ValueError(f"rows[{number}]: {told}; it has {', '.join(row)}")
    for token, tag in zip(tokens, tags):
        if not isinstance(tag, str):
            raise ValueError(f"rows[{number}]: the tag {tag} of {token!r} is no name; only a ClassLabel's numbers have names")
        if not isinstance(token, str) or not token or token.splitlines() != [token]:
            raise ValueError(f"rows[{number}]: the token {token!r} is no text in one line")
    return "".join(f"{token}\t{tag}\n" for token, tag in zip(tokens, tags))
