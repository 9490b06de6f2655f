"""Folders that one process at a time may write in, from which what killed processes left unfinished is removed."""

import errno
import fcntl
import glob
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from src.files import is_gone, make_folders


@contextmanager
def locked(folder: Path | str, wait: bool = True) -> Iterator[None]:
    """Hold a lock on a folder, against processes on this host and on others that share the folder.

    What `written_whole` left there when its process was killed is removed first.

    Args:
        folder: made if absent.
        wait: whether to wait for a process that holds the lock.

    Raises:
        BlockingIOError: another process holds the lock, and wait is False.
    """
    make_folders(Path(folder))
    with open(Path(folder) / ".lock", "a") as file:  # a folder itself cannot be locked on NFS
        if _lock(file, wait):
            _clear_unfinished(Path(folder))
        yield


def _lock(file, wait):
    """Lock an open file; returns False where the file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
            raise
        return False
    return True


_TEMPORARY = re.compile(r"\..+\.\d+(\.[^.]+)?")  # the names that `written_whole` gives to unfinished files and folders


def _clear_unfinished(folder):
    for path in folder.iterdir():
        if _TEMPORARY.fullmatch(path.name):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


@contextmanager
def work_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, which is removed after the block; those that killed processes left are removed first."""
    for lock in path.parent.glob(f".{glob.escape(path.name)}.*/lock"):
        with suppress(OSError), open(lock, "r+") as file:  # BlockingIOError: its process still runs
            if _lock(file, wait=False):
                shutil.rmtree(lock.parent)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder, open(Path(folder, "lock"), "w") as file:
        _lock(file, wait=False)
        inner = Path(folder, "files")
        inner.mkdir()
        yield inner


HIDDEN = ".bert-mindspore."  # prefix of temporary names while a folder is filled
_TRIES = 1000


@contextmanager
def hidden_folder(folder: Path | str) -> Iterator[Path]:
    """Yield a folder inside `folder` for files that are moved out once all are whole; it is removed after the block.

    `folder` is made if absent, and removed again if it stays empty.

    Raises:
        ValueError: another process is in such a block for `folder`.
        OSError: an error of the block, with the file named as if it were in `folder`.
    """
    folder = Path(folder)
    was_there = folder.exists()
    try:
        with _locked_alone(folder):
            for left in folder.glob(f"{HIDDEN}*"):  # left by a process that was killed
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
    """Like `locked`, with a lock file that is removed afterwards; a process that had it open notices that and opens a new one."""
    path, left = folder / f"{HIDDEN}lock", _TRIES
    with ExitStack() as stack:
        while True:
            try:
                make_folders(folder)
                file = stack.enter_context(open(path, "a"))  # noqa: SIM115 (the stack closes it)
                _lock(file, wait=False)
            except BlockingIOError:
                raise ValueError(f"{folder}: another process writes there at this moment") from None
            except (FileNotFoundError, FileExistsError):  # another process has removed the folder, which it had made and left empty
                if (left := left - 1) == 0:
                    raise
            else:
                if not is_gone(path, file):
                    break
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
