"""Export of an encoder for embeddings: the settings of its bundle, pooling as ONNX nodes. Shapes: B batch, S sequence, H hidden."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from src.tasks.defaults import make_inputs as make_inputs
from src.tasks.defaults import settle as settle
from src.tasks.embed.options import EmbedModel

HEAD: tuple[str, ...] = ()
_SETTINGS = ("seq_length", "pooling", "normalize")


def make_settings(config: EmbedModel) -> dict[str, Any]:
    """The settings that the bundle keeps, and the length of its vectors."""
    return {**{key: getattr(config, key) for key in _SETTINGS}, "dimensions": config.model.hidden_size}


def make_examples(texts: list[list[int]], questions: list[list[int]], settings: dict[str, Any]) -> list[tuple[list[int], None]]:
    """Single tokenised texts on which graph and network are compared."""
    return [(text, None) for text in texts]


def split_outputs(outputs: Sequence[np.ndarray], rows: int, lengths: Sequence[int]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The outputs by row: the vectors. There are no other outputs."""
    return list(outputs[:1]), []


def add_head(graph: Any, encoder: Any, x: str, settings: dict[str, Any]) -> dict[str, tuple[str, tuple[Any, ...]]]:
    """Add the vectors [B, H] to an ONNX graph: the mean over tokens or the state of [CLS], divided by its length if normalised.

    Args:
        graph, encoder: Builder and Encoder of src/export.
        x: name of the hidden states.

    Returns:
        the outputs: name -> (value, sizes).
    """
    scope = "pooling"
    if settings["pooling"] == "cls":
        x = graph.op("Gather", x, graph.index(0), axis=1, scope=scope)
    else:
        mask = graph.op("Cast", encoder.input_mask, to=1, scope=scope)  # float32 [B, S]
        shares = graph.op("Div", mask, graph.op("ReduceSum", mask, graph.integers(1), keepdims=1, scope=scope), scope=scope)
        x = graph.op("MatMul", graph.op("Unsqueeze", shares, graph.integers(1), scope=scope), x, scope=scope)  # [B, 1, H]
        x = graph.op("Squeeze", x, graph.integers(1), scope=scope)
    if settings["normalize"]:
        squares = graph.op("ReduceSum", graph.op("Mul", x, x, scope=scope), graph.integers(1), keepdims=1, scope=scope)
        length = graph.op("Max", graph.op("Sqrt", squares, scope=scope), graph.floats(1e-12), scope=scope)
        x = graph.op("Div", x, length, scope=scope)
    return {"embeddings": (x, ("batch", encoder.model.hidden_size))}
