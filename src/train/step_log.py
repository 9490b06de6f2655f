"""Step lines: the progress of a training, its losses, its rates and the time left.

The device works while the host prepares the next steps; reading a number from the device waits for it. Only `StepLog.fetch` reads,
when a number is needed: for a line, before a checkpoint or an evaluation, and at least every `_LATEST` updates, so that a training
that has diverged soon ends.
"""

import math
import time
from collections.abc import Sequence
from datetime import timedelta
from fractions import Fraction
from typing import Any

import numpy as np
from mindspore.train import Callback, RunContext

from src.config.trainable import Stage
from src.log import RunLog, format_fields, logger, progress, start_up
from src.records.plan import TrainingPlan
from src.train.cost import Cost
from src.train.overflow_guard import OverflowGuard
from src.train.step_lines import FORMS, StepNumbers

_LATEST = 20  # updates until a loss that is not finite, or repeated overflow, is noticed


class Throughput:
    """Rows, tokens and FLOPs per second.

    These do not count: the first step of each length, which includes its compilation; batches with filler rows; the first `skip` steps.

    Args:
        seen: lengths that have been compiled before; the new ones are added to it.
    """

    def __init__(self, seen: set[int] | None = None, skip: int = 0):
        self.seen = set() if seen is None else seen  # lengths
        self.compile_seconds = 0.0
        self.left_out = skip
        self.rows = self.tokens = 0
        self.flops = self.seconds = 0.0
        self.slowest, self.fastest = math.inf, 0.0  # rows per second between two calls of `add`

    def leaves_out(self, length: int, is_whole: bool) -> bool:
        """Whether the next step will not count; it must then be added by itself."""
        return length not in self.seen or self.left_out > 0 or not is_whole

    def add(self, length: int, rows: int, tokens: int, seconds: float, is_whole: bool = True, flops: float = 0.0) -> bool:
        """Add a step, or several that all count, with or without (is_whole) filler rows; returns whether it is the first of its length."""
        first = length not in self.seen
        if first:
            self.seen.add(length)
            self.compile_seconds += seconds
        elif self.left_out <= 0 and is_whole:
            self.rows, self.tokens, self.seconds = self.rows + rows, self.tokens + tokens, self.seconds + seconds
            self.flops += flops
            self.slowest, self.fastest = min(self.slowest, rows / seconds), max(self.fastest, rows / seconds)
        self.left_out -= 1
        return first

    @property
    def rows_per_s(self) -> float:
        """Rows per second; 0 if no step counts."""
        return self.rows / self.seconds if self.seconds else 0.0

    @property
    def counts(self) -> np.ndarray:
        """Rows, tokens, FLOPs and seconds: float64 [4]."""
        return np.array([self.rows, self.tokens, self.flops, self.seconds], np.float64)


class Progress:
    """The progress of a training: its plan, micro-batches done, and micro-batches per call of the device.

    Args:
        stage: the stage of the recipe that the plan is of; None without stages.
        later: the stages after it, as the number of this one's micro-batches that take as long.
    """

    def __init__(self, plan: TrainingPlan, first_batch: int, per_call: int = 1, stage: Stage | None = None, later: float = 0.0):
        self.plan, self.first_batch, self.per_call, self.stage, self.later = plan, first_batch, per_call, stage, later
        self.first_update, self.updates = (stage.first_update, stage.updates) if stage else (0, plan.updates)
        self.batches = first_batch

    @property
    def step(self) -> int:
        """Number of updates done, those of the stages before included."""
        return self.first_update + self.batches // self.plan.accumulation_steps

    @property
    def epoch(self) -> float:
        """Passes over the rows done, with their fraction."""
        return self.batches / self.plan.batches_per_epoch

    @property
    def at_update(self) -> bool:
        """Whether the last micro-batch ended an update."""
        return self.batches % self.plan.accumulation_steps == 0

    def passed(self, every: int | Fraction) -> bool:
        """Whether the last call reached or passed a multiple of `every` micro-batches."""
        return self.batches // every > (self.batches - self.per_call) // every


def _count_rows(batches):
    return sum(len(batch.row_ids) for batch in batches)


def _count_real(batches):
    return sum(batch.num_real for batch in batches)


class StepLog(Callback):
    """Counts the micro-batches; writes step lines, records in log.jsonl, and a progress bar on a terminal.

    Must come first in the list. The first step of each length contains its compilation, which is logged and excluded from the rates.

    Args:
        row_lengths: int [rows], for the counts of tokens and padding.
        every: updates between lines.
        part_names: names of the parts of the loss, in the order in which the step returns them.
        skip: first updates excluded from the rates.
        form: of the lines, one of step_lines.FORMS.
        cost: for the FLOPs; None if they are not told.
    """

    def __init__(
        self,
        done: Progress,
        row_lengths: np.ndarray,
        every: int,
        run_log: RunLog,
        part_names: Sequence[str] = (),
        skip: int = 0,
        guard: OverflowGuard | None = None,
        form: str = "plain",
        cost: Cost | None = None,
    ):
        super().__init__()
        self.form, self.cost = form, cost
        self.done, self.row_lengths, self.every, self.run_log, self.guard = done, row_lengths, every, run_log, guard
        self.loss_names = ("loss", *part_names)
        # for each call whose results have not been read: micro-batches done after it, its results, its batches
        self.waiting: list[tuple[int, Any, list[Any]]] = []
        self.losses: list[tuple[float, ...]] = []  # since the last line, as are the two counts
        self.tokens, self.padded_tokens = 0, 0
        self.mixture = done.plan.mixture
        self.source_rows: Any = 0  # of each source of the mixture, since the last line
        self.rate, self.scale, self.skipped = 0.0, 1.0, 0
        self.speed = Throughput(skip=skip * done.plan.accumulation_steps // done.per_call)
        self.marked = self.speed.counts  # at the last line, as is the next
        self.skipped_before = 0
        self.compiled = 0  # micro-batches of calls that compiled
        self.begun = self.told = 0.0  # times of the beginning and of the last line

    def on_train_begin(self, run_context: RunContext) -> None:
        self.bar = progress(total=self.done.updates, initial=self.done.step, desc="training", unit="step")
        self.begun = self.told = time.monotonic()

    def on_train_step_begin(self, run_context: RunContext) -> None:
        first = self.done.batches
        batches = [self.done.plan[number] for number in range(first, first + self.done.per_call)]
        self.is_left_out = self.speed.leaves_out(batches[0].length, _count_rows(batches) == _count_real(batches))
        if self.is_left_out:
            self.fetch()
        if not self.waiting:
            self.started = time.perf_counter()
        self.batches = batches

    def on_train_step_end(self, run_context: RunContext) -> None:
        done, update = self.done, self.done.plan.accumulation_steps
        done.batches += done.per_call
        self.waiting.append((done.batches, run_context.original_args().net_outputs, self.batches))
        is_first = done.batches - done.first_batch <= max(done.per_call, update)
        is_due = done.passed(update) and (done.passed(self.every * update) or done.batches == len(done.plan) or is_first)
        if is_due or self.is_left_out or done.passed(_LATEST * update):
            self.fetch()
        if done.passed(update):
            self.bar.update(done.step - self.bar.n)
        if is_due:
            self._write()

    def fetch(self) -> None:
        """Wait for the device, and read the results of the steps since the last wait.

        Raises:
            FloatingPointError: a loss is not finite, or `guard` ends the training.
        """
        if not self.waiting:
            return
        waiting = self.waiting
        self.waiting = []
        returned = [[output.asnumpy().item() for output in outputs] for _, outputs, _ in waiting]
        seconds = time.perf_counter() - self.started
        for (number, *_), (loss, self.rate, self.scale, self.skipped, *parts) in zip(waiting, returned):
            if not math.isfinite(loss) and self.scale <= 1.0:  # with a larger scale, overflow is expected
                raise FloatingPointError(f"the loss is {loss} in micro-batch {number}; lower the learning rate")
            if self.guard:
                update = self.done.plan.accumulation_steps
                self.guard.check(number // update - (number - self.done.per_call) // update, self.skipped, self.scale)
            self.losses.append((loss, *parts))
        batches = [batch for *_, of_call in waiting for batch in of_call]
        length, rows = batches[0].length, _count_real(batches)
        lengths = self.row_lengths[np.concatenate([batch.row_ids[: batch.num_real] for batch in batches])]
        tokens, flops = int(lengths.sum()), self.cost.count(lengths) if self.cost else 0.0
        self.tokens += tokens
        self.padded_tokens += sum(batch.num_slots for batch in batches)
        if self.mixture:
            self.source_rows += self.mixture.count_rows(np.concatenate([batch.row_ids[: batch.num_real] for batch in batches]))
        if self.speed.add(length, rows, tokens, seconds, _count_rows(batches) == rows, flops):
            if not self.compiled:
                self._tell_start()
            self.compiled += len(batches)
            self.run_log.write({"event": "compile", "seconds": round(seconds, 3), "length": length})
            logger.info(f"compiled length={length} seconds={seconds:.1f}")

    def _tell_start(self):
        """Log the seconds up to the end of the first step, by part."""
        start_up.end("compilation")
        seconds = start_up.take()
        if not seconds:  # nobody has begun to measure
            return
        self.run_log.write({"event": "first step", **{f"{part}_s": round(each, 2) for part, each in seconds.items()}})
        parts = ", ".join(f"{part} {each:.1f}" for part, each in seconds.items())
        logger.info(f"first step after {sum(seconds.values()):.1f} s: {parts}")

    @property
    def seconds_left(self) -> float | None:
        """The time that the rest takes if it goes on as since the beginning, without compilations; None if every call compiled."""
        done = self.done
        timed = done.batches - done.first_batch - self.compiled
        if not timed:
            return None
        seconds = time.monotonic() - self.begun - self.speed.compile_seconds
        return seconds / timed * (len(done.plan) - done.batches + done.later)

    def _write(self):
        step, epoch = self.done.step, self.done.epoch
        losses = {name: sum(values) / len(values) for name, values in zip(self.loss_names, zip(*self.losses))}
        now, clock, left = self.speed.counts, time.monotonic(), self.seconds_left
        fields = {"learning_rate": self.rate, **self._describe_rates(now - self.marked)}
        fields["padding"] = round(1 - self.tokens / self.padded_tokens, 4)
        spent: dict[str, Any] = {"tokens": self.tokens, "seconds": round(clock - self.told, 3)}
        if self.mixture:
            spent["source_rows"] = dict(zip(self.mixture.names, self.source_rows.tolist()))
        losses_and_scale = {**losses, "loss_scale": self.scale, "skipped": self.skipped}
        eta = {} if left is None else {"eta_s": round(left)}
        self.run_log.write({"step": step, "epoch": round(epoch, 4), **losses_and_scale, **fields, **spent, **eta})
        if self.bar.disable or self.form != "plain":
            overflowed, updates = self.skipped > self.skipped_before, self.done.updates
            rates = fields if left is None else {**fields, "eta": str(timedelta(seconds=round(left)))}
            rows = self.done.plan.rows_per_epoch
            numbers = (epoch, step, updates, rows, losses, self.scale, self.skipped, overflowed, rates, self.done.stage)
            logger.info(FORMS[self.form](StepNumbers(*numbers)))
        if not self.bar.disable:
            self.bar.set_postfix_str(f"epoch={epoch:.2f} loss={losses['loss']:.4f} samples_per_s={fields.get('samples_per_s', 0)}")
        self.losses = []
        self.tokens = 0
        self.padded_tokens = 0
        self.source_rows = 0
        self.marked, self.told = now, clock
        self.skipped_before = self.skipped

    def _describe_rates(self, counts):
        """The fields of rows, tokens and FLOPs in some seconds; none if no step counts."""
        rows, tokens, flops, seconds = counts.tolist()
        if not seconds:
            return {}
        fields = {"samples_per_s": round(rows / seconds, 1), "tokens_per_s": round(tokens / seconds, 1)}
        return fields | (self.cost.describe(flops / seconds) if self.cost else {})

    def on_train_end(self, run_context: RunContext) -> None:
        self.bar.close()
        fields = {
            "compile_s": round(self.speed.compile_seconds, 1),
            "train_s": round(self.speed.seconds, 1),
            **self._describe_rates(self.speed.counts),
            "samples_per_s": round(self.speed.rows_per_s, 2),
        }
        if self.speed.rows:
            fields |= {"samples_per_s_min": round(self.speed.slowest, 2), "samples_per_s_max": round(self.speed.fastest, 2)}
        self.run_log.write({"event": "trained", **fields})
        if 0 < self.done.step <= self.skipped:  # both count from the beginning of the training, even if it was resumed
            logger.warning("every update overflowed and was skipped: nothing was learned; lower precision.loss_scale_value")
        logger.info(f"trained {format_fields(fields)} (without compilation; min and max are of the steps between two lines)")
