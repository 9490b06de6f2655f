"""What happens beside the training steps: step lines, log.jsonl, progress, checkpoints, signals."""

import math
import signal
import time

from mindspore.train import Callback

from src.log import format_fields, logger, progress, shorten


class Throughput:
    """Rows and tokens per second, without the first step of each length, which contains its compilation, and batches with filler.

    Args:
        skip: steps at the beginning that do not count either.
    """

    def __init__(self, skip=0):
        self.seen, self.compile_seconds = set(), 0.0
        self.left_out = skip
        self.rows = self.tokens = 0
        self.seconds = 0.0
        self.slowest, self.fastest = math.inf, 0.0  # rows per second of single steps

    def add(self, length, rows, tokens, seconds, is_whole=True):
        """Count a step; is_whole: it has no filler rows. Returns whether it was the first of its length."""
        first = length not in self.seen
        if first:
            self.seen.add(length)
            self.compile_seconds += seconds
        elif self.left_out <= 0 and is_whole:
            self.rows, self.tokens, self.seconds = self.rows + rows, self.tokens + tokens, self.seconds + seconds
            self.slowest, self.fastest = min(self.slowest, rows / seconds), max(self.fastest, rows / seconds)
        self.left_out -= 1
        return first

    @property
    def rows_per_s(self):
        """0 where every step was a first one."""
        return self.rows / self.seconds if self.seconds else 0.0


class Progress:
    """Where a training stands: the plan, micro-batches done, and how many each call of the device does."""

    def __init__(self, plan, first_batch, per_call=1):
        self.plan, self.first_batch, self.per_call = plan, first_batch, per_call
        self.batches = first_batch

    @property
    def step(self):
        """Updates done."""
        return self.batches // self.plan.accumulation_steps

    @property
    def epoch(self):
        """Passes over the rows done, a fraction."""
        return self.batches / self.plan.batches_per_epoch

    @property
    def at_update(self):
        """Whether the last micro-batch has ended an update."""
        return self.batches % self.plan.accumulation_steps == 0

    def passed(self, every):
        """Whether the last call reached or passed a multiple of `every` micro-batches."""
        return self.batches // every > (self.batches - self.per_call) // every


class StepLog(Callback):
    """Counts the micro-batches; step lines every `every` updates, a record of each in log.jsonl, a bar on a terminal.

    Must stand first in the list. The first step of each length contains its compilation: it is logged as such and kept out
    of the rates.

    Args:
        done: Progress.
        row_lengths: int [rows], for tokens and padding.
        every: updates between lines.
        run_log: RunLog.
        part_names: names of the parts of the loss, as the step returns them.
        skip: updates at the beginning that do not count for the rates.
    """

    def __init__(self, done, row_lengths, every, run_log, part_names=(), skip=0):
        super().__init__()
        self.done, self.row_lengths, self.every, self.run_log = done, row_lengths, every, run_log
        self.loss_names = ("loss", *part_names)
        self.losses, self.tokens, self.places, self.skipped = [], 0, 0, 0
        self.speed, self.marked = Throughput(skip * done.plan.accumulation_steps // done.per_call), (0, 0, 0.0)

    def on_train_begin(self, run_context):
        self.bar = progress(total=self.done.plan.updates, initial=self.done.step, desc="training", unit="step")

    def on_train_step_begin(self, run_context):
        self.started = time.perf_counter()

    def on_train_step_end(self, run_context):
        loss, rate, scale, skipped, *parts = (output.asnumpy().item() for output in run_context.original_args().net_outputs)
        seconds = time.perf_counter() - self.started
        done = self.done
        batches = [done.plan[number] for number in range(done.batches, done.batches + done.per_call)]
        done.batches += done.per_call
        if not math.isfinite(loss) and scale <= 1.0:  # above, it is the loss scale's affair
            raise FloatingPointError(f"the loss is {loss} in micro-batch {done.batches}; lower the learning rate")
        self.skipped = skipped
        self.losses.append((loss, *parts))
        rows, tokens = sum(batch.num_real for batch in batches), sum(self._count_tokens(batch) for batch in batches)
        self.tokens, self.places = self.tokens + tokens, self.places + sum(batch.length * len(batch.row_ids) for batch in batches)
        is_whole = rows == sum(len(batch.row_ids) for batch in batches)
        if self.speed.add(batches[0].length, rows, tokens, seconds, is_whole):
            self.run_log.write({"event": "compile", "seconds": round(seconds, 3), "length": batches[0].length})
            logger.info(f"compiled length={batches[0].length} seconds={seconds:.1f}")
        if done.passed(done.plan.accumulation_steps):
            self.bar.update(done.step - self.bar.n)
            is_first = done.batches - done.first_batch <= max(done.per_call, done.plan.accumulation_steps)
            if done.passed(self.every * done.plan.accumulation_steps) or done.batches == len(done.plan) or is_first:
                self._write(rate, scale, skipped)

    def _count_tokens(self, batch):
        return int(self.row_lengths[batch.row_ids[: batch.num_real]].sum())

    def _write(self, rate, scale, skipped):
        step, epoch = self.done.step, self.done.epoch
        losses = {name: sum(values) / len(values) for name, values in zip(self.loss_names, zip(*self.losses))}
        now = (self.speed.rows, self.speed.tokens, self.speed.seconds)
        rows, tokens, seconds = (new - old for new, old in zip(now, self.marked))
        fields = {"learning_rate": rate}
        if seconds:
            fields |= {"samples_per_s": round(rows / seconds, 1), "tokens_per_s": round(tokens / seconds, 1)}
        fields["padding"] = round(1 - self.tokens / self.places, 4)
        self.run_log.write({"step": step, "epoch": round(epoch, 4), **losses, "loss_scale": scale, "skipped": skipped, **fields})
        if self.bar.disable:
            fields = {**losses, "scale": scale, "skipped": skipped, **fields}
            logger.info(f"epoch={epoch:.3f} step={step}/{self.done.plan.updates} {format_fields(fields)}")
        else:
            self.bar.set_postfix_str(f"epoch={epoch:.2f} loss={losses['loss']:.4f} samples_per_s={fields.get('samples_per_s', 0)}")
        self.losses, self.tokens, self.places, self.marked = [], 0, 0, now

    def on_train_end(self, run_context):
        self.bar.close()
        fields = {
            "compile_s": round(self.speed.compile_seconds, 1),
            "train_s": round(self.speed.seconds, 1),
            "samples_per_s": round(self.speed.rows_per_s, 2),
        }
        if self.speed.rows:
            fields |= {"samples_per_s_min": round(self.speed.slowest, 2), "samples_per_s_max": round(self.speed.fastest, 2)}
        self.run_log.write({"event": "trained", **fields})
        if 0 < self.done.step <= self.skipped:  # both of the whole training, also of one that was resumed
            logger.warning("every update overflowed and was skipped: nothing was learned; lower precision.loss_scale_value")
        logger.info(f"trained {format_fields(fields)} (without compilation; min and max are of single steps)")


class OverflowGuard(Callback):
    """Ends a training whose updates overflow again and again, and says where.

    Args:
        step: TrainStep.
        names: of its optimiser's parameters.
        limit: updates skipped in a row.
    """

    def __init__(self, step, names, limit):
        super().__init__()
        self.step, self.names, self.limit = step, names, limit
        self.good_at, self.seen = 0, 0

    def on_train_step_end(self, run_context):
        if self.step.loss_scale is None:
            return
        updates, skipped = (int(counter.asnumpy()) for counter in (self.step.optimizer.global_step, self.step.skipped))
        if updates > self.seen:
            self.seen, self.good_at = updates, skipped
        if skipped - self.good_at >= self.limit:
            where = [name for name, bad in zip(self.names, self.step.overflowed.asnumpy()) if bad]
            raise FloatingPointError(
                f"{skipped - self.good_at} updates in a row overflowed, the loss scale is {self.step.loss_scale.scale.asnumpy():g}; "
                f"not finite last: {shorten(where, 8)}"
            )


class Saver(Callback):
    """Calls `save(micro-batches done)` every `every` micro-batches and at the end of training; `save` may be None.

    It waits for the end of an update: of one that is half accumulated each rank holds a part of its own.
    """

    def __init__(self, done, every, save):
        super().__init__()
        self.done, self.every, self._save = done, every, save
        self.is_due = False

    def save(self):
        if self._save:
            self._save(self.done.batches)

    def on_train_step_end(self, run_context):
        self.is_due = self.is_due or self.done.passed(self.every) or self.done.batches == len(self.done.plan)
        if self.is_due and self.done.at_update:
            self.save()
            self.is_due = False


class Evaluator(Callback):
    """Calls `evaluate()` every `every` micro-batches and at the end of training."""

    def __init__(self, done, every, evaluate):
        super().__init__()
        self.done, self.every, self.evaluate = done, every, evaluate

    def on_train_step_end(self, run_context):
        if self.done.passed(self.every) or self.done.batches == len(self.done.plan):
            self.evaluate()


class StopOnSignal(Callback):
    """On SIGINT or SIGTERM: finish the update, save, and end the training. Must stand behind Saver in the list.

    `agreed` is the signal afterwards, None if there was none.

    Args:
        saver: Saver.
        largest: (int) -> the largest of all ranks, none of which goes on before all have asked: ranks end after the same step.
    """

    def __init__(self, saver, largest):
        super().__init__()
        self.saver, self.largest = saver, largest
        self.received, self.agreed, self.before = 0, None, {}

    def on_train_begin(self, run_context):
        self.before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}

    def _note(self, number, frame):
        self.received = self.received or number

    def on_train_step_end(self, run_context):
        if not self.saver.done.at_update:
            return
        number = self.largest(self.received)
        if number:
            self.agreed = signal.Signals(number)
            self.saver.save()
            self.largest(number)  # all wait until the checkpoint is written: mpirun ends the others soon after the first
            run_context.request_stop()

    def on_train_end(self, run_context):
        for number, handler in self.before.items():
            signal.signal(number, handler)
