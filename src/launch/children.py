"""A child process in a session of its own, so that everything it starts can be found and ended."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from src.launch.commands import Process

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PROC = Path("/proc")
_UNKILLABLE = 5  # seconds after which SIGKILL counts as having no effect
_ROUNDS = 50  # of killing a session that keeps starting processes


class Child:
    """A started process.

    Args:
        unset: names of variables that it does not inherit.

    Attributes:
        code: None while it runs, then its exit code; 128 + number if a signal ended it.
        signal_name: the name of that signal, or None.

    Raises:
        OSError: it cannot be started, or its log cannot be written.
    """

    def __init__(self, process: Process, unset: Collection[str] = ()):
        self.process = process
        self.code: int | None = None
        self.signal_name: str | None = None
        Path(process.log).parent.mkdir(parents=True, exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if name not in unset} | process.environment
        with open(process.log, "wb") as log:
            self._handle = subprocess.Popen(
                process.command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent(os.getpid()) if _LIBC else None,
            )

    def look(self) -> int | None:
        """The current code. The process is not reaped before `kill`, so its PID cannot be reused."""
        if self.code is None:
            end = os.waitid(os.P_PID, self._handle.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if end:
                was_signal = end.si_code != os.CLD_EXITED
                self.code = 128 * was_signal + end.si_status
                names = {number.value: number.name for number in signal.Signals}
                self.signal_name = names.get(end.si_status, str(end.si_status)) if was_signal else None
        return self.code

    def send(self, number: int) -> None:
        """Send a signal to the process alone; mpirun gets its substitute."""
        if self.look() is None:
            os.kill(self._handle.pid, self.process.signals.get(number, number))

    def kill(self) -> None:
        """Kill the process and everything it started, as far as they still run."""
        if self._handle.returncode is None:
            _kill_session(self._handle.pid)
            with suppress(subprocess.TimeoutExpired):  # a driver may hold it forever
                self._handle.wait(_UNKILLABLE)
            code = -signal.SIGKILL if self._handle.returncode is None else self._handle.returncode
            self.code = 128 - code if code < 0 else code


def end_with_parent(parent: int) -> Callable[[], None]:
    """A `preexec_fn` by which a new process gets SIGTERM when its parent ends, even by SIGKILL; Linux only."""

    def arrange() -> None:
        assert _LIBC is not None
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it has ended already
            os._exit(128 + signal.SIGTERM)

    return arrange


def _kill_session(leader: int) -> None:
    """Kill all processes of a session; without /proc, those of its leader's group."""
    if not (_PROC / "self/stat").exists():
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(leader, signal.SIGKILL)
    for _ in range(_ROUNDS):
        members = _find_members(leader)
        if not members:
            break
        for pid in members:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _find_members(leader: int) -> list[int]:
    """Living processes of a session: mpirun's ranks have groups of their own, but stay in its session."""
    found = []
    for entry in _PROC.glob("[0-9]*"):
        try:
            state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it has ended
            continue
        if int(session) == leader and state not in "ZX":
            found.append(int(entry.name))
    return found
