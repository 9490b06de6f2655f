"""A body of a request to the body of its answer; heavy work in threads, away from the event loop."""

import asyncio
import json
import math
from concurrent.futures import ThreadPoolExecutor

from src.serve.batching import Batcher
from src.serve.bodies import parse_json
from src.serve.errors import ClientGone, Refusal
from src.serve.gate import Gate
from src.serve.metrics import Metrics
from src.serve.schemas import Form
from src.tasks.instances import BadInstance

_LARGE = 64 << 10  # bytes; bodies above are prepared in a thread of their own, where small ones do not wait for them


class Predictor:
    """One bundle with its batcher and its threads.

    Args:
        bundle: a Bundle.
        limits: Limits.
    """

    def __init__(self, bundle, limits):
        self.bundle = bundle
        self.limits = limits
        self.form = Form(bundle, limits)
        self.metrics = Metrics()
        self.gate = Gate(limits.max_held_bytes)
        self._batcher = Batcher(
            bundle.compute, limits.max_batch_tokens, limits.max_wait_ms / 1000, lambda: self.gate.on_their_way, self.metrics
        )
        self.metrics.watch(self.gate, self._batcher)
        self._small = ThreadPoolExecutor(2, "prepare")
        self._large = ThreadPoolExecutor(1, "prepare-large")

    def start(self):
        self._batcher.start()

    def close(self):
        """End the threads; requests must have left the gate."""
        self._batcher.close()
        self._small.shutdown()
        self._large.shutdown()

    async def answer(self, body, gone):
        """The answer to a body as JSON bytes.

        Args:
            body: bytes-like.
            gone: a coroutine function that returns when the client has gone away.

        Raises:
            Refusal: 422 bad input, 429 queue full.
            ClientGone: `gone` ended first; rows that waited are dropped.
        """
        thread = self._large if len(body) > _LARGE else self._small
        loop = asyncio.get_running_loop()
        self._check_queue(1)
        with self.gate.preparing():
            work, number, top_k = await loop.run_in_executor(thread, self._prepare, body)
            self._check_queue(len(work.rows))
        outputs = await _unless(gone(), self._batcher.outputs(work.rows))
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
        if self._batcher.waiting_rows + number > self.limits.max_queue:
            seconds = min(60, max(1, math.ceil(self._batcher.expected_wait / 2)))
            raise Refusal(429, f"{self._batcher.waiting_rows} rows are waiting; try again later", {"retry-after": str(seconds)})

    def _finish(self, work, outputs, top_k):
        try:
            predictions = self.bundle.decode(work, outputs, top_k)
        except StopIteration as error:  # a future cannot hold it, and would never be done
            raise RuntimeError("decoding stopped") from error
        return json.dumps({"predictions": predictions}, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


async def _unless(gone, work):
    """The result of the coroutine `work`, cancelled when `gone` ends first."""
    work, gone = asyncio.ensure_future(work), asyncio.ensure_future(gone)
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise ClientGone
    finally:
        gone.cancel()
        work.cancel()
