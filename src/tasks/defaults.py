"""What a task's modules do where the task has nothing of its own to do; they import it under the names that Task lists."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from src.tasks.task import Prepared


def settle(config: Any, path: Any) -> Any:
    """The settings unchanged: nothing in an export depends on the weights."""
    return config


def tune(prepared: Prepared, outputs: Sequence[Any]) -> Prepared:
    """The same: no setting is chosen on the development set."""
    return prepared


def head_flops(prepared: Prepared) -> float | None:
    """FLOPs of the head's matrix products for a row, forward: too few to count."""
    return 0.0


def make_inputs(lengths: Sequence[int]) -> dict[str, np.ndarray]:
    """The inputs of the graph besides those of every encoder: none."""
    return {}


def check(options: Any, form: Any) -> None:
    """Accept all options: the planner knows the head."""
