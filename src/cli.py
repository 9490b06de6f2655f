"""What all commands share: exit codes, errors about input as one line, a parser whose errors are such."""

import argparse
import os
import sys
from contextlib import contextmanager

EXIT_CHECK_FAILED = 1
EXIT_BAD_INPUT = 2


class Parser(argparse.ArgumentParser):
    """Raises a ValueError where argparse prints its usage; flags are not abbreviated, and the description stays as it is written."""

    def __init__(self, **options):
        super().__init__(**{"allow_abbrev": False, "formatter_class": argparse.RawDescriptionHelpFormatter, **options})

    def error(self, message):
        raise ValueError(f"{message}; see `{self.prog} --help`")


@contextmanager
def bad_input_exits():
    """Turn errors about input into one line on stderr and exit code 2; BERT_TRACEBACK=1 shows where they arose."""
    try:
        yield
    except (ValueError, OSError, MemoryError) as error:
        if os.environ.get("BERT_TRACEBACK"):
            raise
        print(f"error: {printable(_describe_error(error))}", file=sys.stderr, flush=True)
        sys.exit(EXIT_BAD_INPUT)


@contextmanager
def not_input():
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


def printable(text):
    """The same with line breaks, escape codes and the like written out: names in strangers' files cannot draw lines of their own."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def _describe_error(error):
    if isinstance(error, MemoryError):
        return f"not enough memory: {error}"
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    return " ".join(str(error).split())
