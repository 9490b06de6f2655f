"""Lines of text files. LF or CRLF ends a line, and CR alone in the files of old Macintosh programs."""

import bz2
import gzip
import io
import re
import zlib

from src.files import GZIP
from src.log import logger

_HEAD = 1 << 16  # bytes of a file that tell how its lines end
_ALONE = re.compile(rb"\r(?!\r*\n)")
_BZIP2 = b"BZh"


def unify(data):
    """The bytes of a text file; its lines end in LF where CR alone ended them, else they are as they were."""
    return re.sub(rb"\r\n?", b"\n", data) if _ends_by_cr(data[:_HEAD]) else data


def split_lines(path, text):
    """The lines of a text whose bytes `unify` gave; CR inside them is text, and is told."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    if "\r" in text:
        inside = [number for number, line in enumerate(lines, 1) if "\r" in line]
        _tell_inside(path, len(inside), next(iter(inside), None))
    return lines


def read_lines(path):
    """(number from 1, line) of each line of a UTF-8 file or pipe, plain, gzip or bzip2, without a byte order mark.

    Raises:
        OSError: it cannot be read. ValueError: not UTF-8, or damaged; names file and line.
    """
    number, num_inside, first_inside = 0, 0, None
    with open(path, "rb", _HEAD) as raw:
        magic = raw.peek(len(_BZIP2))
        kind = gzip if magic.startswith(GZIP) else bz2 if magic.startswith(_BZIP2) else None
        try:
            for number, line in enumerate(_cut(io.BufferedReader(kind.open(raw), _HEAD) if kind else raw), 1):
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                if "\r" in text:
                    num_inside, first_inside = num_inside + 1, first_inside or number
                yield number, text
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}:{number}: not UTF-8: {error.reason}") from None
        except (EOFError, zlib.error, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise ValueError(f"{path}:{number + 1}: damaged {kind.__name__} file: {error}") from None
    _tell_inside(path, num_inside, first_inside)


def _cut(file):
    """The lines of a binary file, as bytes."""
    if not _ends_by_cr(file.peek(_HEAD)):
        return file
    return (line.encode("latin-1") for line in io.TextIOWrapper(file, "latin-1"))  # which takes any byte for a character


def _ends_by_cr(head):
    return len(_ALONE.findall(head)) > head.count(b"\n")


def _tell_inside(path, count, first):
    if count:
        logger.warning(f"{path}: carriage returns inside lines={count} (the first in line {first}) are text, as LF ends the lines here")
