"""What a training step computes: the FLOPs of its matrix products, and the share of the device's peak that they reach.

As PaLM's model FLOPs (Chowdhery et al. 2022, appendix B): three times the forward products, as the backward pass has two for each;
what recomputation repeats does not count, nor do padding, filler rows, lookups and what is no product. A row of n tokens costs, with H
hidden, I feed-forward and L layers,
    3 (L (8 H^2 + 4 H I) n + L 4 H n^2 + its head)
where relative positions double the term of n^2, and the heads of pretraining count for all masked positions of the records' width. The
heads of fine-tuning are left out: a few outputs per token or row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from src.tasks.task import Prepared, Task
from src.train.runtime import find_peak


@dataclass(frozen=True)
class Cost:
    """FLOPs of forward and backward pass, and the peak.

    Attributes:
        row, token, pair: FLOPs for each row, each token, and each pair of tokens in one row.
        peak: FLOP/s of all devices that train together; None if it is not known.
    """

    row: float
    token: float
    pair: float
    peak: float | None = None

    def count(self, lengths: np.ndarray) -> float:
        """FLOPs of rows with these numbers of tokens."""
        lengths = lengths.astype(np.float64)
        return float(len(lengths) * self.row + self.token * lengths.sum() + self.pair * (lengths * lengths).sum())

    def compare(self, later: Sequence[tuple[int, int]], batch: tuple[int, int]) -> float:
        """How often the FLOPs of one batch make those of others; each is a number of rows and their length."""
        one, *others = (rows * self.count(np.array([length])) for rows, length in (batch, *later))
        return sum(others) / one

    def describe(self, flops_per_s: float) -> dict[str, float]:
        """The fields of a log: FLOP/s, and their share of the peak if that is known."""
        fields = {"model_flops_per_s": float(f"{flops_per_s:.4g}")}
        return fields | ({"mfu": round(flops_per_s / self.peak, 4)} if self.peak else {})


def make_cost(task: Task, prepared: Prepared) -> Cost | None:
    """The Cost of a training; None where a step is more or less than one pass forward and backward over rows of known lengths."""
    config, head = prepared.config, task.training.head_flops(prepared)
    if head is None or config.frozen_parts or config.adversarial or config.r_drop:
        return None
    model = config.model
    layers, size = model.num_hidden_layers, model.hidden_size
    attention = 4 * size * (1 if model.position_embedding_type == "absolute" else 2)
    token = layers * (8 * size * size + 4 * size * model.intermediate_size)
    peak = find_peak(config.device)
    return Cost(3 * head, 3 * token, 3 * layers * attention, peak and peak * config.device.world_size)
