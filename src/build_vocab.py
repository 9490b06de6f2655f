"""A WordPiece vocabulary from raw text, for the tokenizer of src.text.tokenization.

    python -m src.build_vocab --input_file 'text/*.txt' --vocab_file vocab.txt --vocab_size 8000

Reads the input of `python -m src.build_records`. The same text and flags give the same file.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tokenizers import Tokenizer, models, trainers
from tokenizers.pre_tokenizers import BertPreTokenizer

from src import cli
from src.config import loader
from src.files import write_text
from src.log import logger
from src.tasks.pretrain.corpus.options import TEXT_COLUMN, VocabularyOptions
from src.tasks.pretrain.corpus.text import MAX_CHARS, find_files, iterate_sentences, read_corpus
from src.tasks.pretrain.corpus.tokens import cut_lines
from src.text.tokenization import CLS, MASK, PAD, SEP, UNKNOWN, make_normalizer

_SPECIAL = [PAD, UNKNOWN, CLS, SEP, MASK]
_CHARS = 1 << 20  # characters of a block of text


def train(
    paths: Sequence[Path | str],
    vocab_size: int,
    lower_case: bool = True,
    min_frequency: int = 2,
    input_format: str | None = None,
    encoding: str | None = None,
    text_column: str = TEXT_COLUMN,
) -> list[str]:
    """Train a vocabulary: the tokens in the order of their ids, which are special tokens, letters, and pieces in the order of merging.

    Args:
        paths, input_format, encoding, text_column: see `read_corpus`.
        vocab_size: largest number of tokens. The most frequent letters are kept if not all fit.
        min_frequency: lowest frequency of a letter, and of a pair of pieces to be merged.

    Raises:
        ValueError: no letter has that frequency.
    """
    pipeline = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    pipeline.normalizer, pipeline.pre_tokenizer = make_normalizer(lower_case), BertPreTokenizer()
    letters = _count_letters(_read(paths, input_format, encoding, text_column), pipeline)
    ranked = sorted((letter for letter in letters if letters[letter] >= min_frequency), key=lambda letter: (-letters[letter], letter))
    kept = sorted(ranked[: vocab_size - len(_SPECIAL)], key=lambda letter: (letter.startswith("##"), letter))
    if not kept:
        raise ValueError(f"no letter occurs {min_frequency} times in {', '.join(map(str, paths))}")
    # as special tokens the letters get these ids; the trainer's own numbering depends on a random order of words
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size, min_frequency=min_frequency, special_tokens=_SPECIAL + kept, limit_alphabet=0, show_progress=False
    )
    pipeline.train_from_iterator(_read(paths, input_format, encoding, text_column), trainer)
    vocabulary = pipeline.get_vocab()
    return sorted(vocabulary, key=vocabulary.__getitem__)


def _read(paths: Sequence[Path | str], input_format: str | None, encoding: str | None, text_column: str) -> Iterator[str]:
    """The lines of the text; a long one as its sentences, because the library needs about 100 bytes for each character of a text."""
    for line in read_corpus(paths, input_format, encoding, text_column):
        if len(line) > MAX_CHARS:
            yield from iterate_sentences(line)
        else:
            yield line


def _count_letters(corpus: Iterable[str], pipeline: Tokenizer) -> Counter[str]:
    """The frequency of each letter, and of "##" with each letter that continues a word."""
    letters: Counter[str] = Counter()
    for lines in cut_lines(corpus, _CHARS):
        for text, count in Counter(" ".join(lines).split(" ")).items():
            for word, _ in pipeline.pre_tokenizer.pre_tokenize_str(pipeline.normalizer.normalize_str(text)):
                for letter, times in Counter(list(word) + [f"##{letter}" for letter in word[1:]]).items():
                    letters[letter] += count * times
    return letters


def main(argv: list[str] | None = None) -> None:
    """Train a vocabulary and write it."""
    options = loader.load(VocabularyOptions, argv)
    with cli.bad_input_exits():
        paths = find_files(options.input_file)
        form = (options.input_format, options.encoding, options.text_column)
        tokens = train(paths, options.vocab_size, options.do_lower_case, options.min_frequency, *form)
        write_text(options.vocab_file, "\n".join(tokens) + "\n")
    logger.info(f"{options.vocab_file} tokens={len(tokens)}")


if __name__ == "__main__":
    main()
