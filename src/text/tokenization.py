"""Google BERT's word-piece tokenization with the `tokenizers` library, including offsets into the original text.

Differences from Google's FullTokenizer, and the reasons: docs/data.md, "Tokenizer".
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex
from tokenizers import Tokenizer as _Pipeline
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer, Replace
from tokenizers.normalizers import Sequence as NormalizerSequence
from tokenizers.pre_tokenizers import BertPreTokenizer

from src.formats.tokenizer_files import MAX_WORD_CHARS, SPECIAL, TokenizerFiles, read_tokenizer_files
from src.formats.vocabulary import count_ids, list_tokens
from src.log import logger

PAD, UNKNOWN, CLS, SEP, MASK = SPECIAL.values()
_LETTER = re.compile("[A-Za-z\u00c0-\u058f]")  # Latin, Greek, Cyrillic, Armenian: not the full-width letters among ideographs
_MARKERS = ("[]", "<>")  # [CLS], and <S> and <T> of the Chinese vocabulary, which is uncased
_CASED_SHARE = 0.05  # capitalised fraction of tokens with letters; bert-base-cased has 31 %, uncased vocabularies have none


def read_vocabulary(path: Path | str) -> dict[str, int]:
    """Token -> id of a vocab.txt or tokenizer.json and the added tokens beside it, in the order of ids, which may have gaps.

    Raises:
        FileNotFoundError: no such file.
        ValueError: see `read_tokenizer_files`, or a special token is missing.
    """
    return _read(path).vocabulary


def _read(path):
    files = read_tokenizer_files(path)
    missing = [token for token in (PAD, UNKNOWN, CLS, SEP) if token not in files.vocabulary]
    if missing:
        raise ValueError(f"{path}: not a BERT vocabulary: {', '.join(missing)} missing")
    return files


def fingerprint(vocabulary: dict[str, int]) -> str:
    """Hexadecimal SHA-256 of the stripped tokens in the order of their ids.

    The Chinese BERT's U+2028 counts as an empty token, as in the records of older versions.
    """
    return hashlib.sha256("\n".join(token.strip() for token in list_tokens(vocabulary)).encode()).hexdigest()


def _decide_lower_case(path, files, do_lower_case):
    """Whether to lower-case text, by the flag, else a file beside the vocabulary, else its letters; and the reason in words."""
    if do_lower_case is not None:
        return do_lower_case, "as --do_lower_case says"
    if files.casing_file:
        return files.do_lower_case, f"as {files.casing_file} says"
    tokens = [token for token in files.vocabulary if _LETTER.search(token) and token[:1] + token[-1:] not in _MARKERS]
    share = sum(token.lower() != token for token in tokens) / max(len(tokens), 1)
    reason = f"as {share:.2%} of the tokens with letters in {path} have a capital; from {_CASED_SHARE:.0%} on a vocabulary is cased"
    return share < _CASED_SHARE, reason


def make_normalizer(lower_case: bool, strip_accents: bool | None = None, split_ideographs: bool = True) -> NormalizerSequence:
    """Google's cleaning, CJK spacing and lower-casing: the library's normalizer, and replacements for what it lacks.

    Args:
        strip_accents: None strips them if text is lower-cased.
        split_ideographs: make each ideograph a word.
    """
    replacements = [Replace(Regex(r"\p{Cn}+"), "")]  # unassigned code points
    if lower_case:
        replacements.append(Replace(Regex(r"(?<=\p{L})Σ(?!\p{M}*\p{L})"), "ς"))  # str.lower at the end of a Greek word
    strip = lower_case if strip_accents is None else strip_accents
    return NormalizerSequence(
        [*replacements, BertNormalizer(handle_chinese_chars=split_ideographs, lowercase=lower_case, strip_accents=strip)]
    )


def _add_marks(text, offsets):
    """The offsets, each extended over the combining marks that follow it and belong to no other token."""
    marks = set() if text.isascii() else {character for character in set(text) if unicodedata.category(character) == "Mn"}
    if not marks:
        return offsets
    widened = []
    for (start, end), next_start in zip(offsets, [*(start for start, _ in offsets[1:]), len(text)]):
        while end < next_start and text[end] in marks:
            end += 1
        widened.append((start, end))
    return widened


class Tokenizer:
    """BERT's basic and word-piece tokenizer for one vocabulary.

    Special tokens spelt out in a text ("[SEP]") are ordinary text: they never become special ids.

    Args:
        vocab_file: a vocab.txt or a tokenizer.json; the tokenizer files beside it are read too.
        do_lower_case: None decides by the files beside the vocabulary, else by its letters.
        new_tokens: more tokens, whose ids follow those of the vocabulary.

    Attributes:
        vocabulary: token -> id.
        tokens: the token of each id, empty for an id without one.
        added, is_generic, max_word_chars: see `TokenizerFiles`.
        do_lower_case, casing_reason: whether text is lower-cased, and why.
        notes: lines of text about ignored settings.
        description: content of a tokenizer_config.json that, beside the same tokens, gives this tokenizer again: the casing, and the
            settings that differ from Google's.
    """

    def __init__(self, vocab_file: Path | str, do_lower_case: bool | None = None, new_tokens: Sequence[str] = ()):
        self.vocab_file = str(vocab_file)
        files = _read(vocab_file)
        self.vocabulary = files.vocabulary | {token: number for number, token in enumerate(new_tokens, count_ids(files.vocabulary))}
        self.tokens = list_tokens(self.vocabulary)
        self.notes = files.notes
        self.added = files.added
        self.is_generic = files.is_generic
        self.max_word_chars = files.max_word_chars
        self.do_lower_case, self.casing_reason = _decide_lower_case(vocab_file, files, do_lower_case)
        self.description = self._describe(files)
        self._cls = self.vocabulary[CLS]
        self._sep = self.vocabulary[SEP]
        model = WordPiece(self.vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=self.max_word_chars)
        self._pipeline = _Pipeline(model)
        self._pipeline.normalizer = make_normalizer(self.do_lower_case, files.strip_accents, files.tokenize_chinese_chars)
        self._pipeline.pre_tokenizer = BertPreTokenizer()
        self._pipeline.add_tokens([AddedToken(content, **flags) for content, flags in files.added.items()])

    def _describe(self, files: TokenizerFiles) -> dict[str, Any]:
        description: dict[str, Any] = {"do_lower_case": self.do_lower_case}
        if files.strip_accents is not None:
            description["strip_accents"] = files.strip_accents
        if not files.tokenize_chinese_chars:
            description["tokenize_chinese_chars"] = False
        if files.max_word_chars != MAX_WORD_CHARS:
            description["max_input_chars_per_word"] = files.max_word_chars
        if files.added:
            added = {str(self.vocabulary[content]): {"content": content, **flags} for content, flags in files.added.items()}
            description["added_tokens_decoder"] = added
        return description

    @property
    def record_description(self) -> dict[str, Any]:
        """What the header of records keeps of the tokenizer that they were made with."""
        return {
            "vocabulary": fingerprint(self.vocabulary),
            "vocab_size": len(self.tokens),
            "do_lower_case": self.do_lower_case,
            "tokenizer": self.description,
        }

    def log_casing(self) -> None:
        """Log the casing and its reason, and the notes."""
        logger.info(f"text is {'' if self.do_lower_case else 'not '}lower-cased, {self.casing_reason}")
        for note in self.notes:
            logger.warning(note)

    def split(self, text: str) -> list[str]:
        """The words of a text, cleaned and with the tokenizer's casing, that are then cut into pieces."""
        return [word for word, _ in self._pipeline.pre_tokenizer.pre_tokenize_str(self._pipeline.normalizer.normalize_str(text))]

    def cut(self, tokens: Iterable[str]) -> list[list[int]]:
        """The ids of the pieces of each token of another vocabulary; that of [UNK] where there are none."""
        return [[piece.id for piece in self._pipeline.model.tokenize(token)] for token in tokens]

    def encode(self, texts: list[str]) -> list[list[int]]:
        """The ids of each text, without special tokens."""
        return [encoding.ids for encoding in self._pipeline.encode_batch_fast(texts, add_special_tokens=False)]

    def encode_with_offsets(self, texts: list[str]) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """The ids of each text and the (start, end) of every token in the original text, end exclusive.

        A token includes the combining marks after its letter (accents that are separate code points), even if they are stripped.
        """
        encodings = self._pipeline.encode_batch(texts, add_special_tokens=False)
        return [(encoding.ids, _add_marks(text, encoding.offsets)) for text, encoding in zip(texts, encodings)]

    def join(self, first: list[int], second: list[int] | None, max_length: int) -> tuple[list[int], list[int]]:
        """[CLS] first [SEP], or [CLS] first [SEP] second [SEP], truncated at the end of the longer part.

        Args:
            first, second: ids; second may be None.
            max_length: tokens, special ones included.

        Returns:
            input_ids and token_type_ids.
        """
        if second is None:
            first = first[: max_length - 2]
            return [self._cls, *first, self._sep], [0] * (len(first) + 2)
        room = max_length - 3
        excess = max(0, len(first) + len(second) - room)
        keep_first = min(len(first), max(room - len(second), room - room // 2)) if excess else len(first)
        first, second = first[:keep_first], second[: room - keep_first]
        return [self._cls, *first, self._sep, *second, self._sep], [0] * (len(first) + 2) + [1] * (len(second) + 1)
