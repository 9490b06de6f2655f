"""The forms that step lines can have: this program's own, the model zoo's, PaddlePaddle's."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from src.config.trainable import Stage
from src.log import format_fields


@dataclasses.dataclass(frozen=True)
class StepNumbers:
    """What a step line tells.

    Attributes:
        epoch: passes over the rows done, with their fraction.
        step, updates: updates done, and of the whole training.
        rows: rows of a pass.
        losses: name -> mean since the last line; the first is the loss.
        scale: of the loss.
        skipped, overflowed: updates skipped so far; whether any was since the last line.
        rates: learning_rate and, once a step counts, samples_per_s and others.
        stage: of a recipe with stages; epoch and rows are its own.
    """

    epoch: float
    step: int
    updates: int
    rows: int
    losses: Mapping[str, float]
    scale: float
    skipped: int
    overflowed: bool
    rates: Mapping[str, Any]
    stage: Stage | None = None


def _describe(numbers: StepNumbers) -> str:
    fields = {**numbers.losses, "scale": numbers.scale, "skipped": numbers.skipped, **numbers.rates}
    stage = f" stage={numbers.stage.number}/{numbers.stage.count}" if numbers.stage else ""
    return f"epoch={numbers.epoch:.3f} step={numbers.step}/{numbers.updates}{stage} {format_fields(fields)}"


def _describe_as_zoo(numbers: StepNumbers) -> str:
    """The line of the model zoo's LossCallBack: the loss, whether an update overflowed, the scale."""
    percent, epoch = math.modf(numbers.epoch)
    if not percent and epoch:  # the end of an epoch belongs to it
        percent, epoch = 1.0, epoch - 1
    tensors = (
        f"Tensor(shape=[1], dtype=Float32, [ {numbers.losses['loss']:.7e}])",
        f"Tensor(shape=[], dtype=Bool, {numbers.overflowed})",
        f"Tensor(shape=[], dtype=Float32, {numbers.scale:g})",
    )
    return f"epoch: {epoch:.1f}, current epoch percent: {percent:.3f}, step: {numbers.step}, outputs are ({', '.join(tensors)})"


def _describe_as_paddle(numbers: StepNumbers) -> str:
    """The line of PaddlePaddle's run_classifier.py, without the accuracy of training batches, which is not measured here."""
    fraction, epoch = math.modf(numbers.epoch)
    line = f"epoch: {epoch:.0f}, progress: {fraction * numbers.rows:.0f}/{numbers.rows}, step: {numbers.step}"
    line += f", ave loss: {numbers.losses['loss']:.6f}"
    rows_per_step = numbers.rows * numbers.epoch / (numbers.step - (numbers.stage.first_update if numbers.stage else 0))
    return line + (f", speed: {numbers.rates['samples_per_s'] / rows_per_step:.6f} steps/s" if "samples_per_s" in numbers.rates else "")


FORMS: dict[str, Callable[[StepNumbers], str]] = {"plain": _describe, "zoo": _describe_as_zoo, "paddle": _describe_as_paddle}
