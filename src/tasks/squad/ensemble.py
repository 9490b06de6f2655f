"""The mean of several networks' probabilities of an answer's first and last token, over the tokens of each row."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mindspore import nn
from scipy.special import softmax

from src.tasks.task import Prepared

PER_TOKEN = True  # whether outputs belong to tokens, so that all networks must read the same tokens


def cell(network: nn.Cell) -> nn.Cell:
    """The cell that gives what is averaged."""
    return network


class Average:
    """The mean over networks, as logits that softmax makes probabilities of."""

    def __init__(self, prepared: Prepared, split: str) -> None:
        self._lengths = prepared.records[split].lengths.tolist()
        self._sums = [[np.zeros(length) for length in self._lengths] for _ in range(2)]
        self._count = 0

    def add(self, network: nn.Cell, outputs: Sequence[Any]) -> None:
        """Add the outputs of a network for every row: logits of the first and of the last token."""
        for sums, logits in zip(self._sums, outputs):
            for total, row, length in zip(sums, logits, self._lengths):
                total += softmax(row[:length].astype(np.float64))
        self._count += 1

    def outputs(self) -> tuple[list[np.ndarray], ...]:
        """What `report_evaluation` and `report_predictions` take."""
        tiny = np.finfo(np.float64).tiny
        return tuple([np.log(np.maximum(total / self._count, tiny)) for total in sums] for sums in self._sums)
