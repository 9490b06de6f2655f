"""Who is inside: requests that were accepted and are not answered yet. Seen by the event loop alone."""

import asyncio
from contextlib import contextmanager

from src.serve import limits
from src.serve.errors import Refusal


class Gate:
    """Counts requests and their bytes; closed for good when the server drains.

    Args:
        max_held_bytes: of the bodies of all requests inside.
    """

    def __init__(self, max_held_bytes):
        self.inside = 0
        self.on_their_way = 0  # inside, with rows that the compute thread has not seen; read by that thread too
        self.draining = False
        self.held_bytes = 0
        self._max_held_bytes = max_held_bytes
        self._empty = asyncio.Event()
        self._readings = set()

    @contextmanager
    def entered(self):
        """A request is inside for the length of the block.

        Raises:
            Refusal: 503, the server is draining.
        """
        if self.draining:
            raise _stopping()
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1
            self._notice()

    async def read(self, reading, seconds):
        """The result of the coroutine `reading`, within so many seconds; within few once the server drains.

        Raises:
            asyncio.TimeoutError: it took longer. Refusal: 503, it was not done soon after the server began to drain.
        """
        reading = asyncio.ensure_future(reading)
        self._readings.add(reading)
        try:
            return await asyncio.wait_for(reading, seconds)
        except asyncio.CancelledError:
            raise _stopping() from None
        finally:
            self._readings.discard(reading)

    @contextmanager
    def preparing(self):
        """Rows of a request are on their way to the compute thread for the length of the block."""
        self.on_their_way += 1
        try:
            yield
        finally:
            self.on_their_way -= 1

    @contextmanager
    def holding(self):
        """Yield `hold(n)`, which counts n more bytes; all are given back at the end of the block."""
        held = 0

        def hold(number):
            nonlocal held
            if self.held_bytes + number > self._max_held_bytes:
                raise Refusal(429, "too many large requests at once; try again later", {"retry-after": "1"})
            self.held_bytes += number
            held += number

        try:
            yield hold
        finally:
            self.held_bytes -= held

    def drain(self):
        """Let nobody in any more; bodies that are on their way have a little time left."""
        self.draining = True
        self._notice()
        asyncio.get_running_loop().call_later(limits.LAST_BODY_SECONDS, self._end_readings)

    async def empty(self):
        """Return when the gate drains and the last request inside has its answer."""
        await self._empty.wait()

    def _end_readings(self):
        for reading in self._readings:
            reading.cancel()

    def _notice(self):
        if self.draining and not self.inside:
            self._empty.set()


def _stopping():
    return Refusal(503, "the server is stopping; send this to another one", {"connection": "close"})
