"""The mean of several classifiers: of their probabilities, or of the scores of regressions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mindspore import nn

from src.tasks.classifier.kinds import make_kind
from src.tasks.task import Prepared

PER_TOKEN = False  # whether outputs belong to tokens, so that all networks must read the same tokens


def cell(network: nn.Cell) -> nn.Cell:
    """The cell that gives what is averaged."""
    return network


class Average:
    """The mean over networks, as the logits of its probabilities."""

    def __init__(self, prepared: Prepared, split: str) -> None:
        self._kind = make_kind(prepared.config)
        self._sum: Any = 0.0
        self._count = 0

    def add(self, network: nn.Cell, outputs: Sequence[Any]) -> None:
        """Add the outputs of a network for every row."""
        self._sum = self._sum + self._kind.to_values(np.asarray(outputs[0]))  # [rows, C]
        self._count += 1

    def outputs(self) -> tuple[np.ndarray]:
        """What `report_evaluation` and `report_predictions` take."""
        return (self._kind.to_logits(self._sum / self._count),)
