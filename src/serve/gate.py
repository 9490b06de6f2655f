"""Counts the requests that were accepted and are not answered yet. Only the event loop uses it."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from src.serve import limits
from src.serve.errors import Refusal

T = TypeVar("T")


class Gate:
    """Counts requests and their bytes; closed for good when the server drains.

    Args:
        max_held_bytes: limit for the bodies of all requests inside.

    Attributes:
        inside: number of requests inside.
        on_their_way: number of those whose rows the compute thread has not seen; that thread reads it too.
        draining: whether new requests are refused.
        held_bytes: size of all bodies inside.
    """

    def __init__(self, max_held_bytes: int):
        self.inside = 0
        self.on_their_way = 0
        self.draining = False
        self.held_bytes = 0
        self._max_held_bytes = max_held_bytes
        self._empty = asyncio.Event()
        self._readings: set[asyncio.Future] = set()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Count a request as inside during the block.

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

    async def read(self, reading: Coroutine[Any, Any, T], seconds: float) -> T:
        """The result of the coroutine `reading`, with a time limit that becomes short once the server drains.

        Raises:
            asyncio.TimeoutError: it took longer than `seconds`.
            Refusal: 503, it was not done soon after the server began to drain.
        """
        task = asyncio.ensure_future(reading)
        self._readings.add(task)
        try:
            return await asyncio.wait_for(task, seconds)
        except asyncio.CancelledError:
            raise _stopping() from None
        finally:
            self._readings.discard(task)

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Count a request's rows as on their way to the compute thread during the block."""
        self.on_their_way += 1
        try:
            yield
        finally:
            self.on_their_way -= 1

    @contextmanager
    def holding(self) -> Iterator[Callable[[int], None]]:
        """Yield `hold(n)`, which counts n more bytes; the end of the block releases them all."""
        held = 0

        def hold(number: int) -> None:
            nonlocal held
            if self.held_bytes + number > self._max_held_bytes:
                raise Refusal(429, "too many large requests at once; try again later", {"retry-after": "1"})
            self.held_bytes += number
            held += number

        try:
            yield hold
        finally:
            self.held_bytes -= held

    def drain(self) -> None:
        """Refuse new requests; bodies still arriving get a little more time."""
        self.draining = True
        self._notice()
        asyncio.get_running_loop().call_later(limits.LAST_BODY_SECONDS, self._end_readings)

    async def empty(self) -> None:
        """Return once the gate drains and the last request inside is answered."""
        await self._empty.wait()

    def _end_readings(self):
        for reading in self._readings:
            reading.cancel()

    def _notice(self):
        if self.draining and not self.inside:
            self._empty.set()


def _stopping():
    return Refusal(503, "the server is stopping; send this to another one", {"connection": "close"})
