"""Writes files whole, by renaming a temporary file, so that a failure leaves no partial file; reads files, plain or gzip.

A rename may reach the disk long before the content of the file, and a power cut would then leave an empty file under the final name.
Therefore the content is flushed before the rename, and the folder after it.
"""

import errno
import gzip
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

GZIP = b"\x1f\x8b"  # the first bytes of a gzip file
ZIP = b"PK\x03\x04"
LFS_POINTER = b"version https://git-lfs.github.com/"
HDF5 = b"\x89HDF\r\n\x1a\n"
_POINTER = "a Git LFS pointer, which stands for a file that was not downloaded: `git lfs pull` in its repository fetches it"
_OTHERS = {  # the first bytes of files that are no text -> what they are, and what to do
    LFS_POINTER: _POINTER,
    ZIP: "a zip archive, as .xlsx and .docx files are too: unpack it, or save the table as CSV, UTF-8",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "a file of Excel or Word (.xls, .doc): save it as CSV or text, UTF-8",
    HDF5: "an HDF5 file (.h5), which is not read: save its content as text",
    b"PAR1": "a Parquet file, which is not read: save it as CSV or JSON lines",
    b"%PDF-": "a PDF file, which is not read: save its text",
}
HEAD_BYTES = max(map(len, _OTHERS))  # bytes that tell these kinds of files apart
_PIECE = 1 << 20  # bytes
_text_limit = 1 << 30


def cache_folder() -> Path:
    """The folder for files made once per machine: ~/.cache/bert-mindspore, or below $XDG_CACHE_HOME."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bert-mindspore"


def text_limit(size: int | None = None) -> int:
    """The largest text in bytes that readers hold at once: an unpacked .gz file, or a line of a corpus.

    Args:
        size: the limit from now on; like `csv.field_size_limit`, it is one for the whole process.
    """
    global _text_limit
    if size is not None:
        _text_limit = size
    return _text_limit


def refuse_others(path: Path | str, head: bytes) -> None:
    """Raise a ValueError that names the kind of a file, and what to do, if its first bytes are not those of a text file."""
    for start, what in _OTHERS.items():
        if head.startswith(start):
            raise ValueError(f"{path}: {what}")


def refuse_pointer(path: Path | str, head: bytes) -> bytes:
    """The first bytes of a file, or all; a ValueError if it is a Git LFS pointer."""
    if head.startswith(LFS_POINTER):
        raise ValueError(f"{path}: {_POINTER}")
    return head


def read_bytes(path: Path | str) -> bytes | bytearray:
    """The content of a file of text, plain or gzip, which is recognised by its first bytes.

    Raises:
        OSError: the file cannot be read.
        ValueError: damaged gzip, it unpacks to more than `text_limit`, or a file of another kind.
    """
    with open(path, "rb") as file:
        head = file.peek(HEAD_BYTES)
        refuse_others(path, head)
        if not head.startswith(GZIP):
            return file.read()
        data = bytearray()
        try:
            with gzip.open(file) as unpacked:
                while piece := unpacked.read(_PIECE):
                    data += piece
                    if len(data) > _text_limit:
                        raise ValueError(f"{path}: unpacks to more than {_text_limit >> 20} MB; --max_text_mb raises this limit")
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(f"{path}: damaged gzip file: {error}") from None
        return data


def read_json_object(path: Path | str) -> dict[str, Any]:
    """The content of a JSON file whose top level is an object."""
    if Path(path).exists() and not Path(path).is_file():
        raise ValueError(f"{path}: is no ordinary file; a JSON file is expected")
    try:
        data = refuse_pointer(path, Path(path).read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file; it should be a JSON file") from None
    try:
        raw = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a JSON file: {error}") from None
    if not isinstance(raw, dict):
        raise ValueError(f"{path}: a JSON object is expected, found {type(raw).__name__}")
    return raw


@contextmanager
def written_whole(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which is renamed to it when the block succeeds and removed when it fails.

    The block may create a file or a folder there; it has the suffix of `path`. After the block, a power cut loses nothing.

    Raises:
        OSError: names `path` instead of the temporary path; also raised if `path` is a device, which must not be replaced.
    """
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "is no ordinary file, and would be replaced by one", str(path))
    make_folders(path.parent)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        _flush_tree(temporary)
        if temporary.is_dir() and path.is_dir():
            shutil.rmtree(path)
        os.replace(temporary, path)
        flush(path.parent)
    except BaseException as error:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None and str(error.filename or temporary).startswith(str(temporary)):
            raise type(error)(error.errno, error.strerror, str(path)) from error
        raise


def move_whole(paths: Sequence[Path], folder: Path | str) -> None:
    """Move files or folders into a folder in this order; after a power cut each is either moved whole or unchanged.

    Args:
        paths: on the file system of `folder`; files of the same name there are replaced.
        folder: must exist.
    """
    for path in paths:
        _flush_tree(path)
    for path in paths:
        os.replace(path, Path(folder) / path.name)
    flush(folder)


def flush(path: Path | str) -> None:
    """Wait until the content of a file, or the names in a folder, are on the disk.

    Raises:
        OSError: they cannot be written; a folder on a file system that cannot flush folders is skipped.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not (os.path.isdir(path) and error.errno in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)):
            raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(descriptor)


def _flush_tree(path):
    for inner in sorted(path.iterdir()) if path.is_dir() else ():
        _flush_tree(inner)
    flush(path)


def make_folders(folder: Path) -> None:
    """Make a folder and its missing parents, and flush the folders that have their names."""
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in new:
        flush(each.parent)


def is_gone(path: Path | str, file: IO[Any]) -> bool:
    """Whether an open file is no longer the one at this path."""
    try:
        return not os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return True


def make_folder(path: Path | str) -> None:
    """Make a folder for results, and check that files can be written to it.

    Raises:
        OSError: a file has this path, or the folder cannot be written to; the message names it.
    """
    make_folders(Path(path))
    with tempfile.TemporaryFile(dir=path):
        pass


def write_text(path: Path | str, text: str) -> None:
    """Write a UTF-8 text file whole."""
    with written_whole(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        file.write(text)
