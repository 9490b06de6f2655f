"""Export of a masked language model: the settings of its bundle, its scores as ONNX nodes.

Shapes: B batch, S sequence, H hidden, P positions, V vocabulary, K candidates.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.formats import weights
from src.tasks.fill_mask.options import FillMaskModel
from src.text.tokenization import MASK, read_vocabulary

HEAD = ("masked_lm.dense",)


def settle(config: FillMaskModel, path: Path | str) -> FillMaskModel:
    """The options, for weights that have the head, and a vocabulary that has [MASK].

    Raises:
        ValueError: one of them has not.
    """
    found = weights.read(path)
    if f"{HEAD[0]}.weight" not in found.arrays:
        told = f"; {found.warnings[0]}" if found.warnings else ""
        raise ValueError(f"{found.path}: has no head of a masked language model, which pretrained weights have{told}")
    if config.vocab_file_path and MASK not in read_vocabulary(config.vocab_file_path):
        raise ValueError(f"{config.vocab_file_path}: no {MASK} token, which masked words need")
    return config


def make_settings(config: FillMaskModel) -> dict[str, Any]:
    """The settings that the bundle keeps."""
    return {"seq_length": config.seq_length, "candidates": config.num_candidates, "score_sentences": config.score_sentences}


def make_examples(texts: list[list[int]], questions: list[list[int]], settings: dict[str, Any]) -> list[tuple[list[int], None]]:
    """Single tokenised texts on which graph and network are compared."""
    return [(text, None) for text in texts]


def make_inputs(lengths: Sequence[int]) -> dict[str, np.ndarray]:
    """Two positions in each row, the first and the last of its tokens between [CLS] and [SEP], and two ids: int32 [B, 2] each."""
    positions = np.array([[1, length - 2] for length in lengths], np.int32)
    return {"masked_lm_positions": positions, "masked_lm_ids": np.full_like(positions, 5)}


def split_outputs(outputs: Sequence[np.ndarray], rows: int, lengths: Sequence[int]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The log-probabilities by row; there are no other outputs. Ids of nearly equal candidates may change places."""
    best, _, asked = outputs
    return [best.reshape(rows, -1, best.shape[-1]), asked.reshape(rows, -1)], []


def add_head(graph: Any, encoder: Any, x: str, settings: dict[str, Any]) -> dict[str, tuple[str, tuple[Any, ...]]]:
    """Add candidates [B, P, K] with their ids, and the log-probabilities [B, P] of the ids asked for, to an ONNX graph.

    Args:
        graph, encoder: Builder and Encoder of src/export. The graph gets two more inputs, masked_lm_positions and masked_lm_ids [B, P].
        x: name of the hidden states.

    Returns:
        the outputs: name -> (value, sizes).
    """
    scope, count = "candidates", settings["candidates"]
    positions, ids = (graph.add_input(name, "batch", "predictions") for name in ("masked_lm_positions", "masked_lm_ids"))
    log_probs = graph.op("LogSoftmax", encoder.predict_words(x, positions), axis=-1, scope=scope)  # [B * P, V]
    best, numbers = graph.op("TopK", log_probs, graph.integers(count), outputs=2, axis=-1, scope=scope)
    numbers = graph.op("Cast", numbers, to=1, scope=scope)  # float32, as all outputs are
    column = graph.op("Reshape", ids, graph.integers(-1, 1), scope=scope)
    asked = graph.op("GatherElements", log_probs, column, axis=1, scope=scope)
    rows = graph.op("Shape", positions, scope=scope)
    shape = graph.op("Concat", rows, graph.integers(count), axis=0, scope=scope)
    sizes = ("batch", "predictions", count)
    return {
        "top_log_probs": (graph.op("Reshape", best, shape, scope=scope), sizes),
        "top_ids": (graph.op("Reshape", numbers, shape, scope=scope), sizes),
        "log_probs": (graph.op("Reshape", asked, rows, scope=scope), ("batch", "predictions")),
    }
