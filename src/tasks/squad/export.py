"""Export of a network for questions: the settings of its bundle, and its head as ONNX nodes. Shapes: B batch, S sequence."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from src.tasks.defaults import make_inputs as make_inputs
from src.tasks.defaults import settle as settle
from src.tasks.squad.options import SquadModel

HEAD = ("head.span",)
_SETTINGS = ("seq_length", "doc_stride", "max_query_length", "language", "version_2_with_negative")
_ANSWERS = ("null_score_diff_threshold", "n_best_size", "max_answer_length")


def make_settings(config: SquadModel) -> dict[str, Any]:
    """The settings that the bundle keeps."""
    return {key: getattr(config, key) for key in (*_SETTINGS, *_ANSWERS)}


def make_examples(texts: list[list[int]], questions: list[list[int]], settings: dict[str, Any]) -> list[tuple[list[int], list[int]]]:
    """Pairs of a question and a context, tokenised, on which graph and network are compared."""
    return [(question, text) for question in questions for text in texts]


def split_outputs(outputs: Sequence[np.ndarray], rows: int, lengths: Sequence[int]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The outputs by row: the logits, set to 0 at padding, where -10000 leaves a precision of 0.001. There are no other outputs."""
    real = np.arange(outputs[0].shape[1]) < np.array(lengths)[:, None]
    return [logits * real for logits in outputs], []


def add_head(graph: Any, encoder: Any, x: str, settings: dict[str, Any]) -> dict[str, tuple[str, tuple[Any, ...]]]:
    """Add start and end logits [B, S], lowered at padding, to an ONNX graph.

    Args:
        graph, encoder: Builder and Encoder of src/export.
        x: name of the hidden states.

    Returns:
        the outputs: name -> (value, sizes).
    """
    scope = "head.span"
    parts = graph.op("Split", graph.linear(scope, x), outputs=2, axis=-1, scope=scope)
    bias = encoder.negate_mask(scope)  # [B, S]
    logits = [graph.op("Add", graph.op("Squeeze", part, graph.integers(-1), scope=scope), bias, scope=scope) for part in parts]
    return {name: (value, ("batch", "length")) for name, value in zip(("start_logits", "end_logits"), logits)}
