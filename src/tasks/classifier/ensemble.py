"""The mean of several classifiers: of their probabilities, or of the scores of regressions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mindspore import nn

from src.tasks.classifier.choices import to_matrix
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
        self._questions = prepared.records[split].rows["question"] if prepared.config.has_choices else None
        self._is_there: Any = ()  # bool [questions, choices]
        self._sum: Any = 0.0
        self._count = 0

    def add(self, network: nn.Cell, outputs: Sequence[Any]) -> None:
        """Add the outputs of a network for every row."""
        logits = np.asarray(outputs[0])  # [rows, C]
        if self._questions is not None:
            logits, _ = to_matrix(logits[:, 0], self._questions)
            self._is_there = np.isfinite(logits)
        self._sum = self._sum + self._kind.to_values(logits)
        self._count += 1

    def outputs(self) -> tuple[np.ndarray]:
        """What `report_evaluation` and `report_predictions` take."""
        logits = self._kind.to_logits(self._sum / self._count)
        return (logits if self._questions is None else logits[self._is_there][:, None],)
