"""Encodings of text files: told by a byte order mark, else by `--encoding`, else UTF-8. Readers get UTF-8, whatever the file has."""

import codecs
import io
from typing import BinaryIO

HELP = "encoding of the data files, such as gb18030 or utf-16; default: by their byte order mark, else UTF-8"
_MARKS = {  # UTF-32's first, as one of them begins with UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_CHUNK = 1 << 16
_SAMPLE = 1 << 16  # bytes of a file from which its encoding is guessed
_CANDIDATES = ("gb18030", "big5", "utf-16-le", "utf-16-be")
_FREQUENT = frozenset("的一是不了在有人我这這个個上中大来來为為国國和地到以说說时時要就出会會可也你对對生能而子得着著下年，。、")
_FEW = 0.02  # share of frequent characters that a right guess exceeds
_MARKED = "src.encodings"


def _mark(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "\udcff", error.end  # a lone surrogate, which makes the text no valid UTF-8 at this point


codecs.register_error(_MARKED, _mark)


def check_encoding(name: str | None) -> str | None:
    """The codec that reads an encoding; None for UTF-8. GB2312 and GBK are read as GB18030, which contains both.

    Raises:
        ValueError: no encoding of text has this name.
    """
    if name is None:
        return None
    try:
        b"a".decode(name, "ignore")  # fails for codecs of other things than text
        codec = codecs.lookup(name).name
    except (LookupError, ValueError):
        raise ValueError(f"encoding={name}: no such encoding; Python's names are known, such as gb18030, big5, utf-16, latin-1") from None
    if codec in ("utf-8", "utf-8-sig"):
        return None
    return "gb18030" if codec in ("gb2312", "gbk") else codec


def find_encoding(head: bytes | bytearray, named: str | None) -> str | None:
    """The encoding of a file that begins with these bytes, by its byte order mark or else `named`; None for UTF-8."""
    if head.startswith(codecs.BOM_UTF8):
        return None
    return next((encoding for mark, encoding in _MARKS.items() if head.startswith(mark)), named)


def to_utf8(data: bytes | bytearray, encoding: str | None) -> bytes | bytearray:
    """The text as UTF-8. Bytes that the encoding does not have become bytes that UTF-8 does not have, so that decoding names their line."""
    if encoding is None:
        return data
    return data.decode(encoding, _MARKED).encode("utf-8", "surrogatepass")


class Transcoded(io.RawIOBase):
    """A binary file of text in some encoding, read as `to_utf8` makes it."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        super().__init__()
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding)(_MARKED)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # mypy's stub has a buffer protocol type of its own
        is_at_end = False
        while not self._rest and not is_at_end:
            data = self._file.read(_CHUNK)
            is_at_end = not data
            self._rest = self._decoder.decode(data, is_at_end).encode("utf-8", "surrogatepass")
        part = self._rest[: len(buffer)]
        buffer[: len(part)] = part
        self._rest = self._rest[len(part) :]
        return len(part)


def explain(data: bytes | bytearray, encoding: str | None, reason: str) -> str:
    """An error about bytes that are no text in the encoding of their file, with the encoding that they probably have.

    Args:
        data: the bytes, or many around them.
        encoding: None for UTF-8.
    """
    if encoding:
        return f"not {encoding}, which its byte order mark or --encoding says"
    likely = guess(data)
    return f"not UTF-8: {reason}; give --encoding gb18030, utf-16 or another{f', probably {likely}' if likely else ''}"


def guess(data: bytes | bytearray) -> str | None:
    """The encoding that text probably has which is not UTF-8; None if nothing speaks for one."""
    sample = data[:_SAMPLE]
    if 10 * sample.count(0) > len(sample):  # letters of other alphabets than the ideographs have a zero byte in UTF-16
        return "utf-16-le" if sample[1::2].count(0) > sample[::2].count(0) else "utf-16-be"
    shares = {name: _share_of_frequent(sample, name) for name in _CANDIDATES}
    best = max(_CANDIDATES, key=lambda name: shares[name])
    return best if shares[best] > _FEW else None


def is_utf8(data: bytes | bytearray) -> bool:
    """Whether text beyond ASCII begins as UTF-8, which text in other encodings hardly does by chance."""
    try:
        return not codecs.getincrementaldecoder("utf-8")().decode(data[:_SAMPLE]).isascii()
    except UnicodeDecodeError:
        return False


def _share_of_frequent(sample, encoding):
    """The share of frequent characters in those beyond ASCII; 0 if the bytes are not in this encoding."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample)  # the sample may end inside a character
    except UnicodeDecodeError:
        return 0.0
    wide = [character for character in text if character > "\x7f"]
    return sum(character in _FREQUENT for character in wide) / max(len(wide), 1)
