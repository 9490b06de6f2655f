"""Export of a classifier: the settings of its bundle, and its head as ONNX nodes, without dropout.

Shapes: B batch, S sequence, H hidden, F filters, C classes.
"""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.formats import weights
from src.log import logger, shorten
from src.tasks import fine_tuning
from src.tasks.classifier.data_sets import make_data_set
from src.tasks.classifier.options import NORM_EPS, ClassifierModel
from src.tasks.classifier.thresholds import find_thresholds
from src.tasks.defaults import make_inputs as make_inputs

HEAD = ("head.dense",)
_SETTINGS = ("task_name", "seq_length", "head", "cnn_batch_norm")
_FILTERS = re.compile(r"head\.filters\.(\d+)\.weight")


def settle(config: ClassifierModel, path: Path | str) -> ClassifierModel:
    """The settings with the labels and their number, which follows from the weights if neither weights nor flags name labels.

    Raises:
        ValueError: num_class contradicts the weights.
    """
    if config.is_regression or config.has_choices:
        labels: tuple[str, ...] = ()
        count = 1
    else:
        labels = config.labels or _guess_labels(config, path)
        count = len(labels)
    if config.task_name == "custom" and not config.columns:
        logger.warning("it is unknown whether the texts were pairs; single texts are assumed, --columns text_a=0,text_b=1 means pairs")
    if config.long_documents != "cut":
        logger.warning(
            f"long_documents={config.long_documents} is ignored: the server cuts a text after seq_length={config.seq_length} tokens"
        )
    if config.num_class not in (None, count):
        raise ValueError(f"num_class={config.num_class}: the weights have {count} classes: {shorten(labels)}")
    return dataclasses.replace(config, labels=labels, num_class=count)


def _guess_labels(config, path):
    known = () if config.task_name == "custom" else make_data_set(config.task_name, None, config.language).labels
    count = len(weights.read(path).arrays.get("head.dense.bias", (0, 0)))  # if absent, load_weights says what to do
    if len(known) != count:
        return tuple(f"LABEL_{number}" for number in range(count))
    fine_tuning.warn_of_order(known)
    return known


def make_settings(config: ClassifierModel) -> dict[str, Any]:
    """The settings that the bundle keeps."""
    data_set = make_data_set(config.task_name, config.columns or "text_a=0", config.language)
    columns = data_set.indexed or data_set.named[0]
    settings = {key: getattr(config, key) for key in _SETTINGS}
    if config.multi_label:
        settings |= {"multi_label": True, "thresholds": find_thresholds(config.thresholds, config.labels).tolist()}
    if config.has_choices:
        settings["choices"] = True
    return settings | {"regression": config.is_regression, "pairs": columns.text_b is not None}


def make_examples(texts: list[list[int]], questions: list[list[int]], settings: dict[str, Any]) -> list[tuple[list[int], Any]]:
    """Tokenised texts, as pairs or each with None, on which graph and network are compared."""
    return list(zip(texts, texts[1:])) if settings["pairs"] else [(text, None) for text in texts]


def split_outputs(outputs: Sequence[np.ndarray], rows: int, lengths: Sequence[int]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The outputs by row: the logits. There are no other outputs."""
    return list(outputs[:1]), []


def add_head(graph: Any, encoder: Any, x: str, settings: dict[str, Any]) -> dict[str, tuple[str, tuple[Any, ...]]]:
    """Add the head's logits [B, C] to an ONNX graph: linear on the pooled [CLS], or cnn or rcnn on all tokens, by the weights' names.

    Returns:
        Output name -> (value, sizes).
    """
    if graph.has("head.filters.0.weight"):
        x = _find_strongest(graph, encoder, x)
    elif graph.has("head.contexts.input_weight"):
        x = _find_contexts(graph, encoder, x)
    else:
        x = encoder.pool(x)
    logits = graph.linear_of_rows(x, graph.weight("head.dense.weight"), graph.weight("head.dense.bias"), "head")
    return {"logits": (logits, ("batch", len(graph.array("head.dense.bias"))))}


def _find_strongest(graph, encoder, x):
    """The cnn head up to its dense layer: [B, S, H] -> [B, 4F].

    A filter over w tokens is a sum of w products, each with one token: one matrix product computes all of them, and its parts are shifted.
    """
    scope, size = "head.filters", encoder.model.hidden_size
    numbers = sorted(int(found[1]) for name in graph.names() if (found := _FILTERS.fullmatch(name)))
    filters = [_fold_norm(graph, number) for number in numbers]
    num_filters = len(filters[0][1])
    widths = [weight.shape[1] // size for weight, _ in filters]
    parts = [weight[:, offset * size : (offset + 1) * size].T for (weight, _), width in zip(filters, widths) for offset in range(width)]
    mask = graph.op("Unsqueeze", graph.op("Cast", encoder.input_mask, to=1, scope=scope), graph.integers(2), scope=scope)  # [B, S, 1]
    products = graph.op("MatMul", graph.op("Mul", x, mask, scope=scope), graph.weight(scope, np.concatenate(parts, 1)), scope=scope)
    behind = graph.integers(0, 0, 0, 0, max(widths) - 1, 0)
    products = graph.op("Pad", products, behind, scope=scope)  # [B, S + 3, 10F]
    products = graph.op("Split", products, graph.integers(*[num_filters] * len(parts)), outputs=len(parts), axis=2, scope=scope)
    length = graph.op("Shape", encoder.input_mask, start=1, end=2, scope=scope)
    strongest, parts = [], iter(products)
    for (_, bias), width, number in zip(filters, widths, numbers):
        y = graph.weight(f"{scope}.{number}.bias.folded", bias)
        for offset in range(width):
            end = graph.op("Add", length, graph.integers(offset), scope=scope)
            y = graph.op("Add", graph.op("Slice", next(parts), graph.integers(offset), end, graph.integers(1), scope=scope), y, scope=scope)
        y = graph.op("Mul", graph.op("Relu", y, scope=scope), mask, scope=scope)  # [B, S, F]
        strongest.append(graph.op("ReduceMax", y, axes=[1], keepdims=0, scope=scope))
    return graph.op("Concat", *strongest, axis=1, scope=scope)


def _fold_norm(graph, number):
    """Weight and bias of a filter, which include the batch normalisation that follows it, if any."""
    weight, bias = graph.array(f"head.filters.{number}.weight"), graph.array(f"head.filters.{number}.bias")
    if not graph.has(f"head.norms.{number}.mean"):
        return weight, bias
    mean, variance, scale, shift = (
        graph.array(f"head.norms.{number}.{part}").astype(np.float64) for part in ("mean", "variance", "weight", "bias")
    )
    scale = scale / np.sqrt(variance + NORM_EPS)
    return (weight * scale[:, None]).astype(np.float32), ((bias - mean) * scale + shift).astype(np.float32)


def _find_contexts(graph, encoder, x):
    """The rcnn head up to its dense layer: [B, S, H] -> [B, H]."""
    scope = "head.joined"
    contexts = encoder.run_lstm("head.contexts", x)
    x = graph.op("Tanh", graph.linear(scope, graph.op("Concat", x, contexts, axis=2, scope=scope)), scope=scope)
    mask = graph.op("Unsqueeze", graph.op("Cast", encoder.input_mask, to=1, scope=scope), graph.integers(2), scope=scope)
    padding = graph.op("Mul", graph.op("Sub", mask, graph.floats(1.0), scope=scope), graph.floats(2.0), scope=scope)  # -2; tanh is above -1
    return graph.op("ReduceMax", graph.op("Add", x, padding, scope=scope), axes=[1], keepdims=0, scope=scope)
