"""Gathers the rows of all waiting requests into batches of similar length for the one compute thread."""

import asyncio
import collections
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from src.log import logger
from src.serve.metrics import Metrics

# padding tokens allowed in a batch: they cost about as much as one more call (MiniLM, one core: 0.12 ms per token, 2 to 3 ms per call)
PADDING = 24
_WINDOW = 4  # number of full batches whose rows are considered when a batch is put together


class ComputeError(Exception):
    """The network failed on a request's rows; the log has the traceback."""


@dataclass(eq=False)
class Job:
    """The rows of one request.

    Attributes:
        rows: the input of Bundle.compute.
        future: receives the list of outputs, or ComputeError.
        loop: the future's event loop.
        waiting: indices of the rows not yet in a batch, by ascending length; the last is taken first.
        missing: number of rows without an output.
    """

    rows: list[Any]
    future: asyncio.Future
    loop: asyncio.AbstractEventLoop
    since: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.lengths = [len(row.input_ids) for row in self.rows]
        self.waiting = sorted(range(len(self.rows)), key=self.lengths.__getitem__)
        self.outputs: list[Any] = [None] * len(self.rows)
        self.missing = len(self.rows)


Batch = list[tuple[Job, int]]  # (job, index of one of its rows)


class Batcher:
    """A compute thread; requests take turns to lead a batch, and others of similar length join it.

    Args:
        compute: turns rows into outputs, like Bundle.compute.
        max_batch_tokens: limit on the number of rows times the longest row's length.
        max_wait: seconds that a batch waits for more rows.
        on_their_way: returns the number of requests that will soon bring rows; if 0, no batch waits.
        metrics: informed of every batch.

    Attributes:
        jobs: the jobs with waiting rows; the first leads the next batch.
    """

    def __init__(
        self,
        compute: Callable[[list[Any]], list[Any]],
        max_batch_tokens: int,
        max_wait: float,
        on_their_way: Callable[[], int],
        metrics: Metrics,
    ):
        self._compute = compute
        self._max_batch_tokens = max_batch_tokens
        self._max_wait = max_wait
        self._on_their_way = on_their_way
        self._metrics = metrics
        self.jobs: collections.deque[Job] = collections.deque()
        self._changed = threading.Condition()
        self._closed = False
        self._seconds_per_token = 0.0
        self.waiting_rows = 0
        self.waiting_tokens = 0
        self._thread = threading.Thread(target=self._run, name="compute", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Compute the waiting rows, then end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    @property
    def expected_wait(self) -> float:
        """Seconds until a row that arrived now would be computed."""
        return self.waiting_tokens * self._seconds_per_token

    async def outputs(self, rows: list[Any]) -> list[Any]:
        """The outputs of rows, in their order; cancelling drops the rows still waiting.

        Raises:
            ComputeError: the network failed on these rows.
        """
        if not rows:
            return []
        loop = asyncio.get_running_loop()
        job = Job(rows, loop.create_future(), loop)
        with self._changed:
            self.jobs.append(job)
            self._count(job, 1)
            self._changed.notify()
        try:
            return await job.future
        finally:
            if job.missing:
                self._drop(job)

    def _drop(self, job):
        with self._changed:
            self._count(job, -1)
            job.waiting.clear()
            if job in self.jobs:
                self.jobs.remove(job)

    def _count(self, job, sign):
        self.waiting_rows += sign * len(job.waiting)
        self.waiting_tokens += sign * sum(job.lengths[index] for index in job.waiting)

    def _run(self):
        try:
            self._loop()
        except Exception:  # a server that can no longer compute must not look healthy
            logger.exception("the compute thread failed; the server ends")
            os._exit(1)

    def _loop(self):
        while True:
            with self._changed:
                while (patience := self._patience()) > 0:
                    self._changed.wait(None if patience == float("inf") else patience)
                if not self.jobs:
                    return
                batch = self._take()
            self._serve(batch)
            del batch  # otherwise its texts stay in memory until the next request

    def _patience(self):
        """Seconds that the thread may still wait for more rows."""
        if not self.jobs:
            return 0 if self._closed else float("inf")
        if self._closed or self.waiting_tokens >= self._max_batch_tokens or not self._on_their_way():
            return 0
        return min(job.since for job in self.jobs) + self._max_wait - time.monotonic()

    def _take(self):
        """The next batch: the first request's longest row, and rows of all requests close to it in length."""
        leader = self.jobs[0]
        first = (leader, leader.waiting[-1])
        window = sorted(self._window(), key=lambda row: -row[0].lengths[row[1]])
        batch = []
        for part in split_window(window, self._max_batch_tokens):
            batch = part
            if first in part:
                break
        chosen = collections.defaultdict(set)
        for job, index in batch:
            chosen[job].add(index)
            self.waiting_tokens -= job.lengths[index]
        self.waiting_rows -= len(batch)
        for job, indices in chosen.items():
            job.waiting = [index for index in job.waiting if index not in indices]
        self.jobs.rotate(-1)
        if any(not job.waiting for job in chosen):
            self.jobs = collections.deque(job for job in self.jobs if job.waiting)
        return batch

    def _window(self):
        """The rows to choose from: one of each request in turn, so that a large request leaves room for small ones."""
        window = []
        tokens = depth = 0
        jobs = list(self.jobs)
        while jobs:
            for job in jobs:
                index = job.waiting[-1 - depth]
                window.append((job, index))
                tokens += job.lengths[index]
                if tokens >= _WINDOW * self._max_batch_tokens:
                    return window
            depth += 1
            jobs = [job for job in jobs if len(job.waiting) > depth]
        return window

    def _serve(self, batch):
        """Compute a batch; if that fails, compute each request's rows separately, so that only the bad request fails."""
        started = time.perf_counter()
        try:
            outputs = self._compute([job.rows[index] for job, index in batch])
            assert len(outputs) == len(batch), f"{len(outputs)} outputs for {len(batch)} rows"
        except Exception:  # the thread must survive every error of a backend
            by_job = collections.defaultdict(list)
            for job, index in batch:
                by_job[job].append((job, index))
            if len(by_job) > 1:
                for part in by_job.values():
                    self._serve(part)
                return
            logger.exception("computing %s rows failed", len(batch))
            _resolve([(batch[0][0], None)])
            return
        self._measure(batch, time.perf_counter() - started)
        finished = []
        for (job, index), output in zip(batch, outputs):
            job.outputs[index] = output
            job.missing -= 1
            if not job.missing:
                finished.append((job, job.outputs))
        _resolve(finished)

    def _measure(self, batch, seconds):
        lengths = [job.lengths[index] for job, index in batch]
        padded = len(batch) * max(lengths)
        self._metrics.observe_batch(len(batch), sum(lengths), padded, seconds)
        rate = seconds / sum(lengths)
        self._seconds_per_token += (rate - self._seconds_per_token) * (0.1 if self._seconds_per_token else 1)


def split_window(window: Batch, max_batch_tokens: int) -> Iterator[Batch]:
    """Rows, the longest first, cut into batches wherever padding would cost more than a call or the batch is full."""
    part: Batch = []
    longest = padding = 0
    for job, index in window:
        length = job.lengths[index]
        if part and (padding + longest - length > PADDING or (len(part) + 1) * longest > max_batch_tokens):
            yield part
            part = []
        if not part:
            longest = length
            padding = 0
        part.append((job, index))
        padding += longest - length
    if part:
        yield part


def _resolve(finished):
    """Hand results to their event loops, waking each loop once."""
    by_loop = collections.defaultdict(list)
    for job, outputs in finished:
        by_loop[job.loop].append((job.future, outputs))
    for loop, results in by_loop.items():
        loop.call_soon_threadsafe(_set_results, results)


def _set_results(results):
    for future, outputs in results:
        if future.done():
            continue  # the client is gone
        if outputs is None:
            future.set_exception(ComputeError("the network failed"))
        else:
            future.set_result(outputs)
