"""Export of a tagger: the settings of its bundle, and its head as ONNX nodes, without dropout.

Shapes: B batch, S sequence, H hidden, C tags, or types of a pointer, D size of its queries and keys.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.config.model import MASK_BIAS
from src.formats.positions import make_rotations
from src.tasks.defaults import make_inputs as make_inputs
from src.tasks.ner.options import NerModel
from src.tasks.ner.tags import list_types, make_tag_set

HEAD = ("head.dense",)
_SETTINGS = ("seq_length", "head", "crf_constraints", "tagged_pieces")


def settle(config: NerModel, path: Path | str) -> NerModel:
    """The settings, with types instead of tags for a pointer.

    Raises:
        ValueError: there are no tags.
    """
    if not config.labels:
        raise ValueError("the weights name no tags: give --labels, the tags in the order of their ids")
    return dataclasses.replace(config, labels=list_types(config.labels)) if config.is_pointer else config


def make_settings(config: NerModel) -> dict[str, Any]:
    """The settings that the bundle keeps."""
    return {key: getattr(config, key) for key in _SETTINGS}


def make_examples(texts: list[list[int]], questions: list[list[int]], settings: dict[str, Any]) -> list[tuple[list[int], None]]:
    """Tokenised texts, each with None as its second text, on which graph and network are compared."""
    return [(text, None) for text in texts]


def split_outputs(outputs: Sequence[np.ndarray], rows: int, lengths: Sequence[int]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The outputs by row: the logits, and the CRF's parameters.

    Logits are set to 0 at padding, where LSTM libraries differ, and where there is no span, as -10000 leaves a precision of 0.001. Those of
    spans, sums of products that may be large, are given by arsinh: large ones are compared by ratio, small ones by difference.
    """
    logits = outputs[0]
    if logits.ndim == 4:
        return [np.arcsinh(np.where(logits > MASK_BIAS / 2, logits, 0))], []
    real = np.arange(logits.shape[1]) < np.array(lengths)[:, None]
    return [logits * real[:, :, None]], list(outputs[1:])


def add_head(graph: Any, encoder: Any, x: str, settings: dict[str, Any]) -> dict[str, tuple[str, tuple[Any, ...]]]:
    """Add logits [B, S, C] to an ONNX graph, by a dense layer after the BiLSTM, if any; and the CRF's scores with its constraints.

    The logits of a pointer are [B, S, C, S].

    Args:
        settings: for a CRF "labels" in id order, which decide the forbidden transitions unless "crf_constraints" is False; for a pointer
            "seq_length", the most positions that its graph takes.

    Returns:
        Output name -> (value, sizes); with a CRF also transitions [C, C], start [C] and end [C].
    """
    if graph.has("head.query.weight"):
        return _add_pointer(graph, encoder, x, settings["seq_length"])
    if graph.has("head.contexts.input_weight"):
        x = encoder.run_lstm("head.contexts", x)
    num_tags = len(graph.array("head.dense.bias"))
    outputs = {"logits": (graph.linear("head.dense", x), ("batch", "length", num_tags))}
    if graph.has("head.crf.start"):
        allowed: tuple[Any, ...] = (True, True, True)
        if settings.get("crf_constraints", True):
            allowed = make_tag_set(settings["labels"]).allowed()
        for name, part in zip(("start", "transitions", "end"), allowed):
            scores = graph.array(f"head.crf.{name}")
            scores = scores + np.where(np.broadcast_to(part, scores.shape), 0.0, MASK_BIAS).astype(np.float32)
            outputs[name] = (graph.weight(f"head.crf.{name}.biased", scores), scores.shape)
        outputs = {name: outputs[name] for name in ("logits", "transitions", "start", "end")}  # in the order of the network's outputs
    return outputs


def _add_pointer(graph, encoder, x, num_positions):
    """The logits of PointerHead in pointer.py."""
    scope, num_types = "head", len(graph.array("head.dense.bias"))
    query, key = graph.linear("head.query", x), graph.linear("head.key", x)  # [B, S, D]
    both = graph.op("Concat", query, key, axis=-1, scope=scope)
    size = len(graph.array("head.query.bias"))
    first = graph.op("Unsqueeze", graph.linear("head.dense", both), graph.integers(3), scope=scope)  # [B, S, C, 1]
    last = graph.op("Transpose", graph.linear("head.last", both), perm=(0, 2, 1), scope=scope)
    last = graph.op("Unsqueeze", last, graph.integers(1), scope=scope)  # [B, 1, C, S]
    length = graph.op("Unsqueeze", encoder.length, graph.integers(0), scope=scope)
    cos, sin, turned = make_rotations(num_positions, size)
    tables = [graph.weight(f"{scope}.{name}", table) for name, table in (("cos", cos), ("sin", sin))]
    tables = [graph.op("Slice", table, graph.integers(0), length, scope=scope) for table in tables]
    turn = graph.weight(f"{scope}.turned", turned)
    query, key = [
        graph.op(
            "Add",
            graph.op("Mul", each, tables[0], scope=scope),
            graph.op("Mul", graph.op("MatMul", each, turn, scope=scope), tables[1], scope=scope),
            scope=scope,
        )
        for each in (query, key)
    ]
    query = graph.op("Mul", query, graph.floats(size**-0.5), scope=scope)
    scores = graph.op("MatMul", query, graph.op("Transpose", key, perm=(0, 2, 1), scope=scope), scope=scope)  # [B, S, S]
    scores = graph.op("Add", scores, _mask_spans(graph, encoder, scope), scope=scope)
    scores = graph.op("Add", graph.op("Unsqueeze", scores, graph.integers(2), scope=scope), first, scope=scope)
    return {"logits": (graph.op("Add", scores, last, scope=scope), ("batch", "length", num_types, "length"))}


def _mask_spans(graph, encoder, scope):
    """0 where first and last token, in this order, are between [CLS] and [SEP], else -10000: float32 [B, S, S]."""
    mask = graph.op("Add", encoder.negate_mask(scope), graph.floats(-MASK_BIAS), scope=scope)  # -MASK_BIAS for real tokens, else 0
    mask = graph.op("Slice", mask, graph.integers(2), graph.integers(1 << 31), graph.integers(1), scope=scope)
    inner = graph.op("Pad", mask, graph.integers(0, 1, 0, 1), scope=scope)  # the next position is real too
    pairs = [graph.op("Unsqueeze", inner, graph.integers(axis), scope=scope) for axis in (2, 1)]
    ordered = graph.op("Trilu", graph.op("Min", *pairs, scope=scope), upper=1, scope=scope)
    return graph.op("Add", ordered, graph.floats(MASK_BIAS), scope=scope)
