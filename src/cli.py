"""What all commands share: exit codes, errors about input as one line, a parser whose errors are such, output that ends no run."""

import argparse
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, TextIO

EXIT_CHECK_FAILED = 1
EXIT_BAD_INPUT = 2


class Parser(argparse.ArgumentParser):
    """Raises a ValueError where argparse prints its usage; flags are not abbreviated, and the description stays as it is written."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": argparse.RawDescriptionHelpFormatter, **options})

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see `{self.prog} --help`")


class Output:
    """A text stream of the process for messages, which are never worth the run.

    A character that the stream's encoding lacks is written as its code. Where nothing can be written any more (a full disk, a terminal
    or a reader that is gone) the rest goes nowhere; of stdout stderr says so, unless it is that its reader has left.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        if isinstance(stream, io.TextIOWrapper):  # others take any character
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
        """Let the rest go nowhere, what the framework's libraries write too."""
        with suppress(OSError):  # the stream is no file
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
        if self is sys.stdout and not isinstance(error, BrokenPipeError):
            print(f"warning: standard output: {error.strerror}; the run goes on without it", file=sys.stderr, flush=True)


def keep_output() -> None:
    """Make an Output of stdout and of stderr."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by who started the process
            stream = open(os.devnull, "w")  # noqa: SIM115 (as long as the process)
        if not isinstance(stream, Output):
            setattr(sys, name, Output(stream))


@contextmanager
def bad_input_exits() -> Iterator[None]:
    """Turn errors about input into one line on stderr and exit code 2; BERT_TRACEBACK=1 shows where they arose.

    From here on no message ends the run, see `Output`.
    """
    keep_output()
    try:
        yield
    except (ValueError, OSError, MemoryError) as error:
        if os.environ.get("BERT_TRACEBACK"):
            raise
        print(f"error: {printable(_describe_error(error))}", file=sys.stderr, flush=True)
        sys.exit(EXIT_BAD_INPUT)


@contextmanager
def not_input() -> Iterator[None]:
    """Inside, a ValueError is a fault of the program, not of the user's input, and shows where it arose.

    Training that fails to converge ends with one line and exit code 1.
    """
    try:
        yield
    except ValueError as error:
        raise RuntimeError(f"unexpected: {error}") from error
    except FloatingPointError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(EXIT_CHECK_FAILED)


def printable(text: str) -> str:
    """The same with line breaks, escape codes and the like written out: names in strangers' files cannot draw lines of their own."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def _describe_error(error):
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}"
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    return " ".join(str(error).split())
