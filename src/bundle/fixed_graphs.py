"""Compiled graphs of one batch size and length each, as one graph that takes any: rows are padded, outputs cut.

A compiler for Ascend makes them of the copies that `python -m src.export --static_shapes` writes (docs/ascend.md).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from src.bundle.graphs import TEXT_INPUTS


class FixedGraph(Protocol):
    """A graph of one shape.

    Attributes:
        shape: batch size and length of its inputs.
    """

    shape: tuple[int, int]

    def run(self, columns: dict[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs for int32 inputs of that shape, by name."""


class FixedGraphs:
    """Runs the graph of the smallest length that rows fit into.

    Args:
        graphs: of different shapes.
        per_token: for each output whether it has a value per token; None for one that does not depend on the rows.
    """

    def __init__(self, graphs: Sequence[FixedGraph], per_token: Sequence[bool | None]):
        self._graphs = sorted(graphs, key=lambda graph: graph.shape[1])
        self._per_token = per_token
        self.inputs, self.outputs = TEXT_INPUTS, None

    def run(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """The outputs for int32 arrays [rows, length] given in the order of `inputs`.

        Raises:
            ValueError: no graph is long enough.
        """
        rows, length = arrays[0].shape
        graph = next((graph for graph in self._graphs if graph.shape[1] >= length), None)
        if graph is None:
            lengths = ", ".join(str(graph.shape[1]) for graph in self._graphs)
            raise ValueError(f"a row has {length} tokens, and the compiled graphs have {lengths}: compile one for the model's seq_length")
        batch, longest = graph.shape
        columns = [np.pad(array, ((0, -rows % batch), (0, longest - length)), mode="constant") for array in arrays]
        found = [
            graph.run({name: column[start : start + batch] for name, column in zip(self.inputs, columns)})
            for start in range(0, len(columns[0]), batch)
        ]
        return [self._join(parts, per_token, rows, length) for parts, per_token in zip(zip(*found), self._per_token)]

    def _join(self, parts, per_token, rows, length):
        """One output of all batches, without what belongs to padding."""
        if per_token is None:
            return parts[0]
        joined = np.concatenate(parts)[:rows]
        if not per_token:
            return joined
        joined = joined[:, :length]
        return joined[..., :length] if joined.ndim > 3 else joined  # a value for each two tokens


class LiteGraph:
    """A MINDIR that MindSpore Lite's converter has written, on an Ascend or the CPU; not run on a chip yet.

    Raises:
        ValueError: MindSpore Lite is not installed, or the inputs are others.
    """

    def __init__(self, path: Path | str, target: str, device_id: int):
        try:
            import mindspore_lite
        except ImportError:
            raise ValueError(f"{path}: MindSpore Lite is not installed; docs/ascend.md says where it is from") from None
        context: Any = mindspore_lite.Context()
        context.target = [target.lower()]
        if target == "Ascend":
            context.ascend.device_id = device_id
        self._model = mindspore_lite.Model()
        self._model.build_from_file(str(path), mindspore_lite.ModelType.MINDIR, context)
        self._inputs = self._model.get_inputs()
        if sorted(value.name for value in self._inputs) != sorted(TEXT_INPUTS):
            raise ValueError(f"{path}: its inputs are {', '.join(value.name for value in self._inputs)}, not {', '.join(TEXT_INPUTS)}")
        self.shape = tuple(self._inputs[0].shape)

    def run(self, columns: dict[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs for int32 inputs of the graph's shape, by name."""
        for value in self._inputs:
            value.set_data_from_numpy(np.ascontiguousarray(columns[value.name]))
        return [output.get_data_to_numpy() for output in self._model.predict(self._inputs)]
