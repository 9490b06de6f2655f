"""The words of a corpus that a vocabulary should have as tokens, because it cuts them into several pieces."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from src.tasks.pretrain.corpus.tokens import cut_lines
from src.text.tokenization import Tokenizer

_CHARS = 1 << 20  # characters of a block of text


@dataclass(frozen=True)
class NewWord:
    """A word, how often the corpus has it, and the pieces that it is cut into now."""

    word: str
    count: int
    pieces: tuple[str, ...]

    @property
    def saves(self) -> int:
        """The number of tokens by which the corpus is shorter if the word is one."""
        return self.count * (len(self.pieces) - 1)


def count_words(corpus: Iterable[str], split: Callable[[str], list[str]]) -> Iterator[tuple[str, int]]:
    """Yield each word and its frequency, once for every block of lines that has it.

    Args:
        split: text -> its words; no word goes beyond a space.
    """
    for lines in cut_lines(corpus, _CHARS):
        for text, count in Counter(" ".join(lines).split(" ")).items():
            for word in split(text):
                yield word, count


def total_words(corpus: Iterable[str], tokenizer: Tokenizer) -> Counter[str]:
    """The frequency of each word of a corpus, with the tokenizer's casing."""
    words: Counter[str] = Counter()
    for word, count in count_words(corpus, tokenizer.split):
        words[word] += count
    return words


def find_new_words(words: Counter[str], tokenizer: Tokenizer, limit: int, min_frequency: int) -> list[NewWord]:
    """The words that save the most pieces as tokens, at most `limit`, the most useful first.

    A word that is [UNK] now saves none, and a Chinese word of several characters is several words to the tokenizer.
    """
    found = []
    for word, pieces in zip(words, tokenizer.cut(words)):
        if len(pieces) > 1 and words[word] >= min_frequency:
            found.append(NewWord(word, words[word], tuple(tokenizer.tokens[piece] for piece in pieces)))
    found.sort(key=lambda new: (-new.saves, new.word))
    # cleaned once more a word may fall apart, as it then would in a text
    return list(islice((new for new in found if tokenizer.split(new.word) == [new.word]), limit))


def count_pieces(words: Counter[str], tokenizer: Tokenizer) -> float:
    """The pieces that a tokenizer cuts a word into, the mean over a corpus."""
    return sum(words[word] * len(pieces) for word, pieces in zip(words, tokenizer.cut(words))) / words.total() if words else 0.0
