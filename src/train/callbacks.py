"""Callbacks of a training besides its log: checkpoints, evaluations, signals, and an end to repeated overflow."""

import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

from mindspore.train import Callback, RunContext

from src.log import shorten
from src.train.step import TrainStep
from src.train.step_log import StepLog


class OverflowGuard:
    """Ends a training whose updates overflow again and again, and names the parameters.

    Args:
        names: the names of the optimiser's parameters.
        limit: number of updates skipped in a row that ends the training.
    """

    def __init__(self, step: TrainStep, names: Sequence[str], limit: int):
        self.step, self.names, self.limit = step, names, limit
        self.seen = int(step.skipped.asnumpy())  # a resumed training may have skipped updates before
        self.in_a_row = 0

    def check(self, updates: int, skipped: int, scale: float) -> None:
        """Take note of the next call of the step.

        Args:
            updates: number of updates it made or skipped.
            skipped: updates skipped since the training began.
            scale: the loss scale.

        Raises:
            FloatingPointError: `limit` updates in a row were skipped.
        """
        new = skipped - self.seen
        self.seen = skipped
        self.in_a_row = self.in_a_row + new if new == updates else 0
        if self.in_a_row >= self.limit:
            raise FloatingPointError(f"{self.in_a_row} updates in a row overflowed, the loss scale is {scale:g}; {self._find()}")

    def _find(self):
        if self.step.status is not None:
            return "which parameters cannot be told: this chip makes its largest number of what overflows"
        return f"not finite last: {shorten([name for name, bad in zip(self.names, self.step.overflowed.asnumpy()) if bad], 8)}"


class Saver(Callback):
    """Calls `save(micro-batches done)` every `every` micro-batches and at the end of training; `save` may be None.

    It waits for the end of an update: before it, each rank holds its own part of the accumulated gradients.

    Args:
        log: it reads all losses up to this step before a checkpoint is written.
    """

    def __init__(self, log: StepLog, every: int, save: Callable[[int], None] | None):
        super().__init__()
        self.log, self.done, self.every, self._save = log, log.done, every, save
        self.is_due = False

    def save(self) -> None:
        self.log.fetch()
        if self._save:
            self._save(self.done.batches)

    def on_train_step_end(self, run_context: RunContext) -> None:
        self.is_due = self.is_due or self.done.passed(self.every) or self.done.batches == len(self.done.plan)
        if self.is_due and self.done.at_update:
            self.save()
            self.is_due = False


class Evaluator(Callback):
    """Calls `evaluate()` every `every` micro-batches and at the end of training."""

    def __init__(self, log: StepLog, every: int, evaluate: Callable[[], None]):
        super().__init__()
        self.log, self.done, self.every, self.evaluate = log, log.done, every, evaluate

    def on_train_step_end(self, run_context: RunContext) -> None:
        if self.done.passed(self.every) or self.done.batches == len(self.done.plan):
            self.log.fetch()
            self.evaluate()


class StopOnSignal(Callback):
    """On SIGINT or SIGTERM, finishes the update, saves, and ends the training. Must come after Saver in the list.

    `agreed` is the signal afterwards, None if there was none.

    Args:
        largest: returns the largest of the numbers of all ranks. None goes on before all have asked, so all end after the same step.
        seconds: about how long ranks train before they ask each other again, which waits for the device; 0 asks after every update.
    """

    def __init__(self, saver: Saver, largest: Callable[[int], int], seconds: float = 0.0):
        super().__init__()
        self.saver, self.largest, self.seconds = saver, largest, seconds
        self.received = 0
        self.agreed: signal.Signals | None = None
        self.before: dict[int, Any] = {}
        self.updates, self.every, self.asked_at = 0, 1, 0.0

    def on_train_begin(self, run_context: RunContext) -> None:
        self.before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}

    def _note(self, number, frame):
        self.received = self.received or number

    def on_train_step_end(self, run_context: RunContext) -> None:
        self.updates += self.saver.done.at_update
        if not self.saver.done.at_update or self.updates < self.every:
            return
        number = self.largest(self.received)
        now = time.perf_counter()
        if number:
            self.agreed = signal.Signals(number)
            self.saver.save()
            self.largest(number)  # all wait until the checkpoint is written: mpirun ends the others soon after the first
            run_context.request_stop()
        elif self.seconds:
            self.every = self.largest(max(1, int(self.updates * self.seconds / (now - self.asked_at))))
        self.updates, self.asked_at = 0, now

    def on_train_end(self, run_context: RunContext) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
