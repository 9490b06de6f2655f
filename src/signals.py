"""Ctrl-C and SIGTERM reach Python's handlers, whatever the framework installs.

Whenever a graph runs, MindSpore replaces the C-level SIGINT handler by one that sends SIGTERM. Both signals are therefore blocked
in every thread before it is imported, and a watcher thread passes them on to the handlers set from Python.
"""

import _thread
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_WATCHED = (signal.SIGINT, signal.SIGTERM)
_received: list[int] = []  # numbers of the signals that were to end the process

held = threading.Lock()  # delays signals until it is released: MindSpore does not survive one while it is imported


def watch() -> None:
    """Start watching; call it in the main thread before any other thread exists."""
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    threading.Thread(target=_pass_on, daemon=True).start()


def _pass_on() -> None:
    while True:
        number = signal.sigwait(_WATCHED)
        with held:
            _thread.interrupt_main(signal.Signals(number))


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the process directly, during calls of the framework that may wait forever and let no Python thread run."""
    handler = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.signal(signal.SIGTERM, handler)


def leave_if_told() -> None:
    """Exit if a signal came whose SystemExit was lost: some framework calls that run Python code swallow it."""
    if _received:
        sys.exit(128 + _received[0])


def _exit(number: int, frame: FrameType | None) -> None:
    """Exit at once with the usual code; training installs handlers of its own."""
    _received.append(number)
    sys.exit(128 + number)
