"""Basics of all commands: exit codes, one-line errors about input, a parser that raises them, output that never ends a run."""

import argparse
import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, TextIO

EXIT_CHECK_FAILED = 1
EXIT_BAD_INPUT = 2


class Parser(argparse.ArgumentParser):
    """Raises a ValueError where argparse prints its usage; abbreviated flags are refused, and the description is not wrapped."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": argparse.RawDescriptionHelpFormatter, **options})

    def error(self, message: str) -> NoReturn:
        flag = re.match(r"argument (--[^\s/]+)[^:]*: expected one argument", message)
        hint = f"; a value that begins with - follows a =, as in {flag[1]}=--name" if flag else ""
        raise ValueError(f"{message}{hint}; see `{self.prog} --help`")


class Output:
    """A text stream for messages whose errors never end the run.

    A character that the stream's encoding lacks is written as its code. After a failure (a full disk, a closed terminal or pipe) the
    rest is dropped; for stdout a warning on stderr says so, unless its reader has left.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        if isinstance(stream, io.TextIOWrapper):  # other streams take any character
            stream.reconfigure(errors="backslashreplace")

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except OSError as error:
            self.give_up(error)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self.give_up(error)

    def give_up(self, error: OSError) -> None:
        """Drop the rest, including what the framework's libraries write."""
        with suppress(OSError):  # a stream without a file
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
        if self is sys.stdout and not isinstance(error, BrokenPipeError):
            print(f"warning: standard output: {error.strerror}; the run goes on without it", file=sys.stderr, flush=True)


def keep_output() -> None:
    """Replace stdout and stderr by an Output."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the parent process
            stream = open(os.devnull, "w")  # noqa: SIM115 (open as long as the process lives)
        if not isinstance(stream, Output):
            setattr(sys, name, Output(stream))


@contextmanager
def bad_input_exits() -> Iterator[None]:
    """Turn errors about input into one line on stderr and exit code 2; BERT_TRACEBACK=1 shows the traceback.

    Training that fails to converge ends with one line and exit code 1. From here on no message ends the run; see `Output`.
    """
    keep_output()
    try:
        yield
    except (ValueError, OSError, MemoryError, FloatingPointError) as error:
        if os.environ.get("BERT_TRACEBACK"):
            raise
        print(f"error: {printable(_describe_error(error))}", file=sys.stderr, flush=True)
        sys.exit(EXIT_CHECK_FAILED if isinstance(error, FloatingPointError) else EXIT_BAD_INPUT)


@contextmanager
def not_input() -> Iterator[None]:
    """Inside, a ValueError is a fault of the program, not of the user's input, and gives a traceback."""
    try:
        yield
    except ValueError as error:
        raise RuntimeError(f"unexpected: {error}") from error


def printable(text: str) -> str:
    """The text with line breaks and control characters escaped, so that names in untrusted files cannot forge lines."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def _describe_error(error):
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}"
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    return " ".join(str(error).split())
