"""Lines of text files. LF or CRLF ends a line; in files of old Macintosh programs, CR alone does."""

import bz2
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from src import encodings
from src.files import GZIP, HEAD_BYTES, refuse_others
from src.log import logger

_HEAD = 1 << 16  # bytes of a file from which its line ending is judged
_ALONE = re.compile(rb"\r(?!\r*\n)")
_BZIP2 = b"BZh"


def settle_encoding(path: Path | str, head: bytes, named: str | None) -> str | None:
    """The encoding of a file that begins with these bytes, see `find_encoding`; a warning if another is named for UTF-8."""
    encoding = encodings.find_encoding(head, named)
    if encoding and encoding == named and encodings.is_utf8(head):
        logger.warning(f"{path}: is read as --encoding {named} says, but it seems to be UTF-8")
    return encoding


def unify(data: bytes) -> bytes:
    """The bytes of a text file, with CR turned into LF where CR alone ends its lines."""
    return re.sub(rb"\r\n?", b"\n", data) if _ends_by_cr(data[:_HEAD]) else data


def split_lines(path: Path | str, text: str) -> list[str]:
    """The lines of a text from `unify`; a CR inside a line stays and is logged."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    if "\r" in text:
        inside = [number for number, line in enumerate(lines, 1) if "\r" in line]
        if inside:
            _log_inside(path, len(inside), inside[0])
    return lines


def read_lines(path: Path | str, encoding: str | None = None) -> Iterator[tuple[int, str]]:
    """(number from 1, line) of each line of a text file or pipe, plain, gzip or bzip2, without a byte order mark.

    Args:
        encoding: from `check_encoding`; a byte order mark takes precedence.

    Raises:
        OSError: it cannot be read.
        ValueError: in another encoding, or damaged; names file and line.
    """
    number = num_inside = first_inside = 0
    with io.BufferedReader(open(path, "rb", buffering=0), _HEAD) as raw:
        head = raw.peek(HEAD_BYTES)
        refuse_others(path, head)
        kind = next((module for magic, module in {GZIP: gzip, _BZIP2: bz2}.items() if head.startswith(magic)), None)
        try:
            file: io.BufferedReader[Any] = io.BufferedReader(kind.open(raw), _HEAD) if kind else raw
            encoding = settle_encoding(path, file.peek(_HEAD), encoding)
            file = io.BufferedReader(encodings.Transcoded(file, encoding), _HEAD) if encoding else file
            for number, line in enumerate(_cut(file), 1):
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
            raise ValueError(f"{path}:{number + 1}: damaged {kind.__name__ if kind else 'text'} file: {error}") from None
    if num_inside:
        _log_inside(path, num_inside, first_inside)


def _cut(file):
    """The lines of a binary file, as bytes."""
    if not _ends_by_cr(file.peek(_HEAD)):
        return file
    return (line.encode("latin-1") for line in io.TextIOWrapper(file, "latin-1"))  # maps every byte to a character


def _ends_by_cr(head):
    return len(_ALONE.findall(head)) > head.count(b"\n")


def _log_inside(path, count, first):
    logger.warning(f"{path}: carriage returns inside lines={count} (the first in line {first}) are text, as LF ends the lines here")
