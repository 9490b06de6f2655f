"""A table of similar words, which replace masked words instead of [MASK].

Source: Cui et al. 2020, "Revisiting Pre-trained Models for Chinese NLP", section 3 (MacBERT).

Shapes: W words of the table, L tokens of the longest, N similar words, M masked words.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.tasks.pretrain.keyed_random import mix
from src.text.lines import read_lines
from src.text.tokenization import UNKNOWN, Tokenizer

_NO_TOKEN = -1  # after the tokens of a word


@dataclass(frozen=True)
class SimilarWords:
    """Words, each with similar words of as many tokens.

    Attributes:
        hashes: uint64 [W], of the words, ascending. words: int32 [W, L], in this order.
        firsts: int64 [W + 1], the first similar word of each. others: int32 [N, L], the similar words.
        digest: of all of them.
        num_left_out: similar words of the file that have another number of tokens than the word.
    """

    hashes: np.ndarray
    words: np.ndarray
    firsts: np.ndarray
    others: np.ndarray
    digest: str
    num_left_out: int = 0

    def tell(self) -> str:
        """The counts in words."""
        return f"words={len(self.words)} similar_words={len(self.others)} left_out={self.num_left_out} (of another number of tokens)"

    def replace(self, ids: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """A similar word for each word.

        Args:
            ids: int32 [M, L], padded with -1; a word that is longer than all of the table has -1 in every column.
            draws: uint64 [M], random numbers below 2^32.

        Returns:
            int32 [M, L]; -1 in the first column of a word that is not in the table.
        """
        number = np.minimum(np.searchsorted(self.hashes, _hash(ids)), len(self.hashes) - 1)
        is_known = (self.words[number] == ids).all(1)
        count = (self.firsts[number + 1] - self.firsts[number]).astype(np.uint64)
        chosen = self.firsts[number] + (draws * count >> np.uint64(32)).astype(np.int64)
        return np.where(is_known[:, None], self.others[chosen], _NO_TOKEN)


def _hash(ids: np.ndarray) -> np.ndarray:
    """A 64-bit hash of each word: int32 [M, L] -> uint64 [M]."""
    found = np.zeros(len(ids), np.uint64)
    for column in ids.T:
        found = mix(found + column.astype(np.int64).astype(np.uint64) + np.uint64(1))
    return found


def read_similar_words(path: Path | str, tokenizer: Tokenizer) -> SimilarWords:
    """Read a table: in each line a word and, after spaces or tabs, its similar words.

    Similar words with another number of tokens are left out, because a row keeps its length.

    Raises:
        FileNotFoundError: no such file.
        ValueError: naming file and line: a word alone, a word for the second time, or one that the vocabulary has not; or no similar
            word is left.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file; --similar_words takes lines of a word and its similar words")
    lines = [(number, parts) for number, line in read_lines(path) if (parts := line.split())]
    unknown = tokenizer.vocabulary[UNKNOWN]
    encoded = iter(tokenizer.encode([word for _, parts in lines for word in parts]))
    table: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    seen: dict[tuple[int, ...], int] = {}
    num_left_out = 0
    for number, parts in lines:
        word, *others = found = [tuple(next(encoded)) for _ in parts]
        for text, ids in zip(parts, found):
            if unknown in ids or not ids:
                raise ValueError(f"{path}:{number}: {text} is not in the vocabulary {tokenizer.vocab_file}")
        if not others:
            raise ValueError(
                f"{path}:{number}: {parts[0]} stands alone: a word and its similar words are expected, with spaces between them"
            )
        if word in seen:
            raise ValueError(f"{path}:{number}: {parts[0]} has similar words in line {seen[word]} already")
        seen[word] = number
        kept = [other for other in others if len(other) == len(word)]
        num_left_out += len(others) - len(kept)
        if kept:
            table[word] = kept
    if not table:
        raise ValueError(f"{path}: no word has a similar one of as many tokens")
    return _make_table(table, num_left_out)


def _make_table(table, num_left_out):
    """SimilarWords of tokens of words -> those of their similar words."""
    words = _pad(list(table))
    hashes = _hash(words)
    order = np.argsort(hashes)
    keys = list(table)
    sorted_others = [table[keys[number]] for number in order]
    firsts = np.cumsum([0, *map(len, sorted_others)])
    arrays = (hashes[order], words[order], firsts, _pad([other for some in sorted_others for other in some]))
    return SimilarWords(*arrays, hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()[:16], num_left_out)


def _pad(words: list[tuple[int, ...]]) -> np.ndarray:
    """Words as rows: int32 [words, L]; all words of a table are as long as its longest one or shorter."""
    found = np.full((len(words), max(map(len, words))), _NO_TOKEN, np.int32)
    for row, word in zip(found, words):
        row[: len(word)] = word
    return found
