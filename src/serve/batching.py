"""Rows of all waiting requests, gathered into batches of about one length for the one compute thread."""

import asyncio
import collections
import os
import threading
import time
from dataclasses import dataclass, field

from src.log import logger

PADDING = 24  # tokens that cost about as much as one more call (MiniLM, one core: 0.12 ms a token, 2 to 3 ms a call): no batch pads more
_WINDOW = 4  # rows of so many full batches are looked at when one is put together


class ComputeError(Exception):
    """The network failed on the rows of a request; the log has the trace."""


@dataclass(eq=False)
class Job:
    """Rows of one request.

    Args:
        rows: what Bundle.compute takes.
        future: gets the list of outputs, or ComputeError.
        loop: the future's.
    """

    rows: list
    future: asyncio.Future
    loop: asyncio.AbstractEventLoop
    since: float = field(default_factory=time.monotonic)

    def __post_init__(self):
        self.lengths = [len(row.input_ids) for row in self.rows]
        self.waiting = sorted(range(len(self.rows)), key=self.lengths.__getitem__)  # places of rows, the longest last: it goes first
        self.outputs = [None] * len(self.rows)
        self.missing = len(self.rows)


class Batcher:
    """A thread that computes; requests take turns to lead a batch, others of about the same length join it.

    Args:
        compute: rows to outputs, as Bundle.compute.
        max_batch_tokens: rows times the longest of them.
        max_wait: seconds that a batch waits for rows on their way.
        on_their_way: gives the number of requests that may still bring rows soon; without any, nothing waits.
        metrics: told of every batch.
    """

    def __init__(self, compute, max_batch_tokens, max_wait, on_their_way, metrics):
        self._compute = compute
        self._max_batch_tokens = max_batch_tokens
        self._max_wait = max_wait
        self._on_their_way = on_their_way
        self._metrics = metrics
        self._jobs = collections.deque()  # those with waiting rows; the first leads the next batch
        self._changed = threading.Condition()
        self._closed = False
        self._seconds_per_token = 0.0
        self.waiting_rows = 0
        self.waiting_tokens = 0
        self._thread = threading.Thread(target=self._run, name="compute", daemon=True)

    def start(self):
        self._thread.start()

    def close(self):
        """Compute what waits, then end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    @property
    def expected_wait(self):
        """Seconds until a row that came now would be computed."""
        return self.waiting_tokens * self._seconds_per_token

    async def outputs(self, rows):
        """Outputs of rows, in their order; cancelling drops the rows that still wait.

        Raises:
            ComputeError: the network failed on these rows.
        """
        if not rows:
            return []
        loop = asyncio.get_running_loop()
        job = Job(rows, loop.create_future(), loop)
        with self._changed:
            self._jobs.append(job)
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
            if job in self._jobs:
                self._jobs.remove(job)

    def _count(self, job, sign):
        self.waiting_rows += sign * len(job.waiting)
        self.waiting_tokens += sign * sum(job.lengths[place] for place in job.waiting)

    def _run(self):
        try:
            self._loop()
        except Exception:  # a server that cannot compute any more must not look well
            logger.exception("the compute thread failed; the server ends")
            os._exit(1)

    def _loop(self):
        while True:
            with self._changed:
                while (patience := self._patience()) > 0:
                    self._changed.wait(None if patience == float("inf") else patience)
                if not self._jobs:
                    return
                batch = self._take()
            self._serve(batch)
            del batch  # or its texts stay until the next request comes

    def _patience(self):
        """Seconds that the thread may still wait for more rows."""
        if not self._jobs:
            return 0 if self._closed else float("inf")
        if self._closed or self.waiting_tokens >= self._max_batch_tokens or not self._on_their_way():
            return 0
        return min(job.since for job in self._jobs) + self._max_wait - time.monotonic()

    def _take(self):
        """The next batch, [(job, place)]: the first request's longest row, and rows of all requests near it in length."""
        leader = self._jobs[0]
        first = (leader, leader.waiting[-1])
        window = sorted(self._window(), key=lambda row: -row[0].lengths[row[1]])
        batch = []
        for part in _parts(window, self._max_batch_tokens):
            batch = part
            if first in part:
                break
        chosen = collections.defaultdict(set)
        for job, place in batch:
            chosen[job].add(place)
            self.waiting_tokens -= job.lengths[place]
        self.waiting_rows -= len(batch)
        for job, places in chosen.items():
            job.waiting = [place for place in job.waiting if place not in places]
        self._jobs.rotate(-1)
        if any(not job.waiting for job in chosen):
            self._jobs = collections.deque(job for job in self._jobs if job.waiting)
        return batch

    def _window(self):
        """Rows to choose from: one of each request in turn, so that a large request leaves room for small ones."""
        window, tokens, depth, jobs = [], 0, 0, list(self._jobs)
        while jobs:
            for job in jobs:
                place = job.waiting[-1 - depth]
                window.append((job, place))
                tokens += job.lengths[place]
                if tokens >= _WINDOW * self._max_batch_tokens:
                    return window
            depth += 1
            jobs = [job for job in jobs if len(job.waiting) > depth]
        return window

    def _serve(self, batch):
        """Compute a batch; when it fails, each request's rows by themselves, so that a bad one fails alone."""
        started = time.perf_counter()
        try:
            outputs = self._compute([job.rows[place] for job, place in batch])
            assert len(outputs) == len(batch), f"{len(outputs)} outputs for {len(batch)} rows"
        except Exception:  # whatever a backend raises must not end the thread
            by_job = collections.defaultdict(list)
            for job, place in batch:
                by_job[job].append((job, place))
            if len(by_job) > 1:
                for part in by_job.values():
                    self._serve(part)
                return
            logger.exception("computing %s rows failed", len(batch))
            _resolve([(batch[0][0], None)])
            return
        self._measure(batch, time.perf_counter() - started)
        finished = []
        for (job, place), output in zip(batch, outputs):
            job.outputs[place] = output
            job.missing -= 1
            if not job.missing:
                finished.append((job, job.outputs))
        _resolve(finished)

    def _measure(self, batch, seconds):
        lengths = [job.lengths[place] for job, place in batch]
        padded = len(batch) * max(lengths)
        self._metrics.observe_batch(len(batch), sum(lengths), padded, seconds)
        rate = seconds / sum(lengths)
        self._seconds_per_token += (rate - self._seconds_per_token) * (0.1 if self._seconds_per_token else 1)


def _parts(window, max_batch_tokens):
    """Cut rows, the longest first, into batches where padding costs more than a call or the batch is full."""
    part, longest, padding = [], 0, 0
    for job, place in window:
        length = job.lengths[place]
        if part and (padding + longest - length > PADDING or (len(part) + 1) * longest > max_batch_tokens):
            yield part
            part = []
        if not part:
            longest, padding = length, 0
        part.append((job, place))
        padding += longest - length
    if part:
        yield part


def _resolve(finished):
    """Hand results to their event loops, with one wake-up for all of a loop."""
    by_loop = collections.defaultdict(list)
    for job, outputs in finished:
        by_loop[job.loop].append((job.future, outputs))
    for loop, results in by_loop.items():
        loop.call_soon_threadsafe(_set_results, results)


def _set_results(results):
    for future, outputs in results:
        if future.done():
            continue  # its client has gone
        if outputs is None:
            future.set_exception(ComputeError("the network failed"))
        else:
            future.set_result(outputs)
