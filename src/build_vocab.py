"""A WordPiece vocabulary from raw text, for the tokenizer of src.text.tokenization.

    python -m src.build_vocab --input_file 'text/*.txt' --vocab_file vocab.txt --vocab_size 8000
    python -m src.build_vocab --extend bert/vocab.txt --add 500 --input_file 'text/*.txt' --vocab_file extended/vocab.txt

The second form adds words to a vocabulary, here those that save the most pieces; --words FILE adds those of a list.
Reads the input of `python -m src.build_records`. The same text and flags give the same file.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tokenizers import Tokenizer, models, trainers
from tokenizers.pre_tokenizers import BertPreTokenizer

from src import cli
from src.config import loader
from src.files import write_text
from src.formats import tokenizer_files
from src.log import logger
from src.tasks.pretrain.corpus.new_words import NewWord, count_pieces, count_words, find_new_words, total_words
from src.tasks.pretrain.corpus.options import TEXT_COLUMN, VocabularyOptions
from src.tasks.pretrain.corpus.text import MAX_CHARS, find_files, iterate_sentences, read_corpus
from src.text.extension import extend, read_words
from src.text.tokenization import CLS, MASK, PAD, SEP, UNKNOWN, make_normalizer
from src.text.tokenization import Tokenizer as BertTokenizer

_SPECIAL = [PAD, UNKNOWN, CLS, SEP, MASK]
_SHOWN = 10  # words in the table


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

    def split(text: str) -> list[str]:
        return [word for word, _ in pipeline.pre_tokenizer.pre_tokenize_str(pipeline.normalizer.normalize_str(text))]

    letters: Counter[str] = Counter()
    for word, count in count_words(corpus, split):
        for letter, times in Counter(list(word) + [f"##{letter}" for letter in word[1:]]).items():
            letters[letter] += count * times
    return letters


def _extend(options: VocabularyOptions, tokenizer: BertTokenizer) -> BertTokenizer:
    """The tokenizer with the words that the options name; learnt ones are shown."""
    if options.words:
        return extend(tokenizer, read_words(options.words, tokenizer, options.encoding))
    words = total_words(_read(find_files(options.input_file), options.input_format, options.encoding, options.text_column), tokenizer)
    new = find_new_words(words, tokenizer, options.add or 0, options.min_frequency)
    if not new:
        times = f"{options.min_frequency} times or more"
        raise ValueError(
            f"{options.input_file}: no word that occurs {times} is cut into pieces by {options.extend} (a Chinese character is a word)"
        )
    extended = extend(tokenizer, [each.word for each in new])
    _show(new)
    if len(new) < (options.add or 0):
        logger.warning(f"add={options.add}: only {len(new)} words that occur {options.min_frequency} times or more are cut into pieces")
    logger.info(f"pieces_per_word={count_pieces(words, extended):.3f} before={count_pieces(words, tokenizer):.3f} words={words.total()}")
    return extended


def _show(new: Sequence[NewWord]) -> None:
    """Print the first of the words as a table."""
    rows = [("word", "count", "saves", "pieces"), *((each.word, each.count, each.saves, " ".join(each.pieces)) for each in new[:_SHOWN])]
    for word, count, saves, pieces in rows:
        print(f"{word:24}{count:>10}{saves:>10}  {pieces}")
    if len(new) > _SHOWN:
        print(f"and {len(new) - _SHOWN} more")


def _describe(options: VocabularyOptions, tokenizer: BertTokenizer) -> str:
    """The text of the tokenizer_config.json that keeps the casing beside the extended vocabulary.

    Raises:
        ValueError: files of another tokenizer lie there, which would be read with the vocabulary.
    """
    description = json.dumps(tokenizer.description, ensure_ascii=False) + "\n"
    for path in [Path(options.vocab_file).with_name(name) for name in tokenizer_files.BESIDE]:
        if path.is_file() and (path.name != tokenizer_files.CONFIG or path.read_text(encoding="utf-8") != description):
            raise ValueError(f"vocab_file={options.vocab_file}: {path} is of another vocabulary; give the extended one a folder of its own")
    if Path(options.vocab_file).resolve() == Path(tokenizer.vocab_file).resolve():
        raise ValueError(f"vocab_file={options.vocab_file} is the vocabulary to extend; the training needs both, give another file")
    return description


def main(argv: list[str] | None = None) -> None:
    """Train a vocabulary and write it."""
    options = loader.load(VocabularyOptions, argv)
    with cli.bad_input_exits():
        if options.extend:
            tokenizer = BertTokenizer(options.extend, options.do_lower_case)
            tokenizer.log_casing()
            description = _describe(options, tokenizer)
            tokens = _extend(options, tokenizer).tokens
            write_text(Path(options.vocab_file).with_name(tokenizer_files.CONFIG), description)
        else:
            paths, lower_case = find_files(options.input_file), options.do_lower_case is not False
            form = (options.input_format, options.encoding, options.text_column)
            tokens = train(paths, options.vocab_size, lower_case, options.min_frequency, *form)
        write_text(options.vocab_file, "\n".join(tokens) + "\n")
    logger.info(f"{options.vocab_file} tokens={len(tokens)}")


if __name__ == "__main__":
    main()
