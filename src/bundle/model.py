"""A model that makes predictions: instances to rows, rows through the graph, outputs to results; and one of an exported bundle."""

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from src.bundle import folder
from src.bundle.fixed_graphs import FixedGraph, FixedGraphs
from src.bundle.graphs import TEXT_INPUTS, open_graph
from src.bundle.rows import Graph, Row, RowGraph
from src.records.vectors import take_vectors
from src.tasks.instances import BadInstance
from src.tasks.task import TASKS
from src.text.objects import take_columns
from src.text.tokenization import Tokenizer


class Work(NamedTuple):
    """Encoded instances: their rows, and the data that decoding needs."""

    rows: list[Row]
    memory: Any


def is_example(value: Any, keys: Sequence[str]) -> bool:
    """Whether a value is an instance with these texts, none of them blank."""
    return isinstance(value, dict) and set(value) == set(keys) and all(isinstance(text, str) and text.strip() for text in value.values())


class Model:
    """A model of a task that answers texts, with what computes its outputs.

    Attributes:
        name, task, settings, labels: see `folder.Description`.
    """

    def __init__(self, description: folder.Description, tokenizer: Tokenizer, graph: Graph):
        self._description, self._tokenizer = description, tokenizer
        self.name = description.name
        self.task = description.task
        self.settings = description.settings
        self.labels = description.labels
        self._task = TASKS[self.task].serving
        self._graph = RowGraph(graph, self._own_inputs, self._task.PER_TOKEN)

    @property
    def _own_inputs(self) -> tuple[str, ...]:
        """The names of the graph's inputs besides those of every encoder."""
        return getattr(self._task, "INPUTS", ())

    @property
    def takes_top_k(self) -> bool:
        """Whether a result is a choice among several, so that top_k is meaningful."""
        return self._task.takes_top_k(self.settings)

    def encode(self, instances: list[Any]) -> Work:
        """The Work of some instances.

        Raises:
            ValueError: naming the instance and key.
        """
        rows, memory = self._task.encode(self._description, self._tokenizer, instances)
        return Work([Row(*row) for row in rows], memory)

    def compute(self, rows: list[Row]) -> list[tuple[np.ndarray, ...]]:
        """The outputs of rows run as one batch: for each row its float32 arrays without padding."""
        return self._graph.compute(rows)

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

    def predict(self, instances: Any, batch_size: int = 32, top_k: int | None = None) -> list[dict[str, Any]]:
        """Results of some instances, computed in batches of rows of similar length.

        Args:
            instances: texts, or dicts with the keys that the task has; also a pandas DataFrame or a Dataset of Hugging Face with columns
                of these names.
            top_k: number of classes or answers in a result.

        Returns:
            For each instance a dict, whose keys docs/serving.md has for each task.

        Raises:
            ValueError: an instance is wrong; the message names it.
        """
        if top_k and not self.takes_top_k:
            raise ValueError(f"top_k={top_k}: is for classes, answers and masked words only")
        keys, bare = self._task.describe(self.settings)
        work = self.encode(take_columns(instances, (*keys, "text") if bare else keys))
        return self.decode(work, self._graph.compute_all(work.rows, batch_size), top_k)

    def embed(self, texts: Any, batch_size: int = 32) -> np.ndarray:
        """The vectors of some texts: float32 [texts, H]; a ValueError if the task is another."""
        return take_vectors(self.predict(texts, batch_size))


class Bundle(Model):
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
        description = folder.read(path)
        if not TASKS[description.task].answers:
            raise ValueError(f"{path}: task={description.task}: its graph can be run by other programs, it answers no texts")
        graphs = description.graphs
        self.graph = graph or next(kind for kind in folder.GRAPHS if kind in graphs)
        if self.graph not in graphs:
            raise ValueError(f"{path}: graph={self.graph}: the bundle has {', '.join(graphs)}")
        tokenizer = Tokenizer(description.vocab_file)
        task = TASKS[description.task].serving
        _check(path, description, tokenizer, task)
        keys, _ = task.describe(description.settings)
        self.example: dict[str, Any] = description.settings.get("example") or {key: task.EXAMPLE[key] for key in keys}
        if not is_example(self.example, keys):
            raise ValueError(f"{path}: example={str(self.example)[:80]}: an object with the texts {', '.join(keys)} is expected")
        inputs = (*TEXT_INPUTS, *getattr(task, "INPUTS", ()))
        opened: Any = FixedGraphs(fixed, task.PER_TOKEN) if fixed else open_graph(self.graph, graphs[self.graph], threads, inputs)
        if sorted(opened.inputs) != sorted(inputs):
            raise ValueError(f"{graphs[self.graph]}: its inputs are {', '.join(opened.inputs)}, not {', '.join(inputs)}")
        super().__init__(description, tokenizer, opened)
        self._try(path)

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
        names = self._graph.graph.outputs or tuple(expected)
        found = dict(zip_longest(names, (output.shape for output in self._graph.run(rows))))
        if list(found.items()) != list(expected.items()):
            raise ValueError(f"the graph gives {found} for {len(rows)} rows, its task and labels mean {expected}")


def _check(path, description, tokenizer, task):
    """Raise a ValueError if settings, vocabulary and network do not fit each other."""
    model, settings = description.model, description.settings
    if len(tokenizer.tokens) > model.vocab_size:
        raise ValueError(f"{path}: vocab.txt has {len(tokenizer.tokens)} tokens, config.json vocab_size={model.vocab_size}")
    length = settings.get("seq_length")
    longest = model.max_position_embeddings if model.position_embedding_type == "absolute" else None
    if type(length) is not int or length < 3 or (longest and length > longest):
        raise ValueError(f"{path}: seq_length={length}: a number from 3 to {longest or 'any'} is expected")
    try:
        task.check(settings)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
