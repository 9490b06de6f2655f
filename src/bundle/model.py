"""An exported model that makes predictions: instances to rows, rows through the graph, outputs to results."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from src.bundle import folder
from src.bundle.fixed_graphs import FixedGraph, FixedGraphs
from src.bundle.graphs import TEXT_INPUTS, open_graph
from src.tasks.instances import BadInstance
from src.tasks.task import TASKS
from src.text.tokenization import Tokenizer


class Row(NamedTuple):
    """One row for the graph; `others` are the values of the task's own inputs, in the order of its INPUTS."""

    input_ids: list[int]
    token_type_ids: list[int]
    others: tuple[list[int], ...] = ()


class Work(NamedTuple):
    """Encoded instances: their rows, and the data that decoding needs."""

    rows: list[Row]
    memory: Any


def is_example(value: Any, keys: Sequence[str]) -> bool:
    """Whether a value is an instance with these texts, none of them blank."""
    return isinstance(value, dict) and set(value) == set(keys) and all(isinstance(text, str) and text.strip() for text in value.values())


class Bundle:
    """An opened bundle.

    Args:
        path: its folder.
        graph: onnx, int8 or mindir; None chooses the first that the bundle has.
        threads: number of threads for a computation; 0 takes one per core.
        fixed: compiled graphs, which run instead of the bundle's own.

    Attributes:
        name, task, settings, labels: see `folder.Description`.
        graph: kind of the graph that runs.
        example: an instance, which the served page shows first.

    Raises:
        FileNotFoundError, ValueError: no bundle, altered, inconsistent, or of a task that answers no instances.
    """

    def __init__(self, path: Path | str, graph: str | None = None, threads: int = 0, fixed: Sequence[FixedGraph] = ()):
        self._description = folder.read(path)
        self.name = self._description.name
        self.task = self._description.task
        self.settings = self._description.settings
        self.labels = self._description.labels
        if not TASKS[self.task].answers:
            raise ValueError(f"{path}: task={self.task}: its graph can be run by other programs, it answers no texts")
        graphs = self._description.graphs
        self.graph = graph or next(kind for kind in folder.GRAPHS if kind in graphs)
        if self.graph not in graphs:
            raise ValueError(f"{path}: graph={self.graph}: the bundle has {', '.join(graphs)}")
        self._task = TASKS[self.task].serving
        self._tokenizer = Tokenizer(self._description.vocab_file)
        self._check(path)
        keys, _ = self._task.describe(self.settings)
        self.example: dict[str, str] = self.settings.get("example") or {key: self._task.EXAMPLE[key] for key in keys}
        if not is_example(self.example, keys):
            raise ValueError(f"{path}: example={str(self.example)[:80]}: an object with the texts {', '.join(keys)} is expected")
        self._own_inputs: tuple[str, ...] = getattr(self._task, "INPUTS", ())
        inputs = (*TEXT_INPUTS, *self._own_inputs)
        self._graph: Any = (
            FixedGraphs(fixed, self._task.PER_TOKEN) if fixed else open_graph(self.graph, graphs[self.graph], threads, inputs)
        )
        if sorted(self._graph.inputs) != sorted(inputs):
            raise ValueError(f"{graphs[self.graph]}: its inputs are {', '.join(self._graph.inputs)}, not {', '.join(inputs)}")
        self._try(path)

    @property
    def takes_top_k(self) -> bool:
        """Whether a result is a choice among several, so that top_k is meaningful."""
        return self._task.takes_top_k(self.settings)

    def describe(self) -> dict[str, Any]:
        """The information for clients."""
        keys, bare = self._task.describe(self.settings)
        instance = {"required": list(keys), "text_stands_for": bare}
        return self.settings | {
            "name": self.name,
            "task": self.task,
            "graph": self.graph,
            "labels": list(self.labels),
            "instance": instance,
        }

    def encode(self, instances: list[Any]) -> Work:
        """The Work of some instances.

        Raises:
            ValueError: naming the instance and key.
        """
        rows, memory = self._task.encode(self._description, self._tokenizer, instances)
        return Work([Row(*row) for row in rows], memory)

    def compute(self, rows: list[Row]) -> list[tuple[np.ndarray, ...]]:
        """The outputs of rows run as one batch: for each row its float32 arrays without padding."""
        outputs = self._run(rows)
        return [tuple(self._cut(outputs, number, len(row.input_ids))) for number, row in enumerate(rows)]

    def _run(self, rows):
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
        return self._graph.run(*(columns[name] for name in self._graph.inputs))

    def decode(self, work: Work, outputs: list[tuple[np.ndarray, ...]], top_k: int | None = None) -> list[dict[str, Any]]:
        """A result for each instance.

        Args:
            work: from `encode`.
            outputs: from `compute`, for each of its rows.
            top_k: number of classes or answers in a result.

        Raises:
            FloatingPointError: an output is infinite or NaN.
        """
        if not all(np.isfinite(array).all() for arrays in outputs for array in arrays):
            raise FloatingPointError("an output of the graph is not finite")
        return self._task.decode(self._description, work.memory, outputs, top_k)

    def predict(self, instances: list[Any], batch_size: int = 32, top_k: int | None = None) -> list[dict[str, Any]]:
        """Results of some instances, computed in batches of rows of similar length."""
        if top_k and not self.takes_top_k:
            raise ValueError(f"top_k={top_k}: is for classes, answers and masked words only")
        work = self.encode(instances)
        outputs: dict[int, tuple[np.ndarray, ...]] = {}
        order = sorted(range(len(work.rows)), key=lambda number: len(work.rows[number].input_ids))
        for start in range(0, len(order), batch_size):
            numbers = order[start : start + batch_size]
            outputs |= zip(numbers, self.compute([work.rows[number] for number in numbers]))
        return self.decode(work, [outputs[number] for number in range(len(order))], top_k)

    def _cut(self, outputs: list[np.ndarray], number: int, length: int) -> Iterator[np.ndarray]:
        """One row's part of each output."""
        for output, per_token in zip(outputs, self._task.PER_TOKEN):
            if per_token is None:
                yield output
            else:
                yield output[number, :length] if per_token else output[number]

    def _check(self, path):
        model = self._description.model
        if len(self._tokenizer.tokens) > model.vocab_size:
            raise ValueError(f"{path}: vocab.txt has {len(self._tokenizer.tokens)} tokens, config.json vocab_size={model.vocab_size}")
        length = self.settings.get("seq_length")
        longest = model.max_position_embeddings if model.position_embedding_type == "absolute" else None
        if type(length) is not int or length < 3 or (longest and length > longest):
            raise ValueError(f"{path}: seq_length={length}: a number from 3 to {longest or 'any'} is expected")
        try:
            self._task.check(self.settings)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def _try(self, path):
        """Check that settings, labels, network and graph fit, by running two short rows and the longest possible one."""
        longest = min(self.settings["seq_length"], self._description.model.max_position_embeddings)
        try:
            work = self._encode_shortest()
            self._check_outputs(work.rows)
            self._check_outputs([Row([len(self._tokenizer.tokens) - 1] * longest, [0] * longest, ([0],) * len(self._own_inputs))])
            self.decode(work, self.compute(work.rows))
        except (ValueError, KeyError, IndexError, TypeError, RuntimeError, FloatingPointError) as error:
            raise ValueError(f"{path}: its parts do not fit: {type(error).__name__}: {error}") from None

    def _encode_shortest(self):
        """The Work of two short instances, or of the task's example where it refuses them."""
        keys, _ = self._task.describe(self.settings)
        try:
            return self.encode([dict.fromkeys(keys, "a\na")] * 2)
        except BadInstance:
            return self.encode([self.example] * 2)

    def _check_outputs(self, rows):
        """Check that the graph's outputs for rows of one length are those of the task."""
        expected = self._task.shapes(self.settings, len(self.labels), len(rows), len(rows[0].input_ids))
        names = self._graph.outputs or tuple(expected)
        found = dict(zip_longest(names, (output.shape for output in self._run(rows))))
        if list(found.items()) != list(expected.items()):
            raise ValueError(f"the graph gives {found} for {len(rows)} rows, its task and labels mean {expected}")
