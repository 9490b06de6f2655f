"""Files written whole: a temporary name beside the target, then a rename; a failure leaves no half file. And files read, plain or gzip.

A rename may reach the disk long before the content of the file: a power cut would leave an empty file under the final name. Therefore
the content is flushed before the rename, and the folder after it.
"""

import errno
import fcntl
import gzip
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

GZIP = b"\x1f\x8b"  # how such files begin


def cache_folder() -> Path:
    """Where what is made once for this machine is kept: ~/.cache/bert-mindspore, or below $XDG_CACHE_HOME."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bert-mindspore"


def read_bytes(path: Path | str) -> bytes:
    """The content of a file, plain or gzip, which its first bytes tell.

    Raises:
        OSError: it cannot be read. ValueError: damaged gzip.
    """
    data = Path(path).read_bytes()
    if data[: len(GZIP)] != GZIP:
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: damaged gzip file: {error}") from None


def read_json_object(path: Path | str) -> dict[str, Any]:
    """The content of a configuration file: dict."""
    if Path(path).exists() and not Path(path).is_file():
        raise ValueError(f"{path}: is no ordinary file; a JSON file is expected")
    try:
        raw = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file; it should be a JSON file") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a JSON file: {error}") from None
    if not isinstance(raw, dict):
        raise ValueError(f"{path}: a JSON object is expected, found {type(raw).__name__}")
    return raw


@contextmanager
def written_whole(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; renamed to it when the block succeeds, removed when it fails.

    The block may create a file or a folder there; the suffix of `path` is kept. After the block a power cut changes nothing more.

    Raises:
        OSError: with the name of `path` where the temporary one's is meant; or `path` is a device, which is not to be replaced.
    """
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "is no ordinary file, and would be replaced by one", str(path))
    _make_folders(path.parent)
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
    """Move files or folders into a folder, in this order; a power cut leaves each of them whole, or as it was before.

    Args:
        paths: on the file system of `folder`; what has the same name there is replaced.
        folder: that exists.
    """
    for path in paths:
        _flush_tree(path)
    for path in paths:
        os.replace(path, Path(folder) / path.name)
    flush(folder)


def flush(path: Path | str) -> None:
    """Wait until the disk has the content of a file, or the names in a folder.

    Raises:
        OSError: it cannot be written. Folders of file systems that cannot flush any are passed over.
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


def _make_folders(folder):
    """Make a folder and those above it that are absent, and flush the folders that hold their names."""
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in new:
        flush(each.parent)


@contextmanager
def locked(folder: Path | str, wait: bool = True) -> Iterator[None]:
    """Inside, no other process is inside for the same folder, on this host or on another that shares it.

    Args:
        folder: made if absent.
        wait: until the other process has left; False does not.

    Raises:
        BlockingIOError: another process is inside, and wait is False.
    """
    _make_folders(Path(folder))
    with open(Path(folder) / ".lock", "a") as file:  # a folder itself cannot be locked on NFS
        _lock(file, wait)
        yield


def _lock(file, wait):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):  # file systems without locks
            raise


HIDDEN = ".bert-mindspore."  # begins names that are there while a folder is filled
_TRIES = 1000


@contextmanager
def hidden_folder(folder: Path | str) -> Iterator[Path]:
    """Yield a folder inside `folder` for files that are moved out when all are whole; it is gone behind the block.

    `folder` is made if absent, and gone if it was made for nothing.

    Raises:
        ValueError: another process is in such a block. OSError: of the block, its file named as it would be in `folder`.
    """
    folder = Path(folder)
    was_there = folder.exists()
    try:
        with _locked_alone(folder):
            for left in folder.glob(f"{HIDDEN}*"):  # by a process that was killed
                if left.is_dir() and not left.is_symlink():
                    shutil.rmtree(left)
            with tempfile.TemporaryDirectory(prefix=HIDDEN, dir=folder) as hidden:
                yield Path(hidden)
    except OSError as error:
        if (path := Path(error.filename or "")).parent.name.startswith(HIDDEN):
            error.filename = str(folder / path.name)
        raise
    finally:
        if not was_there:
            with suppress(OSError):  # it is not empty
                folder.rmdir()


@contextmanager
def _locked_alone(folder):
    """As `locked`, by a file that is gone afterwards: a process that had opened it before sees that, and opens the next one."""
    path, left = folder / f"{HIDDEN}lock", _TRIES
    with ExitStack() as stack:
        while True:
            try:
                _make_folders(folder)
                file = stack.enter_context(open(path, "a"))  # noqa: SIM115 (the stack closes it)
                _lock(file, wait=False)
            except BlockingIOError:
                raise ValueError(f"{folder}: another process writes there at this moment") from None
            except (FileNotFoundError, FileExistsError):  # another process, which had made the folder for nothing, has removed it
                if (left := left - 1) == 0:
                    raise
            else:
                if not _is_gone(path, file):
                    break
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _is_gone(path, file):
    """Whether an open file has no longer this path."""
    try:
        return not os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return True


def make_folder(path: Path | str) -> None:
    """Make a folder for results, and see that it can be written to.

    Raises:
        OSError: naming the folder: a file is in its place, or it cannot be written.
    """
    _make_folders(Path(path))
    with tempfile.TemporaryFile(dir=path):
        pass


def write_text(path: Path | str, text: str) -> None:
    """Write a UTF-8 text file whole."""
    with written_whole(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        file.write(text)
