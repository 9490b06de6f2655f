"""Vocabularies: token -> id of a vocab.txt or a tokenizer.json alone.

vocab.txt has one token per line; the line number from 0 is the id. tokenizer.json contains everything (transformers 5 writes no vocab.txt).
"""

import io
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.files import read_json_object, refuse_pointer
from src.log import shorten

FAST = "tokenizer.json"
MAX_IDS = 10_000_000  # the limit of model.vocab_size; bounds the list of tokens, whatever a file says
SHOWN = 4  # tokens in a message


def find_vocabulary(folder: Path | str) -> Path | None:
    """The vocab.txt of a folder, or else its tokenizer.json; None if it has neither."""
    return next((path for name in ("vocab.txt", FAST) if (path := Path(folder) / name).is_file()), None)


def count_ids(vocabulary: Mapping[str, int]) -> int:
    """The number of rows that an embedding needs for a vocabulary, token -> id."""
    return max(vocabulary.values(), default=-1) + 1


def list_tokens(vocabulary: Mapping[str, int]) -> list[str]:
    """The token of each id; an empty string for an id without one."""
    tokens = [""] * count_ids(vocabulary)
    for token, number in vocabulary.items():
        tokens[number] = token
    return tokens


def number_tokens(path: Path | str) -> tuple[dict[str, int], list[str]]:
    """(token -> id, notes) of a vocab.txt or a tokenizer.json alone, without the files beside it."""
    return (number_fast(path, read_json_object(path)), []) if Path(path).suffix == ".json" else _number_lines(path)


def _number_lines(path: Path | str) -> tuple[dict[str, int], list[str]]:
    """(token -> id, notes) of a vocab.txt. A repeated token has the id of its last line; a blank line is not a token.

    Whitespace around a token is dropped, unless that would make two tokens equal.
    """
    try:
        text = refuse_pointer(path, Path(path).read_bytes()).decode("utf-8-sig")
        lines = io.StringIO(text, newline=None).read().split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a UTF-8 text file: {error.reason} at byte {error.start}") from None
    if lines[-1] == "":
        lines.pop()
    alike = Counter(line.strip() for line in set(lines))
    vocabulary: dict[str, int] = {}
    repeated = []
    for number, line in enumerate(lines):
        token = line.strip()
        token = token if token and alike[token] == 1 else line
        if token and token in vocabulary:
            repeated.append(token)
        vocabulary[token] = number
    blank = lines.count("")
    vocabulary.pop("", None)
    notes = [f"{path}: {blank} blank lines, whose ids have no token"] if blank else []
    if repeated:
        notes.append(f"{path}: {len(repeated)} tokens are repeated, and have the id of their last line: {shorten(repeated, SHOWN)}")
    return vocabulary, notes


def number_fast(path: Path | str, fast: Mapping[str, Any]) -> dict[str, int]:
    """token -> id of a tokenizer.json; tokens with a line break, which no text yields, are left out."""
    vocabulary = get_object(fast, "model").get("vocab")
    if not isinstance(vocabulary, dict) or not all(type(number) is int and 0 <= number < MAX_IDS for number in vocabulary.values()):
        raise ValueError(f"{path}: model.vocab must map tokens to numbers from 0 to {MAX_IDS - 1}")
    if len(set(vocabulary.values())) < len(vocabulary):
        raise ValueError(f"{path}: model.vocab gives two tokens one id")
    return {token: number for token, number in vocabulary.items() if token and not set(token) & {"\n", "\r"}}


def get_object(fast: Mapping[str, Any], key: str) -> dict[str, Any]:
    """An object of a tokenizer.json; empty if it is absent."""
    return fast[key] if isinstance(fast.get(key), dict) else {}
