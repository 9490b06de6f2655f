"""Lines of text files. LF or CRLF ends a line; in files of old Macintosh programs, CR alone does."""

import bz2
import functools
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from src import encodings
from src.files import GZIP, HEAD_BYTES, refuse_others, text_limit
from src.log import logger
from src.text import zstd_file

_HEAD = 1 << 16  # bytes of a file from which its line ending is judged
_ALONE = re.compile(rb"\r(?!\r*\n)")
_PACKED = {  # by the first bytes
    GZIP: ("gzip", gzip.open),
    b"BZh": ("bz2", bz2.open),
    **dict.fromkeys(zstd_file.MAGICS, ("zstd", zstd_file.open)),
}


def settle_encoding(path: Path | str, head: bytes | bytearray, named: str | None) -> str | None:
    """The encoding of a file that begins with these bytes, see `find_encoding`; a warning if another is named for UTF-8."""
    encoding = encodings.find_encoding(head, named)
    if encoding and encoding == named and encodings.is_utf8(head):
        logger.warning(f"{path}: is read as --encoding {named} says, but it seems to be UTF-8")
    return encoding


def unify(data: bytes | bytearray) -> bytes | bytearray:
    """The bytes of a text file, with CR turned into LF where CR alone ends its lines."""
    return re.sub(rb"\r\n?", b"\n", data) if _ends_by_cr(data[:_HEAD]) else data


def iterate_lines(text: str) -> Iterator[str]:
    """Yield the parts of a text between LFs, as `text.split` would list them."""
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


def split_lines(path: Path | str, text: str) -> Iterator[str]:
    """Yield the lines of a text from `unify`; a CR inside a line stays and is logged at the end."""
    num_inside = first_inside = 0
    for number, line in enumerate(iterate_lines(text), 1):
        line = line.removesuffix("\r")
        if "\r" in line:
            num_inside += 1
            first_inside = first_inside or number
        yield line
    if num_inside:
        _log_inside(path, num_inside, first_inside)


def read_lines(path: Path | str, encoding: str | None = None) -> Iterator[tuple[int, str]]:
    """(number from 1, line) of each line of a text file or pipe, plain, gzip, bzip2 or zstd, without a byte order mark.

    Args:
        encoding: from `check_encoding`; a byte order mark takes precedence.

    Raises:
        OSError: it cannot be read.
        ValueError: in another encoding, damaged, or a line beyond `text_limit`; names file and line.
    """
    limit = text_limit()
    number = num_inside = first_inside = 0
    with io.BufferedReader(open(path, "rb", buffering=0), _HEAD) as raw:
        head = raw.peek(HEAD_BYTES)
        refuse_others(path, head)
        kind, unpack = next((found for magic, found in _PACKED.items() if head.startswith(magic)), ("text", None))
        try:
            file: io.BufferedReader[Any] = io.BufferedReader(_open_packed(path, unpack, raw), _HEAD) if unpack else raw
            encoding = settle_encoding(path, file.peek(_HEAD), encoding)
            file = io.BufferedReader(encodings.Transcoded(file, encoding), _HEAD) if encoding else file
            for number, line in enumerate(_cut(file, limit + 1), 1):
                if len(line) > limit:
                    raise ValueError(f"{path}:{number}: a line of more than {limit >> 20} MB; --max_text_mb raises this limit")
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                if "\r" in text:
                    num_inside += 1
                    first_inside = first_inside or number
                yield number, text
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}:{number}: {encodings.explain(error.object, encoding, error.reason)}") from None
        except (EOFError, zlib.error, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise ValueError(f"{path}:{number + 1}: damaged {kind} file: {error}") from None
    if num_inside:
        _log_inside(path, num_inside, first_inside)


def _open_packed(path, unpack, raw):
    try:
        return unpack(raw)
    except ValueError as error:  # a library is not installed
        raise ValueError(f"{path}: {error}") from None


def _cut(file, size):
    """Iterate over the lines of a binary file, as bytes; longer ones in pieces of `size` bytes."""
    if not _ends_by_cr(file.peek(_HEAD)):
        return iter(functools.partial(file.readline, size), b"")
    text = io.TextIOWrapper(file, "latin-1")  # maps every byte to a character
    return (line.encode("latin-1") for line in iter(functools.partial(text.readline, size), ""))


def _ends_by_cr(head):
    return len(_ALONE.findall(head)) > head.count(b"\n")


def _log_inside(path, count, first):
    logger.warning(f"{path}: carriage returns inside lines={count} (the first in line {first}) are text, as LF ends the lines here")
