"""Losses, rates and scores for programs that show trainings: TensorBoard, SwanLab, Weights & Biases, by their own libraries."""

import importlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from src.config import loader
from src.config.trainable import TRACKERS


class Tracker(Protocol):
    """What log.jsonl gets, for another program."""

    def add(self, record: Mapping[str, Any]) -> None:
        """Take the numbers of a record that has a step."""

    def close(self) -> None:
        """Write what is left."""


def start_tracker(config: Any, first_step: int) -> Tracker | None:
    """The Tracker that config.track names, None without one; it begins a run by the name of the output folder.

    Args:
        first_step: updates done before, by a training that is resumed.

    Raises:
        ValueError: the library refuses to begin, for instance because no account is known to it.
    """
    if config.track is None:
        return None
    library = importlib.import_module(TRACKERS[config.track])
    if config.track == "tensorboard":
        return _TensorBoard(library.SummaryWriter(f"{config.output_dir}/tensorboard", purge_step=first_step + 1 if first_step else None))
    name, settings = Path(config.output_dir).resolve().name, loader.to_dict(config)
    try:
        if config.track == "wandb":
            library.init(name=name, dir=config.output_dir, config=settings)
        else:
            library.init(experiment_name=name, logdir=f"{config.output_dir}/swanlog", config=settings)
    except Exception as error:  # each library has errors of its own, without a common class
        raise ValueError(f"track={config.track}: {error}") from error
    return _Service(library)


class _TensorBoard:
    """Event files by tensorboardX."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def add(self, record: Mapping[str, Any]) -> None:
        for name, value in _find_numbers(record).items():
            self._writer.add_scalar(name, value, record["step"])

    def close(self) -> None:
        self._writer.close()


class _Service:
    """A run of SwanLab or of Weights & Biases, whose libraries have the same functions."""

    def __init__(self, library: Any) -> None:
        self._library = library

    def add(self, record: Mapping[str, Any]) -> None:
        if numbers := _find_numbers(record):
            self._library.log(numbers, step=record["step"])

    def close(self) -> None:
        self._library.finish()


def _find_numbers(record):
    """train/… or eval/… -> value, for the finite numbers of a record with a step; an empty dict for other records."""
    if "step" not in record:
        return {}
    kind = "eval" if record.get("event") == "eval" else "train"
    numbers = {name: value for name, value in record.items() if isinstance(value, (int, float)) and math.isfinite(value)}
    return {f"{kind}/{name}": float(value) for name, value in numbers.items() if name != "step"}
