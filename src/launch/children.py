"""One started process with all that it starts in turn: a session of its own, so that nothing of it can be left behind."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PROC = Path("/proc")
_UNKILLABLE = 5  # seconds until SIGKILL counts as without effect
_ROUNDS = 50  # of killing what a session goes on starting


class Child:
    """A process that was started.

    Args:
        process: of src.launch.commands.
        unset: names of variables that it does not get from this process.

    Attributes:
        code: None while it runs, then its exit code; 128 + number where a signal ended it.
        signal_name: of that signal, or None.

    Raises:
        OSError: it cannot be started, or its log cannot be written.
    """

    def __init__(self, process, unset=()):
        self.process, self.code, self.signal_name = process, None, None
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

    def look(self):
        """Its code, as of now. It is not waited for before `kill`: until then no other process or session can get its number."""
        if self.code is None:
            end = os.waitid(os.P_PID, self._handle.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if end:
                was_signal = end.si_code != os.CLD_EXITED
                self.code = 128 * was_signal + end.si_status
                names = {number.value: number.name for number in signal.Signals}
                self.signal_name = names.get(end.si_status, str(end.si_status)) if was_signal else None
        return self.code

    def send(self, number):
        """Send a signal to the process alone; to mpirun the one that stands for it."""
        if self.look() is None:
            os.kill(self._handle.pid, self.process.signals.get(number, number))

    def kill(self):
        """End what is left of it and of what it started."""
        if self._handle.returncode is None:
            _kill_session(self._handle.pid)
            with suppress(subprocess.TimeoutExpired):  # a driver may hold it for ever
                self._handle.wait(_UNKILLABLE)
            code = self._handle.returncode
            self.code = 128 + signal.SIGKILL if code is None else 128 - code if code < 0 else code


def end_with_parent(parent):
    """What a new process does first: arrange for SIGTERM when the launcher is gone, even by SIGKILL. Linux alone has this."""

    def arrange():
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it is gone already
            os._exit(128 + signal.SIGTERM)

    return arrange


def _kill_session(leader):
    """Kill all processes of a session; where there is no /proc, those of its first group."""
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


def _find_members(leader):
    """Living processes of a session: mpirun's ranks are in groups of their own, but in its session."""
    found = []
    for entry in _PROC.glob("[0-9]*"):
        try:
            state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it has ended
            continue
        if int(session) == leader and state not in "ZX":
            found.append(int(entry.name))
    return found
