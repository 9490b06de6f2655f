"""Text to word-piece ids as Google's BERT does it, by the `tokenizers` library, with offsets into the original text.

Where it departs from Google's FullTokenizer, and why: docs/data.md, "Tokenizer".
"""

import hashlib
import io
import json
import unicodedata
from pathlib import Path

from tokenizers import Regex
from tokenizers import Tokenizer as _Pipeline
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer, Replace, Sequence
from tokenizers.pre_tokenizers import BertPreTokenizer

PAD, UNKNOWN, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
_MAX_WORD_CHARS = 200  # Google's; the library's own default is 100


def read_vocabulary(path):
    """Token -> id, a token a line, the line's number from 0 being the id.

    Raises:
        FileNotFoundError: no such file. ValueError: not UTF-8, a token twice, or a special token missing.
    """
    try:
        return parse_vocabulary(Path(path).read_bytes(), path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such vocabulary; a vocab.txt is expected") from None


def parse_vocabulary(content, path):
    """The same from the content of the file, bytes; `path` is for messages."""
    try:
        lines = io.StringIO(content.decode("utf-8"), newline=None).read().split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a UTF-8 text file: {error.reason} at byte {error.start}") from None
    if lines[-1] == "":
        lines.pop()
    vocabulary = {}
    for number, line in enumerate(lines):
        token = line.strip()
        if token in vocabulary:
            raise ValueError(f"{path}:{number + 1}: token {token!r} stands in line {vocabulary[token] + 1} already")
        vocabulary[token] = number
    missing = [token for token in (PAD, UNKNOWN, CLS, SEP) if token not in vocabulary]
    if missing:
        raise ValueError(f"{path}: not a BERT vocabulary: {', '.join(missing)} missing")
    return vocabulary


def fingerprint(vocabulary):
    """SHA-256 of the tokens in the order of their ids, a hexadecimal str: dict of str -> int."""
    return hashlib.sha256("\n".join(sorted(vocabulary, key=vocabulary.get)).encode()).hexdigest()


def decide_lower_case(path, vocabulary, do_lower_case=None):
    """Whether text is lower-cased: the flag, else tokenizer_config.json beside the vocabulary, else its letters.

    Returns:
        (bool, the reason in words).
    """
    if do_lower_case is not None:
        return do_lower_case, "as --do_lower_case says"
    config = Path(path).parent / "tokenizer_config.json"
    if config.is_file():
        try:
            said = json.loads(config.read_text(encoding="utf-8")).get("do_lower_case")
        except (ValueError, AttributeError):
            raise ValueError(f"{config}: not a JSON object") from None
        if isinstance(said, bool):
            return said, f"as {config} says"
    markers = ("[]", "<>")  # [CLS], and <S> and <T> of the Chinese vocabulary, which is uncased
    cased = any(token.lower() != token for token in vocabulary if token[:1] + token[-1:] not in markers)
    return not cased, f"as {path} has {'tokens with' if cased else 'no'} capital letters"


def make_normalizer(lower_case):
    """Google's cleaning, CJK spacing and lower-casing; the library's lacks what the replacements add."""
    replacements = [Replace(Regex(r"\p{Cn}+"), "")]  # unassigned code points
    if lower_case:
        replacements.append(Replace(Regex(r"(?<=\p{L})Σ(?!\p{M}*\p{L})"), "ς"))  # str.lower at the end of a Greek word
    return Sequence([*replacements, BertNormalizer(lowercase=lower_case, strip_accents=lower_case)])


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
        vocab_file: a token a line.
        do_lower_case: lower-case and strip accents; None takes what `decide_lower_case` finds.
    """

    def __init__(self, vocab_file, do_lower_case=None):
        self.vocab_file = str(vocab_file)
        self.vocabulary = read_vocabulary(vocab_file)
        self.do_lower_case, self.casing_reason = decide_lower_case(vocab_file, self.vocabulary, do_lower_case)
        self.tokens = list(self.vocabulary)
        self._cls, self._sep = self.vocabulary[CLS], self.vocabulary[SEP]
        model = WordPiece(self.vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=_MAX_WORD_CHARS)
        self._pipeline = _Pipeline(model)
        self._pipeline.normalizer = make_normalizer(self.do_lower_case)
        self._pipeline.pre_tokenizer = BertPreTokenizer()

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
