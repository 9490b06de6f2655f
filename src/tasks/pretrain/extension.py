"""Pretraining that goes on with an extended vocabulary: the tokens that are new, and the pieces that each of them replaces.

The vocabulary of the run has more tokens than that of the weights to start from (`python -m src.build_vocab --extend` makes such
vocabularies), or the setting extend_vocabulary names a file of words to add.
"""

import functools
from pathlib import Path

from src.config.model import find_own_vocabulary
from src.text.extension import extend, list_new, read_words
from src.text.tokenization import Tokenizer

_AUTO = "auto:"
_Versions = tuple[tuple[str, int, int], ...]


def open_vocabulary(
    vocab_file: str | None, extension: str | None, weights: Path | str | None
) -> tuple[Tokenizer | None, dict[int, list[int]]]:
    """The tokenizer of a training, None if there is none; and the id of each token that the weights lack -> ids of its pieces there.

    Args:
        vocab_file: the setting vocab_file_path.
        extension: the setting extend_vocabulary: a file of words; or auto:N, the N tokens that `vocab_file` has more; or None.
        weights: where the training starts from; None for random weights.

    Raises:
        ValueError: the settings contradict each other or the vocabularies; see also `read_words`.
    """
    own_file = find_own_vocabulary(weights) if weights else None
    if extension and vocab_file and Path(vocab_file) == own_file:
        vocab_file = None
    return _open_once(vocab_file, extension, weights, own_file, _list_versions(vocab_file, extension, own_file))


def _list_versions(vocab_file: str | None, extension: str | None, own_file: Path | None) -> _Versions:
    """Path, time and size of the files that vocabularies are read from, which may change while the process runs."""
    vocabularies = [Path(path) for path in (vocab_file, own_file) if path]
    beside = [file for path in vocabularies for file in sorted(path.parent.glob("*.json"))]  # settings of a tokenizer
    files = [*vocabularies, *beside, Path(extension or "")]
    return tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files if file.is_file())


@functools.lru_cache(maxsize=1)
def _open_once(
    vocab_file: str | None, extension: str | None, weights: Path | str | None, own_file: Path | None, versions: _Versions
) -> tuple[Tokenizer | None, dict[int, list[int]]]:
    """As `open_vocabulary`, which settings and data both ask for: a pipe can be read but once."""
    given = Tokenizer(vocab_file) if vocab_file else None
    if own_file is None:
        if extension:
            lacking = f"{weights} has no vocab.txt beside it" if weights else "give --load_checkpoint_path"
            raise ValueError(f"extend_vocabulary={extension}: it extends the vocabulary of the weights to start from; {lacking}")
        return given, {}
    if extension is None and (vocab_file is None or Path(vocab_file) == own_file):
        return given, {}
    try:
        own = Tokenizer(own_file)
    except ValueError:  # another program's vocabulary, which the given one replaces
        if extension:
            raise
        return given, {}
    tokenizer = given if given is not None else own
    if extension and not extension.startswith(_AUTO):
        words = read_words(extension, own)
        extended = extend(own, words)
        if tokenizer.vocabulary not in (own.vocabulary, extended.vocabulary):
            raise ValueError(
                f"extend_vocabulary={extension}: {vocab_file} is not {own_file} with these words; give one of the two settings"
            )
        tokenizer = extended
    new = list_new(own.vocabulary, tokenizer.vocabulary)
    if extension and extension.startswith(_AUTO):
        _check_number(extension, new, own, tokenizer)
    return tokenizer, {tokenizer.vocabulary[token]: pieces for token, pieces in zip(new, own.cut(new))} if new else {}


def _check_number(extension: str, new: list[str] | None, own: Tokenizer, tokenizer: Tokenizer) -> None:
    """Raise a ValueError if auto:N is no number, or another than that of the new tokens."""
    number = extension.removeprefix(_AUTO)
    if not number.isdecimal() or int(number) < 1:
        raise ValueError(f"extend_vocabulary={extension} is not allowed: a file of words, or auto:N with N from 1, is expected")
    if new is None or len(new) != int(number):
        found = f"{len(new)} tokens more than" if new else "the tokens of" if new == [] else "other tokens or ids than"
        command = f"python -m src.build_vocab --extend {own.vocab_file} --add {number} makes the one that --vocab_file_path takes"
        raise ValueError(f"extend_vocabulary={extension}: {tokenizer.vocab_file} has {found} {own.vocab_file}; {command}")
