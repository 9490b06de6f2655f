"""The logger, the progress bar, and log.jsonl, the machine-readable record of a run."""

import json
import logging
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from src.files import flush, is_gone, make_folder
from src.ranks import find_rank


class _RankFormatter(logging.Formatter):
    """Prefixes every line with the rank, except rank 0's, when several processes write to one terminal."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        rank = find_rank()
        return f"[rank {rank}] {text}" if rank else text


class _TqdmHandler(logging.Handler):
    """Writes above a running progress bar instead of into it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            tqdm.write(self.format(record), file=sys.stdout)
            sys.stdout.flush()
        except (OSError, ValueError):  # in another program, which has not called cli.keep_output
            self.handleError(record)


def _make_logger():
    logger = logging.getLogger("bert")
    if not logger.handlers:
        handler = _TqdmHandler()
        handler.setFormatter(_RankFormatter("%(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
    return logger


logger = _make_logger()


def format_fields(fields: Mapping[str, Any]) -> str:
    """Format `{"step": 3, "loss": 0.51}` as `step=3 loss=0.51`, floats with six significant digits."""
    return " ".join(f"{key}={value:.6g}" if isinstance(value, float) else f"{key}={value}" for key, value in fields.items())


def shorten(names: Iterable[str], limit: int = 20) -> str:
    """The first names of a list that may be long, such as `a, b and 3 more`."""
    names = list(names)
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def progress(iterable: Iterable[Any] | None = None, **options: Any) -> tqdm:
    """A tqdm bar on a terminal; silent elsewhere and in other ranks, where step lines report the same."""
    is_one_of_many = bool(find_rank())  # mpirun gives each a terminal of its own
    return tqdm(iterable, disable=is_one_of_many or not sys.stdout.isatty(), file=sys.stdout, dynamic_ncols=True, leave=False, **options)


class PartTimer:
    """The seconds that each part of a start takes, from `begin` to `take`; outside them it measures nothing."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._last: float | None = None  # the end of the last part

    def begin(self) -> None:
        """Start, unless it runs already."""
        if self._last is None:
            self._last = time.perf_counter()

    def end(self, part: str) -> None:
        """The time since the last part was this one's."""
        if self._last is not None:
            now = time.perf_counter()
            self._seconds[part] = self._seconds.get(part, 0.0) + now - self._last
            self._last = now

    def take(self) -> dict[str, float]:
        """The seconds of each part, in order, and stop."""
        taken, self._seconds, self._last = self._seconds, {}, None
        return taken


start_up = PartTimer()  # of a training, up to its first step


class RunLog:
    """The append-only log.jsonl of a run; each record is one line, written immediately.

    Args:
        path: the file, whose folder is made; None writes nothing (ranks other than 0).
        keep: whether to continue an existing file (resume), without a half-written last line, or to start a new one.
        tracker: gets every record too, by `add`, and is closed with the file.
        always: what each record has besides its own.
    """

    def __init__(self, path: Path | str | None, keep: bool = False, tracker: Any = None, always: Mapping[str, Any] | None = None) -> None:
        self._path, self._tracker, self._always = path, tracker, always or {}
        self._file: TextIO | None = None
        if path is not None:
            if keep and Path(path).is_file():
                _cut_half_line(path)
            self._file = _open(path, keep)

    def write(self, record: Mapping[str, Any]) -> None:
        """Append a record; an OSError names the path."""
        record = {**record, **self._always}
        if self._file is not None:
            try:
                self._file.write(json.dumps(record, ensure_ascii=False) + "\n")
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self._path)) from error
        if self._tracker is not None:
            self._tracker.add(record)

    def flush(self) -> None:
        """Wait until all records are on the disk; a file that was removed is begun anew."""
        if self._path is not None and self._file is not None:
            if is_gone(self._path, self._file):
                logger.warning(f"{self._path}: removed during the run; a new one is begun")
                self._file.close()
                self._file = _open(self._path, keep=False)
            flush(self._path)
            flush(Path(self._path).parent)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        if self._tracker is not None:
            self._tracker.close()


def _open(path: Path | str, keep: bool) -> TextIO:
    if not Path(path).parent.is_dir():  # removed during the run
        make_folder(Path(path).parent)
    return open(path, "a" if keep else "w", encoding="utf-8", buffering=1)


def _cut_half_line(path):
    """Cut off a half-written last line, left by a full disk or a power cut; it would damage the next record."""
    with open(path, "r+b") as file:
        data = file.read()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            file.truncate(whole)
            logger.warning(f"{path}: its last line was written in part and is cut off")
