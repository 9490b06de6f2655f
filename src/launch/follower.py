"""Showing a log while it grows."""

import os
import sys
from pathlib import Path
from typing import BinaryIO

from src.cli import Output

_PIECE = 1 << 20  # bytes


class Follower:
    """Copies a file to standard output while it grows; it need not exist yet."""

    def __init__(self, path: Path | str):
        self._path = path
        self._file: BinaryIO | None = None
        self._output: BinaryIO | None = sys.stdout.buffer

    def copy(self) -> None:
        """Copy what was added since the last call."""
        if self._output is None or self._file is None and not os.path.exists(self._path):
            return
        self._file = self._file or open(self._path, "rb")  # noqa: SIM115 (stays open until the process ends)
        try:
            while piece := self._file.read(_PIECE):
                self._output.write(piece)
                self._output.flush()
        except OSError as error:
            self._output = None
            if isinstance(sys.stdout, Output):
                sys.stdout.give_up(error)


def read_tail(path: Path | str, lines: int = 20) -> str:
    """The last lines of a file, as text."""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - _PIECE))
        return "".join(line + "\n" for line in file.read().decode("utf-8", errors="replace").splitlines()[-lines:])
