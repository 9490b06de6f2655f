"""A log that is shown while it grows."""

import os
import sys

_PIECE = 1 << 20  # bytes


class Follower:
    """Copies a file to standard output, a `src.cli.Output`, as it grows.

    Args:
        path: of the file; it may not be there yet.
    """

    def __init__(self, path):
        self._path, self._file, self._output = path, None, sys.stdout.buffer

    def copy(self):
        """Copy what has come since the last call."""
        if self._output is None or self._file is None and not os.path.exists(self._path):
            return
        self._file = self._file or open(self._path, "rb")  # noqa: SIM115 (as long as the process)
        try:
            while piece := self._file.read(_PIECE):
                self._output.write(piece)
                self._output.flush()
        except OSError as error:
            self._output = None
            sys.stdout.give_up(error)


def read_tail(path, lines=20):
    """The last lines of a file, as text."""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - _PIECE))
        return "".join(line + "\n" for line in file.read().decode("utf-8", errors="replace").splitlines()[-lines:])
