"""Export of a pretrained network: its heads as ONNX nodes. Shapes: B batch, S sequence, H hidden, P masked positions, V vocabulary."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from src.tasks.defaults import settle as settle
from src.tasks.pretrain.objectives import DEFAULT, OBJECTIVES
from src.tasks.pretrain.options import PretrainModel

HEAD = ("masked_lm.dense",)


def make_settings(config: PretrainModel) -> dict[str, Any]:
    """The settings that the bundle keeps: the objective, unless it is the default."""
    return config.trained_settings()


def make_examples(texts: list[list[int]], questions: list[list[int]], settings: dict[str, Any]) -> list[tuple[list[int], list[int]]]:
    """Pairs of tokenised texts on which graph and network are compared."""
    return list(zip(texts, texts[1:]))


def make_inputs(lengths: Sequence[int]) -> dict[str, np.ndarray]:
    """Two masked positions in each row, the first and the last of its tokens between [CLS] and [SEP]: int32 [B, 2]."""
    return {"masked_lm_positions": np.array([[1, length - 2] for length in lengths], np.int32)}


def split_outputs(outputs: Sequence[np.ndarray], rows: int, lengths: Sequence[int]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The outputs by row, with the masked-LM logits [B * P, V] reshaped to [B, P, V]; there are no other outputs."""
    return [outputs[0].reshape(rows, -1, outputs[0].shape[-1]), *outputs[1:]], []


def add_head(graph: Any, encoder: Any, x: str, settings: dict[str, Any]) -> dict[str, tuple[str, tuple[Any, ...]]]:
    """Add logits of the masked tokens [B, P, V], whose last matrix is the word embeddings, and of the objective's pair [B, 2].

    Args:
        graph, encoder: Builder and Encoder of src/export. The graph gets another input, masked_lm_positions [B, P].
        x: name of the hidden states.

    Returns:
        the outputs: name -> (value, sizes).
    """
    scope, words = "masked_lm", "bert.embeddings.word.weight"
    positions = graph.add_input("masked_lm_positions", "batch", "predictions")
    logits = encoder.predict_words(x, positions)  # [B * P, V]
    num_words = len(graph.array(words))
    shape = graph.op("Concat", graph.op("Shape", positions, scope=scope), graph.integers(num_words), axis=0, scope=scope)
    logits = graph.op("Reshape", logits, shape, scope=scope)
    outputs: dict[str, tuple[str, tuple[Any, ...]]] = {"masked_lm_logits": (logits, ("batch", "predictions", num_words))}
    if pair := OBJECTIVES[settings.get("objective", DEFAULT)].pair:
        weight, bias = graph.weight("next_sentence.weight"), graph.weight("next_sentence.bias")
        outputs[f"{pair}_logits"] = (graph.linear_of_rows(encoder.pool(x), weight, bias, "next_sentence"), ("batch", 2))
    return outputs
