"""The end of a training whose updates overflow again and again."""

from collections.abc import Sequence

from src.log import shorten
from src.train.step import TrainStep


class OverflowGuard:
    """Ends a training whose updates overflow again and again, and names the parameters.

    Args:
        names: the names of the optimiser's parameters.
        limit: number of updates skipped in a row that ends the training.
    """

    def __init__(self, step: TrainStep, names: Sequence[str], limit: int):
        self.step, self.names, self.limit = step, names, limit
        self.seen = int(step.skipped.asnumpy())  # a resumed training may have skipped updates before
        self.in_a_row = 0

    def check(self, updates: int, skipped: int, scale: float) -> None:
        """Take note of the next call of the step.

        Args:
            updates: number of updates it made or skipped.
            skipped: updates skipped since the training began.
            scale: the loss scale.

        Raises:
            FloatingPointError: `limit` updates in a row were skipped.
        """
        new = skipped - self.seen
        self.seen = skipped
        self.in_a_row = self.in_a_row + new if new == updates else 0
        if self.in_a_row >= self.limit:
            raise FloatingPointError(f"{self.in_a_row} updates in a row overflowed, the loss scale is {scale:g}; {self._find()}")

    def _find(self):
        if self.step.status is not None:
            return "which parameters cannot be told: this chip makes its largest number of what overflows"
        return f"not finite last: {shorten([name for name, bad in zip(self.names, self.step.overflowed.asnumpy()) if bad], 8)}"
