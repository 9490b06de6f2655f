"""Vocabularies that are extended at their end: every old token keeps its id.

Not in the [unused] slots, of which some vocabularies have a thousand, some a hundred and others none.
"""

from collections.abc import Mapping
from pathlib import Path

from src.text.lines import read_lines
from src.text.tokenization import Tokenizer


def read_words(path: Path | str, tokenizer: Tokenizer, encoding: str | None = None) -> list[str]:
    """The words of a file, one a line, which become tokens if they are added to the tokenizer's vocabulary; blank lines are skipped.

    Raises:
        ValueError: naming file and line: the vocabulary or the file has the word already, or the tokenizer would never find it in a text.
    """
    lines: dict[str, int] = {}
    for number, line in read_lines(path, encoding):
        word = line.strip()
        if word in tokenizer.vocabulary:
            raise ValueError(f"{path}:{number}: {word!r} is a token of {tokenizer.vocab_file} already; expected are new words")
        if word in lines:
            raise ValueError(f"{path}:{number}: {word!r} is on line {lines[word]} already")
        if word:
            lines[word] = number
    if not lines:
        raise ValueError(f"{path}: no words; one a line is expected")
    words = list(lines)
    extended = extend(tokenizer, words)
    for word, ids in zip(words, extended.encode(words)):
        if ids != [extended.vocabulary[word]]:
            parts = ", ".join(map(repr, tokenizer.split(word))) or "nothing"
            expected = f"expected is one word as it reads it, of at most {tokenizer.max_word_chars} characters"
            raise ValueError(f"{path}:{lines[word]}: {word!r} can be no token: the tokenizer reads {parts}; {expected}")
    return words


def extend(tokenizer: Tokenizer, words: list[str]) -> Tokenizer:
    """The tokenizer with more tokens, whose ids follow the others."""
    return Tokenizer(tokenizer.vocab_file, tokenizer.do_lower_case, words)


def list_new(old: Mapping[str, int], extended: Mapping[str, int]) -> list[str] | None:
    """The tokens, in the order of their ids, that a vocabulary has more; None if an old one is absent or has another id."""
    if any(extended.get(token) != number for token, number in old.items()):
        return None
    return [token for token in extended if token not in old]
