"""The best score of a training: what its evaluations say of it so far, and whether they have ended it."""

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from src.config.training import DeviceSettings
from src.log import logger
from src.train import collectives


def is_lower_better(metric: str) -> bool:
    """Whether the best value of a measure is the lowest: of a loss, and of perplexity."""
    return metric.endswith("loss") or metric == "perplexity"


@dataclasses.dataclass
class Best:
    """The best evaluation so far and the number of evaluations since.

    Attributes:
        metric: the measure that decides.
        patience: evaluations in a row without a better score that end the training; None for any number.
        score, step: of the best evaluation; nan and 0 before there is one.
        waited: evaluations since.
    """

    metric: str
    patience: int | None = None
    score: float = math.nan
    step: int = 0
    waited: int = 0

    def add(self, step: int, scores: Mapping[str, Any]) -> bool:
        """Count an evaluation; returns whether it is the best so far. A measure that is not defined for it is no gain."""
        score = scores.get(self.metric)
        if score is None or not math.isfinite(score):
            logger.warning(f"eval step={step}: {self.metric} is undefined for these labels and predictions")
        elif math.isnan(self.score) or (score < self.score if is_lower_better(self.metric) else score > self.score):
            self.score, self.step, self.waited = float(score), step, 0
            return True
        self.waited += 1
        return False

    @property
    def ends_training(self) -> bool:
        """Whether `patience` is used up."""
        return self.patience is not None and self.waited >= self.patience

    @property
    def fields(self) -> dict[str, Any]:
        """What a log tells of it."""
        return {"best_metric": self.metric, "best_score": None if math.isnan(self.score) else self.score, "best_step": self.step}

    def recall(self, path: Path | str, last_step: int, device: DeviceSettings, after: int = 0) -> None:
        """Take up the evaluations of the training that is resumed, on all ranks.

        Args:
            path: its log.jsonl, read by the rank that writes it.
            last_step: that of the checkpoint; later evaluations are made again.
            after: the last step of the stages before, whose scores are of other rows.

        Raises:
            ValueError: a line is damaged; with file and line.
        """
        if device.writes:
            for step, scores in _read_evaluations(path, last_step):
                if step > after:
                    self.add(step, scores)
        numbers = collectives.broadcast(device, np.array([self.score, self.step, self.waited], np.float64)).tolist()
        self.score, self.step, self.waited = numbers[0], int(numbers[1]), int(numbers[2])


def _read_evaluations(path: Path | str, last_step: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """(step, scores) of the evaluations during training; where a resumed training made some again, the later ones."""
    found: dict[int, dict[str, Any]] = {}
    for line, text in enumerate(Path(path).read_text(encoding="utf-8").splitlines() if Path(path).is_file() else (), 1):
        try:
            record = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}:{line}: not JSON: {error.msg}") from None
        if record.get("event") == "eval" and record.get("step", math.inf) <= last_step:
            found = {step: scores for step, scores in found.items() if step < record["step"]} | {record["step"]: record}
    yield from found.items()
