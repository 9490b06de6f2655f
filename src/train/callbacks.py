"""What happens beside the training steps and their log: the end of a hopeless training, checkpoints, evaluations, signals."""

import signal
import time
from collections.abc import Callable, Sequence

from mindspore.train import Callback, RunContext

from src.log import shorten
from src.train.step import TrainStep
from src.train.step_log import StepLog


class OverflowGuard:
    """Ends a training whose updates overflow again and again, and says where.

    Args:
        step: TrainStep.
        names: of its optimiser's parameters.
        limit: updates skipped in a row.
    """

    def __init__(self, step: TrainStep, names: Sequence[str], limit: int):
        self.step, self.names, self.limit = step, names, limit
        self.seen, self.in_a_row = int(step.skipped.asnumpy()), 0  # a resumed training has skipped some before

    def check(self, updates: int, skipped: int, scale: float) -> None:
        """Take note of the next call of the step: how many updates it made or skipped, all that were skipped so far, the loss scale."""
        new, self.seen = skipped - self.seen, skipped
        self.in_a_row = self.in_a_row + new if new == updates else 0
        if self.in_a_row >= self.limit:
            raise FloatingPointError(f"{self.in_a_row} updates in a row overflowed, the loss scale is {scale:g}; {self._find()}")

    def _find(self):
        if self.step.status is not None:
            return "which parameters cannot be told: this chip makes its largest number of what overflows"
        return f"not finite last: {shorten([name for name, bad in zip(self.names, self.step.overflowed.asnumpy()) if bad], 8)}"


class Saver(Callback):
    """Calls `save(micro-batches done)` every `every` micro-batches and at the end of training; `save` may be None.

    It waits for the end of an update: of one that is half accumulated each rank holds a part of its own.

    Args:
        log: StepLog, which has then seen all losses up to this step.
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
    """Calls `evaluate()` every `every` micro-batches and at the end of training; log: StepLog."""

    def __init__(self, log: StepLog, every: int, evaluate: Callable[[], None]):
        super().__init__()
        self.log, self.done, self.every, self.evaluate = log, log.done, every, evaluate

    def on_train_step_end(self, run_context: RunContext) -> None:
        if self.done.passed(self.every) or self.done.batches == len(self.done.plan):
            self.log.fetch()
            self.evaluate()


class StopOnSignal(Callback):
    """On SIGINT or SIGTERM: finish the update, save, and end the training. Must stand behind Saver in the list.

    `agreed` is the signal afterwards, None if there was none.

    Args:
        saver: Saver.
        largest: (int) -> the largest of all ranks, none of which goes on before all have asked: ranks end after the same step.
        seconds: about how long the ranks train before they ask again, as that waits for the device; 0: until the next update.
    """

    def __init__(self, saver: Saver, largest: Callable[[int], int], seconds: float = 0.0):
        super().__init__()
        self.saver, self.largest, self.seconds = saver, largest, seconds
        self.received, self.agreed, self.before = 0, None, {}
        self.updates, self.every, self.asked_at = 0, 1, 0.0

    def on_train_begin(self, run_context: RunContext) -> None:
        self.before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}

    def _note(self, number, frame):
        self.received = self.received or number

    def on_train_step_end(self, run_context: RunContext) -> None:
        self.updates += self.saver.done.at_update
        if not self.saver.done.at_update or self.updates < self.every:
            return
        number, now = self.largest(self.received), time.perf_counter()
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
