"""Run the processes of a job: follow one log, pass on signals, end all ranks when one fails."""

import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from src.launch.children import Child
from src.launch.follower import Follower, read_tail
from src.launch.ports import is_listening

_STOPPING = (signal.SIGINT, signal.SIGTERM)
# seconds
_TICK = 0.1
_PATIENCE = 10  # between SIGTERM and SIGKILL for the ranks that are left when one has failed: in a call of the framework they hang
_LAST_RANKS = 60  # after the first that has ended as it was asked to
_SCHEDULER_START = 60
_SCHEDULER_END = 60  # behind the ranks of this host, for those of other hosts


def run(job):
    """Run all processes of a job to their end.

    The first SIGINT or SIGTERM is passed on to the ranks, which save and end in their own time; a second one kills them.

    Returns:
        0, or the first code of a rank that was not: 128 + number where a signal ended it.

    Raises:
        OSError: a process cannot be started, or its log cannot be written; the others are ended.
    """
    with _noted_signals() as received:
        crew = _Crew(job, received)
        try:
            if job.scheduler:
                crew.start_scheduler()
            if not crew.failed and not received:
                crew.start_ranks()
            while crew.look():
                time.sleep(_TICK)
            crew.wait_for_other_hosts()
        finally:
            crew.kill()
        return crew.code()


@contextmanager
def _noted_signals():
    received = []
    earlier = {number: signal.signal(number, lambda number, frame: received.append(number)) for number in _STOPPING}
    try:
        yield received
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


class _Crew:
    """The running processes of a job.

    Args:
        job: of src.launch.commands.
        received: list of the signals that this process got; it grows.
    """

    def __init__(self, job, received):
        self.job, self.received = job, received
        self.ranks, self.scheduler = [], None
        Path(job.followed).unlink(missing_ok=True)  # what an earlier run left there is not to be shown
        self.follower = Follower(job.followed)
        self.failed = 0  # the first code other than 0
        self.noted = set()  # children whose end is accounted for
        self.passed_on = self.killed = False
        self.deadline = None  # of the ranks that were told to end because one failed

    def start_scheduler(self):
        """Start it and wait until it listens; it may end before."""
        self.scheduler = Child(self.job.scheduler, self.job.unset)
        limit = time.monotonic() + _SCHEDULER_START
        while not is_listening(self.job.port) and not self.received and self.scheduler.code is None and time.monotonic() < limit:
            time.sleep(_TICK)
            self._note(self.scheduler)

    def start_ranks(self):
        """Start all."""
        for process in self.job.ranks:
            self.ranks.append(Child(process, self.job.unset))

    def look(self):
        """Act on what happened since the last look; whether any rank still runs."""
        for child in self.ranks:
            self._note(child)
        if self.scheduler and any(child not in self.noted for child in self.ranks):
            self._note(self.scheduler)
        self.follower.copy()
        if self.received and not self.passed_on:
            self.passed_on = True
            self._send(self.received[0])
            _tell(f"{signal.Signals(self.received[0]).name} is passed on to the ranks, which save and end; a second one kills them\n")
        if len(self.received) > 1 or self.deadline is not None and time.monotonic() > self.deadline:
            self.kill()
        return any(child not in self.noted for child in self.ranks)

    def wait_for_other_hosts(self):
        """Leave the scheduler to the ranks of other hosts until it ends by itself."""
        limit = time.monotonic() + _SCHEDULER_END
        while self.scheduler and self.job.serves_others and not self.failed and not self.received and time.monotonic() < limit:
            if self.scheduler.look() is not None:
                break
            time.sleep(_TICK)

    def kill(self):
        """End at once what is left of all processes and of what they started."""
        self.killed = self.killed or any(child.look() is None for child in self.ranks)
        for child in [*self.ranks, *filter(None, [self.scheduler])]:
            child.kill()
            self.noted.add(child)
        self.follower.copy()

    def code(self):
        """The exit code, once all have ended."""
        silent = self.killed or not self.ranks or any(child.process.signals for child in self.ranks)  # mpirun hides its ranks' codes
        return self.failed or (128 + self.received[0] if self.received and silent else 0)

    def _note(self, child):
        """Take note of an end, once; one that was not asked for ends all."""
        if child in self.noted or child.look() is None:
            return
        self.noted.add(child)
        asked = 128 + self.received[0] if self.received else None
        if child.code == 0 or self.deadline is not None or asked and child is self.scheduler:
            return
        self.failed = self.failed or child.code
        if child.code != asked:
            self.follower.copy()
            self._report(child)
        if asked is None:
            self._send(signal.SIGTERM)
            self.deadline = time.monotonic() + _PATIENCE
        else:  # none ends before rank 0 has saved
            self.deadline = time.monotonic() + _LAST_RANKS

    def _send(self, number):
        for child in self.ranks:
            child.send(number)

    def _report(self, child):
        process = child.process
        ending = f" (signal {child.signal_name})" if child.signal_name else ""
        tail = read_tail(process.log) if process.log != self.job.followed else ""
        _tell(f"{process.name} ended with code {child.code}{ending}; its log: {process.log}\n{tail}")


def _tell(text):
    print(text, end="", file=sys.stderr, flush=True)
