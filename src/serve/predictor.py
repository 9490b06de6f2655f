"""From a request's body to its answer; heavy work is done in threads, away from the event loop."""

import asyncio
import json
import math
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from src.bundle.model import Bundle
from src.serve.batching import Batcher
from src.serve.bodies import parse_json
from src.serve.errors import ClientGone, Refusal
from src.serve.gate import Gate
from src.serve.limits import Limits
from src.serve.metrics import Metrics
from src.serve.schemas import Form
from src.tasks.instances import BadInstance

_LARGE = 64 << 10  # bytes; larger bodies are prepared in another thread, so that small ones need not wait for them


class Predictor:
    """One bundle with its batcher and its threads."""

    def __init__(self, bundle: Bundle, limits: Limits):
        self.bundle = bundle
        self.limits = limits
        self.form = Form(bundle, limits)
        self.metrics = Metrics()
        self.gate = Gate(limits.max_held_bytes)
        self.batcher = Batcher(
            bundle.compute, limits.max_batch_tokens, limits.max_wait_ms / 1000, lambda: self.gate.on_their_way, self.metrics
        )
        queue = self.batcher
        self.metrics.watch(lambda: self.gate.inside, lambda: queue.waiting_rows, lambda: queue.waiting_tokens)
        self._small = ThreadPoolExecutor(2, "prepare")
        self._large = ThreadPoolExecutor(1, "prepare-large")

    def start(self) -> None:
        self.batcher.start()

    def close(self) -> None:
        """End the threads; all requests must have left the gate."""
        self.batcher.close()
        self._small.shutdown()
        self._large.shutdown()

    async def answer(self, body: bytes | bytearray, gone: Callable[[], Coroutine[Any, Any, Any]]) -> bytes:
        """The answer to a body as JSON bytes.

        Args:
            gone: a coroutine function that returns when the client is gone.

        Raises:
            Refusal: 422 bad input, 429 queue full.
            ClientGone: `gone` returned first; waiting rows are dropped.
        """
        thread = self._large if len(body) > _LARGE else self._small
        loop = asyncio.get_running_loop()
        self._check_queue(1)
        with self.gate.preparing():
            work, number, top_k = await loop.run_in_executor(thread, self._prepare, body)
            self._check_queue(len(work.rows))
        outputs = await _unless(gone(), self.batcher.outputs(work.rows))
        answer = await loop.run_in_executor(thread, self._finish, work, outputs, top_k)
        self.metrics.observe_instances(number)
        return answer

    def _prepare(self, body):
        instances, top_k = self.form.check(parse_json(body))
        try:
            work = self.bundle.encode(instances)
        except BadInstance as error:
            raise Refusal(422, str(error)) from None
        if len(work.rows) > self.limits.max_rows:
            raise Refusal(
                422, f"instances: cut into {len(work.rows)} rows, more than {self.limits.max_rows} at once; send fewer or shorter ones"
            )
        return work, len(instances), top_k

    def _check_queue(self, number):
        if self.batcher.waiting_rows + number > self.limits.max_queue:
            seconds = min(60, max(1, math.ceil(self.batcher.expected_wait / 2)))
            raise Refusal(429, f"{self.batcher.waiting_rows} rows are waiting; try again later", {"retry-after": str(seconds)})

    def _finish(self, work, outputs, top_k):
        try:
            predictions = self.bundle.decode(work, outputs, top_k)
        except StopIteration as error:  # a future cannot hold it and would never be done
            raise RuntimeError("decoding stopped") from error
        return json.dumps({"predictions": predictions}, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


async def _unless(gone, work):
    """The result of the coroutine `work`, which is cancelled if `gone` ends first."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(gone)
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGone
    finally:
        leaving.cancel()
        working.cancel()
