"""Text to word-piece ids as Google's BERT does it, by the `tokenizers` library, with offsets into the original text.

Where it departs from Google's FullTokenizer, and why: docs/data.md, "Tokenizer".
"""

import hashlib
import re
import unicodedata

from tokenizers import AddedToken, Regex
from tokenizers import Tokenizer as _Pipeline
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer, Replace, Sequence
from tokenizers.pre_tokenizers import BertPreTokenizer

from src.formats.tokenizer_files import MAX_WORD_CHARS, SPECIAL, list_tokens, read_tokenizer_files

PAD, UNKNOWN, CLS, SEP, MASK = SPECIAL.values()
_LETTER = re.compile("[A-Za-z\u00c0-\u058f]")  # Latin, Greek, Cyrillic, Armenian: not the full-width letters among ideographs
_MARKERS = ("[]", "<>")  # [CLS], and <S> and <T> of the Chinese vocabulary, which is uncased
_CASED_SHARE = 0.05  # of the tokens of letters; bert-base-cased has 31 %, the uncased ones have none


def read_vocabulary(path):
    """Token -> id of a vocab.txt or a tokenizer.json with the added tokens beside it, in the order of ids, which may have gaps.

    Raises:
        FileNotFoundError: no such file. ValueError: see `read_tokenizer_files`, or a special token is missing.
    """
    return _read(path).vocabulary


def _read(path):
    files = read_tokenizer_files(path)
    missing = [token for token in (PAD, UNKNOWN, CLS, SEP) if token not in files.vocabulary]
    if missing:
        raise ValueError(f"{path}: not a BERT vocabulary: {', '.join(missing)} missing")
    return files


def fingerprint(vocabulary):
    """SHA-256 of the tokens without white space, in the order of their ids, a hexadecimal str: dict of str -> int.

    The Chinese BERT's U+2028 counts as an empty token, as it does in records of older versions.
    """
    return hashlib.sha256("\n".join(token.strip() for token in list_tokens(vocabulary)).encode()).hexdigest()


def _decide_lower_case(path, files, do_lower_case):
    """Whether text is lower-cased: the flag, else what lies beside the vocabulary, else its letters: (bool, the reason in words)."""
    if do_lower_case is not None:
        return do_lower_case, "as --do_lower_case says"
    if files.casing_file:
        return files.do_lower_case, f"as {files.casing_file} says"
    tokens = [token for token in files.vocabulary if _LETTER.search(token) and token[:1] + token[-1:] not in _MARKERS]
    share = sum(token.lower() != token for token in tokens) / max(len(tokens), 1)
    told = f"as {share:.2%} of the tokens of letters in {path} have a capital one"
    return share < _CASED_SHARE, f"{told}; from {_CASED_SHARE:.0%} on it is cased"


def make_normalizer(lower_case, strip_accents=None, split_ideographs=True):
    """Google's cleaning, CJK spacing and lower-casing; the library's lacks what the replacements add.

    Args:
        lower_case: bool. strip_accents: None: where text is lower-cased. split_ideographs: each is a word.
    """
    replacements = [Replace(Regex(r"\p{Cn}+"), "")]  # unassigned code points
    if lower_case:
        replacements.append(Replace(Regex(r"(?<=\p{L})Σ(?!\p{M}*\p{L})"), "ς"))  # str.lower at the end of a Greek word
    strip = lower_case if strip_accents is None else strip_accents
    return Sequence([*replacements, BertNormalizer(handle_chinese_chars=split_ideographs, lowercase=lower_case, strip_accents=strip)])


def _add_marks(text, offsets):
    """The offsets, each up to the end of the combining marks that are behind it and belong to no other."""
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

    Special tokens spelt in the text ("[SEP]") are text like any other: they never become special ids.

    Args:
        vocab_file: a vocab.txt or a tokenizer.json; what lies beside it counts.
        do_lower_case: None takes what lies beside the vocabulary, else what its letters tell.

    vocabulary: token -> id. tokens: list of str, the token of each id, empty where there is none.
    added, is_generic: see `TokenizerFiles`.
    do_lower_case, casing_reason: whether text is lower-cased, and why. notes: lines of text about what was passed over.
    description: what a tokenizer_config.json beside the same tokens must tell to make this tokenizer again, a dict; of its settings
        besides casing those that are not Google's.
    """

    def __init__(self, vocab_file, do_lower_case=None):
        self.vocab_file = str(vocab_file)
        files = _read(vocab_file)
        self.vocabulary, self.tokens, self.notes, self.added = files.vocabulary, list_tokens(files.vocabulary), files.notes, files.added
        self.do_lower_case, self.casing_reason = _decide_lower_case(vocab_file, files, do_lower_case)
        self.description, self.is_generic = self._describe(files), files.is_generic
        self._cls, self._sep = self.vocabulary[CLS], self.vocabulary[SEP]
        model = WordPiece(self.vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=files.max_word_chars)
        self._pipeline = _Pipeline(model)
        self._pipeline.normalizer = make_normalizer(self.do_lower_case, files.strip_accents, files.tokenize_chinese_chars)
        self._pipeline.pre_tokenizer = BertPreTokenizer()
        self._pipeline.add_tokens([AddedToken(content, **flags) for content, flags in files.added.items()])

    def _describe(self, files):
        description = {"do_lower_case": self.do_lower_case}
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

    def encode(self, texts):
        """Ids of each text, without special tokens: list of str -> list of list of int."""
        return [encoding.ids for encoding in self._pipeline.encode_batch_fast(texts, add_special_tokens=False)]

    def encode_with_offsets(self, texts):
        """As `encode`, each with the (start, end) of every token in the original text, end exclusive.

        A token has the combining marks behind its letter (an accent as a code point of its own), dropped or not.
        """
        encodings = self._pipeline.encode_batch(texts, add_special_tokens=False)
        return [(encoding.ids, _add_marks(text, encoding.offsets)) for text, encoding in zip(texts, encodings)]

    def join(self, first, second, max_length):
        """[CLS] first [SEP], or [CLS] first [SEP] second [SEP], cut to max_length from the end of the longer part.

        Args:
            first, second: lists of ids; second may be None.
            max_length: tokens, special ones included.

        Returns:
            input_ids and token_type_ids, lists of int of one length.
        """
        if second is None:
            first = first[: max_length - 2]
            return [self._cls, *first, self._sep], [0] * (len(first) + 2)
        room = max_length - 3
        excess = max(0, len(first) + len(second) - room)
        keep_first = min(len(first), max(room - len(second), room - room // 2)) if excess else len(first)
        first, second = first[:keep_first], second[: room - keep_first]
        return [self._cls, *first, self._sep, *second, self._sep], [0] * (len(first) + 2) + [1] * (len(second) + 1)
