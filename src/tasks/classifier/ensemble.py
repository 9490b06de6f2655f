"""The mean of several classifiers: of their probabilities, or of the scores of regressions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mindspore import nn
from scipy.special import softmax

from src.tasks.task import Prepared

PER_TOKEN = False  # whether outputs belong to tokens, so that all networks must read the same tokens


def cell(network: nn.Cell) -> nn.Cell:
    """The cell that gives what is averaged."""
    return network


class Average:
    """The mean over networks, as logits that softmax makes probabilities of."""

    def __init__(self, prepared: Prepared, split: str) -> None:
        self._is_regression = prepared.config.is_regression
        self._sum: Any = 0.0
        self._count = 0

    def add(self, network: nn.Cell, outputs: Sequence[Any]) -> None:
        """Add the outputs of a network for every row."""
        values = np.asarray(outputs[0], np.float64)  # [rows, C]
        self._sum = self._sum + (values if self._is_regression else softmax(values, axis=1))
        self._count += 1

    def outputs(self) -> tuple[np.ndarray]:
        """What `report_evaluation` and `report_predictions` take."""
        mean = self._sum / self._count
        return (mean if self._is_regression else np.log(np.maximum(mean, np.finfo(np.float64).tiny)),)
