"""What happens beside the training steps: step lines, log.jsonl, progress, checkpoints, signals."""

import math
import signal
import time
from dataclasses import dataclass

from mindspore.train import Callback

from src.log import format_fields, logger, progress


class Throughput:
    """Rows and tokens per second, without the first step of each length: that one contains its compilation."""

    def __init__(self):
        self.seen, self.compile_seconds = set(), 0.0
        self.rows = self.tokens = 0
        self.seconds = 0.0

    def add(self, length, rows, tokens, seconds):
        """Count a step; returns whether it was the first of its length."""
        first = length not in self.seen
        if first:
            self.seen.add(length)
            self.compile_seconds += seconds
        else:
            self.rows, self.tokens, self.seconds = self.rows + rows, self.tokens + tokens, self.seconds + seconds
        return first

    @property
    def rows_per_s(self):
        """0 where every step was a first one."""
        return self.rows / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Position:
    """Where a training starts and what the whole run is: micro-batches done and in an epoch, micro-batches per update, updates."""

    first_batch: int
    batches_per_epoch: int
    accumulation_steps: int
    total_steps: int


class StepLog(Callback):
    """Step lines every `every` updates, a record of each in log.jsonl, a bar on a terminal.

    The first step of each length contains its compilation: it is logged as such and kept out of the rates.

    Args:
        plan: Plan of the batches to come.
        row_lengths: int [rows], for tokens and padding.
        position: Position of the plan in the whole run.
        every: updates between lines.
        run_log: RunLog.
    """

    def __init__(self, plan, row_lengths, position, every, run_log):
        super().__init__()
        self.plan, self.row_lengths, self.position = plan, row_lengths, position
        self.every, self.run_log = every, run_log
        self.index, self.losses, self.tokens, self.places, self.skipped = 0, [], 0, 0, 0
        self.speed, self.marked = Throughput(), (0, 0, 0.0)

    def on_train_begin(self, run_context):
        begun = self.position.first_batch // self.position.accumulation_steps
        self.bar = progress(total=self.position.total_steps, initial=begun, desc="training", unit="step")

    def on_train_step_begin(self, run_context):
        self.started = time.perf_counter()

    def on_train_step_end(self, run_context):
        loss, rate, scale, skipped = (output.asnumpy().item() for output in run_context.original_args().net_outputs)
        seconds = time.perf_counter() - self.started
        length, num_real = int(self.plan.lengths[self.index]), int(self.plan.num_real[self.index])
        tokens = int(self.row_lengths[self.plan.row_ids[self.index][:num_real]].sum())
        if not math.isfinite(loss) and scale <= 1.0:  # above, it is the loss scale's affair
            batch = self.position.first_batch + self.index + 1
            raise FloatingPointError(f"the loss is {loss} in micro-batch {batch}; lower the learning rate")
        self.skipped = skipped
        self.losses.append(loss)
        self.tokens, self.places = self.tokens + tokens, self.places + length * self.plan.row_ids.shape[1]
        if self.speed.add(length, num_real, tokens, seconds):
            self.run_log.write({"event": "compile", "seconds": round(seconds, 3), "length": length})
            logger.info(f"compiled length={length} seconds={seconds:.1f}")
        self.index += 1
        done, position = self.position.first_batch + self.index, self.position
        if done % position.accumulation_steps == 0:
            step = done // position.accumulation_steps
            self.bar.update()
            if step % self.every == 0 or step == position.total_steps or self.index == position.accumulation_steps:
                self._write(step, done / position.batches_per_epoch, rate, scale, skipped)

    def _write(self, step, epoch, rate, scale, skipped):
        loss = sum(self.losses) / len(self.losses)
        now = (self.speed.rows, self.speed.tokens, self.speed.seconds)
        rows, tokens, seconds = (new - old for new, old in zip(now, self.marked))
        fields = {"loss": loss, "learning_rate": rate, "loss_scale": scale, "skipped": skipped}
        if seconds:
            fields |= {"samples_per_s": round(rows / seconds, 1), "tokens_per_s": round(tokens / seconds, 1)}
        self.run_log.write({"step": step, "epoch": round(epoch, 4), **fields, "padding": round(1 - self.tokens / self.places, 4)})
        if self.bar.disable:
            fields["scale"] = fields.pop("loss_scale")
            logger.info(f"epoch={epoch:.3f} step={step}/{self.position.total_steps} {format_fields(fields)}")
        else:
            self.bar.set_postfix_str(f"epoch={epoch:.2f} loss={loss:.4f} samples_per_s={fields.get('samples_per_s', 0)}")
        self.losses, self.tokens, self.places, self.marked = [], 0, 0, now

    def on_train_end(self, run_context):
        self.bar.close()
        fields = {
            "compile_s": round(self.speed.compile_seconds, 1),
            "train_s": round(self.speed.seconds, 1),
            "samples_per_s": round(self.speed.rows_per_s, 1),
        }
        self.run_log.write({"event": "trained", **fields})
        if 0 < self.index <= self.skipped * self.position.accumulation_steps:
            logger.warning("every update overflowed and was skipped: nothing was learned; lower precision.loss_scale_value")
        logger.info(f"trained {format_fields(fields)} (samples_per_s without compilation)")


class Saver(Callback):
    """Calls `save(micro-batches done)` every `every` micro-batches and at the end of training."""

    def __init__(self, save, first_batch, every, last_batch):
        super().__init__()
        self.save, self.done, self.every, self.last_batch = save, first_batch, every, last_batch

    def on_train_step_end(self, run_context):
        self.done += 1
        if self.done % self.every == 0 or self.done == self.last_batch:
            self.save(self.done)


class StopOnSignal(Callback):
    """On SIGINT or SIGTERM: finish the step, save, and end the training. Must stand behind Saver in the list.

    `received` is the signal afterwards, None if there was none.
    """

    def __init__(self, saver):
        super().__init__()
        self.saver, self.received, self.before = saver, None, {}

    def on_train_begin(self, run_context):
        self.before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}

    def _note(self, number, frame):
        self.received = self.received or signal.Signals(number)

    def on_train_step_end(self, run_context):
        if self.received is not None:
            self.saver.save(self.saver.done)
            run_context.request_stop()

    def on_train_end(self, run_context):
        for number, handler in self.before.items():
            signal.signal(number, handler)
