"""Export of a tagger: the settings of its bundle, and its head as ONNX nodes, without dropout.

Shapes: B batch, S sequence, H hidden, C tags.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.config.model import MASK_BIAS
from src.tasks.defaults import make_inputs as make_inputs
from src.tasks.ner.options import NerModel
from src.tasks.ner.tags import make_tag_set

HEAD = ("head.dense",)
_SETTINGS = ("seq_length", "use_crf", "with_lstm", "crf_constraints", "tagged_pieces")


def settle(config: NerModel, path: Path | str) -> NerModel:
    """The settings unchanged.

    Raises:
        ValueError: there are no tags.
    """
    if not config.labels:
        raise ValueError("the weights name no tags: give --labels, the tags in the order of their ids")
    return config


def make_settings(config: NerModel) -> dict[str, Any]:
    """The settings that the bundle keeps."""
    return {key: getattr(config, key) for key in _SETTINGS}


def make_examples(texts: list[list[int]], questions: list[list[int]], settings: dict[str, Any]) -> list[tuple[list[int], None]]:
    """Tokenised texts, each with None as its second text, on which graph and network are compared."""
    return [(text, None) for text in texts]


def split_outputs(outputs: Sequence[np.ndarray], rows: int, lengths: Sequence[int]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The outputs by row: the logits, set to 0 at padding, where LSTM libraries differ; and the CRF's parameters."""
    real = np.arange(outputs[0].shape[1]) < np.array(lengths)[:, None]
    return [outputs[0] * real[:, :, None]], list(outputs[1:])


def add_head(graph: Any, encoder: Any, x: str, settings: dict[str, Any]) -> dict[str, tuple[str, tuple[Any, ...]]]:
    """Add logits [B, S, C] to an ONNX graph, by a dense layer after the BiLSTM, if any; and the CRF's scores with its constraints.

    Args:
        settings: for a CRF "labels" in id order, which decide the forbidden transitions unless "crf_constraints" is False.

    Returns:
        Output name -> (value, sizes); with a CRF also transitions [C, C], start [C] and end [C].
    """
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
