"""Rows of any lengths through a graph, one batch at a time: they are padded, and the outputs cut."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from src.bundle.graphs import TEXT_INPUTS


class Row(NamedTuple):
    """One row for the graph; `others` are the values of the task's own inputs, in the order of its INPUTS."""

    input_ids: list[int]
    token_type_ids: list[int]
    others: tuple[list[int], ...] = ()


class Graph(Protocol):
    """What computes: a graph of a file, or a network.

    Attributes:
        inputs: names of its inputs. outputs: those of its outputs; None if it has no names for them.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...] | None

    def run(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """The outputs for int32 arrays given in the order of `inputs`."""


class RowGraph:
    """A graph that takes rows.

    Args:
        graph: computes a batch.
        own_inputs: names of its inputs besides those of every encoder.
        per_token: for each output whether it has a value per token; None for one that does not depend on the rows.
    """

    def __init__(self, graph: Graph, own_inputs: Sequence[str] = (), per_token: Sequence[bool | None] = (True,)):
        self.graph, self._own_inputs, self._per_token = graph, own_inputs, per_token

    def run(self, rows: Sequence[Row]) -> list[np.ndarray]:
        """The graph's outputs for rows that are padded to the longest of them."""
        length = max(len(row.input_ids) for row in rows)
        columns = {name: np.zeros((len(rows), length), np.int32) for name in TEXT_INPUTS}
        for number, row in enumerate(rows):
            count = len(row.input_ids)
            columns["input_ids"][number, :count], columns["token_type_ids"][number, :count] = row[:2]
            columns["input_mask"][number, :count] = 1
        for name, values in zip(self._own_inputs, zip(*(row.others for row in rows))):
            columns[name] = np.zeros((len(rows), max(map(len, values))), np.int32)
            for number, some in enumerate(values):
                columns[name][number, : len(some)] = some
        return self.graph.run(*(columns[name] for name in self.graph.inputs))

    def compute(self, rows: Sequence[Row]) -> list[tuple[np.ndarray, ...]]:
        """The outputs of rows run as one batch: for each row its float32 arrays without padding."""
        outputs = self.run(rows)
        return [tuple(self._cut(outputs, number, len(row.input_ids))) for number, row in enumerate(rows)]

    def compute_all(self, rows: Sequence[Row], batch_size: int) -> list[tuple[np.ndarray, ...]]:
        """The same for any number of rows, in batches of rows of similar length; the results are in the order of the rows."""
        found: dict[int, tuple[Any, ...]] = {}
        order = sorted(range(len(rows)), key=lambda number: len(rows[number].input_ids))
        for start in range(0, len(order), batch_size):
            numbers = order[start : start + batch_size]
            found |= zip(numbers, self.compute([rows[number] for number in numbers]))
        return [found[number] for number in range(len(rows))]

    def _cut(self, outputs: list[np.ndarray], number: int, length: int) -> Iterator[np.ndarray]:
        """One row's part of each output."""
        for output, per_token in zip(outputs, self._per_token):
            if per_token is None:
                yield output
            else:
                yield output[number, :length] if per_token else output[number]
