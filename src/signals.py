"""Ctrl-C and SIGTERM reach Python's handlers whatever the framework installs.

MindSpore replaces the C-level SIGINT handler whenever a graph runs, by one that sends SIGTERM. So both signals are
blocked before it is imported, in every thread, and a watcher thread passes them on to the handlers set from Python.
"""

import _thread
import signal
import sys
import threading
from contextlib import contextmanager

_WATCHED = (signal.SIGINT, signal.SIGTERM)
_received = []  # numbers of the signals that were to end the process

held = threading.Lock()  # a signal that comes while it is held is passed on when it is free: importing MindSpore does not survive one


def watch():
    """Start watching; call it in the main thread before any other thread exists."""
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    threading.Thread(target=_pass_on, daemon=True).start()


def _pass_on():
    while True:
        number = signal.sigwait(_WATCHED)
        with held:
            _thread.interrupt_main(number)


@contextmanager
def ended_by_sigterm():
    """Inside, SIGTERM ends the process: for calls of the framework that wait, perhaps for ever, and let no thread of Python run."""
    handler = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
        signal.signal(signal.SIGTERM, handler)


def leave_if_told():
    """Leave now if a signal came and its SystemExit was lost: calls of the framework that come back to Python swallow some."""
    if _received:
        sys.exit(128 + _received[0])


def _exit(number, frame):
    """Outside of training: leave at once with the usual code; training sets handlers of its own."""
    _received.append(number)
    sys.exit(128 + number)
