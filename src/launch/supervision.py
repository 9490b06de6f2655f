"""Running the processes of a job: one log is shown, signals are passed on, and all ranks are ended when one fails."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from src.launch.children import Child
from src.launch.commands import Job
from src.launch.follower import Follower, read_tail
from src.launch.ports import is_listening

_STOPPING = (signal.SIGINT, signal.SIGTERM)
# seconds
_TICK = 0.1
PATIENCE = 10  # from SIGTERM to SIGKILL after one rank has failed: the others may hang in a framework call
_LAST_RANKS = 60  # from the end of the first rank that was asked to end, for the others
_SCHEDULER_START = 60
_SCHEDULER_END = 60  # from the end of this host's ranks, for those of other hosts


def run(job: Job) -> int:
    """Run all processes of a job to their end.

    The first SIGINT or SIGTERM is passed on to the ranks, which save and end in their own time; a second one kills them.

    Returns:
        0, or the first other code of a rank: 128 + number if a signal ended it.

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
def _noted_signals() -> Iterator[list[int]]:
    received: list[int] = []
    earlier = {number: signal.signal(number, lambda number, frame: received.append(number)) for number in _STOPPING}
    try:
        yield received
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


class _Crew:
    """The running processes of a job."""

    def __init__(self, job: Job, received: list[int]):
        self.job = job
        self.received = received  # signals that this process got; the list grows
        self.ranks: list[Child] = []
        self.scheduler: Child | None = None
        Path(job.followed).unlink(missing_ok=True)  # an earlier run's log must not be shown
        self.follower = Follower(job.followed)
        self.failed = 0  # the first code other than 0
        self.noted: set[Child] = set()  # children whose end is accounted for
        self.passed_on = False
        self.killed = False
        self.deadline: float | None = None  # for ranks that were told to end because one failed

    def start_scheduler(self) -> None:
        """Start the scheduler and wait until it listens, or ends."""
        assert self.job.scheduler is not None and self.job.port is not None
        self.scheduler = Child(self.job.scheduler, self.job.unset)
        limit = time.monotonic() + _SCHEDULER_START
        while not is_listening(self.job.port) and not self.received and self.scheduler.code is None and time.monotonic() < limit:
            time.sleep(_TICK)
            self._note(self.scheduler)

    def start_ranks(self) -> None:
        """Start all ranks."""
        for process in self.job.ranks:
            self.ranks.append(Child(process, self.job.unset))

    def look(self) -> bool:
        """React to what happened since the last call; returns whether any rank still runs."""
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

    def wait_for_other_hosts(self) -> None:
        """Keep the scheduler running for the ranks of other hosts until it ends by itself."""
        limit = time.monotonic() + _SCHEDULER_END
        while self.scheduler and self.job.serves_others and not self.failed and not self.received and time.monotonic() < limit:
            if self.scheduler.look() is not None:
                break
            time.sleep(_TICK)

    def kill(self) -> None:
        """Kill all processes and everything they started, as far as they still run."""
        self.killed = self.killed or any(child.look() is None for child in self.ranks)
        for child in [*self.ranks, *filter(None, [self.scheduler])]:
            child.kill()
            self.noted.add(child)
        self.follower.copy()

    def code(self) -> int:
        """The exit code, once all processes have ended."""
        silent = self.killed or not self.ranks or any(child.process.signals for child in self.ranks)  # mpirun hides its ranks' codes
        return self.failed or (128 + self.received[0] if self.received and silent else 0)

    def _note(self, child: Child) -> None:
        """Account for the end of a child, once; a failure ends all ranks."""
        code = child.look()
        if child in self.noted or code is None:
            return
        self.noted.add(child)
        asked = 128 + self.received[0] if self.received else None
        if code == 0 or self.deadline is not None or asked and child is self.scheduler:
            return
        self.failed = self.failed or code
        if code != asked:
            self.follower.copy()
            self._report(child)
        if asked is None:
            self._send(signal.SIGTERM)
            self.deadline = time.monotonic() + PATIENCE
        else:  # no rank ends before rank 0 has saved
            self.deadline = time.monotonic() + _LAST_RANKS

    def _send(self, number: int) -> None:
        for child in self.ranks:
            child.send(number)

    def _report(self, child: Child) -> None:
        process = child.process
        ending = f" (signal {child.signal_name})" if child.signal_name else ""
        tail = read_tail(process.log) if process.log != self.job.followed else ""
        _tell(f"{process.name} ended with code {child.code}{ending}; its log: {process.log}\n{tail}")


def _tell(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)
