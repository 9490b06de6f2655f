"""Blocks of a corpus's lines to token ids, sentence by sentence, with marks of tokens that continue a word."""

import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from src.tasks.pretrain.corpus.text import iterate_sentences, split_sentences
from src.text.tokenization import Tokenizer

_CACHED_CHARS = 1 << 19  # largest total length of the words whose ids are cached

Segmenter = Callable[[str], list[str]]  # text -> its words


class Sentence(str):
    """A sentence of a line that was too long to stay whole."""

    __slots__ = ()


@dataclass(frozen=True)
class TokenBlock:
    """A piece of the corpus.

    tokens: uint16 or int32 [all tokens].
    lengths: int64 [sentences], none 0.
    ends: int64 [documents that end in the piece], the number of its sentences before each end.
    continues: bool [all tokens], whether the token continues a word; or None.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    ends: np.ndarray
    continues: np.ndarray | None


def id_type(vocab_size: int) -> type[np.integer]:
    """The smallest type that holds all ids."""
    return np.uint16 if vocab_size <= 1 << 16 else np.int32


def cut_lines(lines: Iterable[str], num_chars: int) -> Iterator[list[str]]:
    """Yield lists of lines with about `num_chars` characters each; a longer line becomes a Sentence for each of its sentences."""
    block: list[str] = []
    size = 0
    for line in lines:
        for part in [line] if len(line) <= num_chars else map(Sentence, iterate_sentences(line)):
            block.append(part)
            size += len(part) + 1
            if size >= num_chars:
                yield block
                block, size = [], 0
    if block:
        yield block


class CorpusTokenizer:
    """Tokenises blocks of lines.

    The ids of words between spaces are cached: BERT's tokenizer splits at white space first and never looks across it, so the
    ids are the same.

    Args:
        whole_words: mark tokens that continue a word.
        segment: finds Chinese words, whose later characters then continue them; None: only ## pieces continue a word.
    """

    def __init__(self, tokenizer: Tokenizer, whole_words: bool = False, segment: Segmenter | None = None) -> None:
        self.tokenizer = tokenizer
        self._type = id_type(len(tokenizer.tokens))
        self._is_piece = np.array([token.startswith("##") for token in tokenizer.tokens]) if whole_words else None
        self._segment = segment
        self._cache: dict[str, list[int]] = {}
        self._num_chars = 0

    def tokenize(self, lines: list[str]) -> TokenBlock:
        """Tokenise some lines of `read_corpus`, which `cut_lines` may have cut; sentences without any token are left out."""
        sentences: list[str] = []
        ends: list[int] = []
        for line in lines:
            if line:
                sentences += [line] if isinstance(line, Sentence) else split_sentences(line)
            else:
                ends.append(len(sentences))
        inside_words: bool | np.ndarray = False
        if self._segment is None:
            ids = self._encode(sentences)
        else:
            found = self.tokenizer.encode_with_offsets(sentences)
            ids = [numbers for numbers, _ in found]
            inside_words = np.array([flag for text, (_, offsets) in zip(sentences, found) for flag in self._mark(text, offsets)], bool)
        lengths = np.array([len(numbers) for numbers in ids], np.int64)
        tokens = np.fromiter(chain.from_iterable(ids), self._type, lengths.sum())
        continues = None if self._is_piece is None else self._is_piece[tokens] | inside_words
        is_filled = lengths > 0
        filled_before = np.concatenate([[0], np.cumsum(is_filled)])
        return TokenBlock(tokens, lengths[is_filled], filled_before[np.array(ends, np.int64)], continues)

    def _encode(self, sentences):
        if any(" " in token for token in self.tokenizer.added):
            return self.tokenizer.encode(sentences)
        if self._num_chars > _CACHED_CHARS:
            self._cache, self._num_chars = {}, 0
        new = [word for word in dict.fromkeys(" ".join(sentences).split(" ")) if word not in self._cache]
        self._cache.update(zip(new, self.tokenizer.encode(new)))
        self._num_chars += sum(map(len, new))
        return [list(chain.from_iterable(map(self._cache.__getitem__, sentence.split(" ")))) for sentence in sentences]

    def _mark(self, sentence, offsets):
        """For each token, whether it is in the same Chinese word as the previous token."""
        assert self._segment is not None
        words = _number_words(sentence, self._segment(sentence))
        numbers = [words[start] for start, _ in offsets]
        return [word >= 0 and word == previous for word, previous in zip(numbers, [-1, *numbers])]


def _number_words(sentence, words):
    """The number of the Chinese word that each character belongs to, -1 for other characters."""
    numbers, end = [-1] * len(sentence), 0
    for number, word in enumerate(words):
        start = sentence.find(word, end)
        if start < 0:
            raise ValueError(f"the segmenter gives {word!r}, which is not in the rest of {sentence[:60]!r}")
        end = start + len(word)
        if all(map(_is_chinese, word)):
            numbers[start:end] = [number] * len(word)
    return numbers


def _is_chinese(character):
    return "\u4e00" <= character <= "\u9fff" or "\u3400" <= character <= "\u4dbf" or "\U00020000" <= character <= "\U0003134f"


def load_segmenter(name: str) -> Segmenter:
    """Import a function from text to the list of its words.

    Args:
        name: `jieba`, or `module:function`.

    Raises:
        ValueError: it cannot be imported.
    """
    module, _, function = ("jieba:lcut" if name == "jieba" else name).partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        hint = "; pip install jieba" if name == "jieba" else "; expected jieba or module:function"
        raise ValueError(f"segmenter={name}: {error}{hint}") from None
    if not callable(found):
        raise ValueError(f"segmenter={name}: not a function")
    return found
