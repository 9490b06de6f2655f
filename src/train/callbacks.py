"""Callbacks of a training besides its log: checkpoints, evaluations, and signals."""

import signal
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from mindspore.train import Callback, RunContext

from src.train.step_log import StepLog


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
    """Calls `evaluate()` every `every` micro-batches, at the end of an update, and at the end of training, which it ends if that is true.

    Must come before Saver in the list, so that a checkpoint's step has been evaluated if it is to be.

    Args:
        every: may be a fraction.
    """

    def __init__(self, log: StepLog, every: int | Fraction, evaluate: Callable[[], bool]):
        super().__init__()
        self.log, self.done, self.every, self.evaluate = log, log.done, every, evaluate
        self.is_due = False

    def on_train_step_end(self, run_context: RunContext) -> None:
        self.is_due = self.is_due or self.done.passed(self.every) or self.done.batches == len(self.done.plan)
        if self.is_due and self.done.at_update:
            self.is_due = False
            self.log.fetch()
            if self.evaluate():
                run_context.request_stop()


class StopOnSignal(Callback):
    """On SIGINT or SIGTERM, finishes the update, saves, and ends the training. Must come after Saver in the list.

    `agreed` is the signal afterwards, None if there was none.

    Args:
        largest: returns the largest of the numbers of all ranks. No rank continues before all have asked, so all end after the same step.
        seconds: about how long ranks train before they ask each other again, which waits for the device; 0 asks after every update.
    """

    def __init__(self, saver: Saver, largest: Callable[[int], int], seconds: float = 0.0):
        super().__init__()
        self.saver, self.largest, self.seconds = saver, largest, seconds
        self.received = 0
        self.agreed: signal.Signals | None = None
        self.before: dict[int, Any] = {}
        self.updates = 0
        self.every = 1
        self.asked_at = 0.0

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
