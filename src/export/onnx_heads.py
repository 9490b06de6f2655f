"""Heads of the tasks (network.py in its folder) as ONNX nodes, without dropout.

Each function gives the outputs: name -> (value, sizes). Which parts a head has is told by the weights' names.

Shapes: B batch, S sequence, H hidden, U = H // 2 units of an LSTM, F filters, C classes, P masked positions, V vocabulary.
"""

import re

import numpy as np

from src.export.onnx_encoder import negate_mask
from src.tasks.ner.tags import make_tag_set

_EPS = 1e-5  # of the batch normalisation
_FORBIDDEN = -10000.0  # as models/crf.py
_FILTERS = re.compile(r"head\.filters\.(\d+)\.weight")
_NAMES = {"classifier": ("head.dense",), "ner": ("head.dense",), "squad": ("head.span",), "pretrain": ("masked_lm.dense", "next_sentence")}


def check_head(arrays, task):
    """Raises: ValueError: the weights have no head of the task."""
    for name in _NAMES[task]:
        if f"{name}.weight" not in arrays:
            raise ValueError(f"the weights have no {name}.weight: they are of no network that was trained for {task}")


def classify(graph, encoder, x, settings):
    """linear on the pooled [CLS], cnn or rcnn on all tokens: logits [B, C]."""
    if graph.has("head.filters.0.weight"):
        x = _find_strongest(graph, encoder, x)
    elif graph.has("head.contexts.input_weight"):
        x = _find_contexts(graph, encoder, x)
    else:
        x = encoder.pool(x)
    logits = graph.linear_of_rows(x, graph.weight("head.dense.weight"), graph.weight("head.dense.bias"), "head")
    return {"logits": (logits, ("batch", len(graph.array("head.dense.bias"))))}


def tag(graph, encoder, x, settings):
    """A dense layer on every token, behind a BiLSTM if there is one: logits [B, S, C]; and a CRF's scores, the forbidden ones too."""
    if graph.has("head.contexts.input_weight"):
        x = run_lstm(graph, "head.contexts", x, encoder.input_mask)
    num_tags = len(graph.array("head.dense.bias"))
    outputs = {"logits": (graph.linear("head.dense", x), ("batch", "length", num_tags))}
    if graph.has("head.crf.start"):
        allowed = make_tag_set(settings["labels"]).allowed() if settings.get("crf_constraints", True) else (True, True, True)
        for name, part in zip(("start", "transitions", "end"), allowed):
            scores = graph.array(f"head.crf.{name}")
            scores = scores + np.where(np.broadcast_to(part, scores.shape), 0.0, _FORBIDDEN).astype(np.float32)
            outputs[name] = (graph.weight(f"head.crf.{name}.biased", scores), scores.shape)
        outputs = {name: outputs[name] for name in ("logits", "transitions", "start", "end")}  # the order of models/tagger.py
    return outputs


def find_span(graph, encoder, x, settings):
    """Start and end logits [B, S], padding taken out."""
    scope = "head.span"
    logits = graph.op("Split", graph.linear(scope, x), outputs=2, axis=-1, scope=scope)
    bias = negate_mask(graph, encoder.input_mask, scope)  # [B, S]
    parts = [graph.op("Add", graph.op("Squeeze", part, graph.integers(-1), scope=scope), bias, scope=scope) for part in logits]
    return {"start_logits": (parts[0], ("batch", "length")), "end_logits": (parts[1], ("batch", "length"))}


def pretrain(graph, encoder, x, settings):
    """Logits of the masked tokens [B, P, V], the last matrix the word embeddings, and of the next sentence [B, 2]."""
    model, scope, words = encoder.model, "masked_lm", "bert.embeddings.word.weight"
    positions = graph.add_input("masked_lm_positions", "batch", "predictions")
    places = graph.op("Cast", graph.op("Unsqueeze", positions, graph.integers(-1), scope=scope), to=7, scope=scope)  # [B, P, 1]
    masked = graph.op("GatherND", x, places, batch_dims=1, scope=scope)  # [B, P, H]
    masked = graph.op("Reshape", masked, graph.integers(-1, model.hidden_size), scope=scope)
    masked = graph.activate(model.hidden_act, graph.linear(f"{scope}.dense", masked), scope)
    masked = graph.normalise(f"{scope}.norm", masked, model.layer_norm_eps)
    table = graph.op("Transpose", graph.weight(words), perm=(1, 0), scope=scope)  # a Gemm's own would be lost on onnxruntime's quantiser
    logits = graph.op("Add", graph.op("MatMul", masked, table, scope=scope), graph.weight("masked_lm.bias"), scope=scope)  # [B * P, V]
    num_words = len(graph.array(words))
    shape = graph.op("Concat", graph.op("Shape", positions, scope=scope), graph.integers(num_words), axis=0, scope=scope)
    logits = graph.op("Reshape", logits, shape, scope=scope)
    weight, bias = graph.weight("next_sentence.weight"), graph.weight("next_sentence.bias")
    next_sentence = graph.linear_of_rows(encoder.pool(x), weight, bias, "next_sentence")
    return {"masked_lm_logits": (logits, ("batch", "predictions", num_words)), "next_sentence_logits": (next_sentence, ("batch", 2))}


def run_lstm(graph, name, x, input_mask):
    """Hidden states from the left and from the right over each row's real tokens: [B, S, H] -> [B, S, 2U], 0 at padding."""
    units = graph.array(f"{name}.hidden_weight").shape[2]
    names = [f"{name}.{part}_weight" for part in ("input", "hidden")]
    weights = [graph.weight(f"{part}.iofc", _reorder(graph.array(part), 1)) for part in names]
    bias = _reorder(graph.array(f"{name}.bias"), 2)[:, 0]  # [2, 4U]; ONNX has a second one, of the recurrence
    bias = graph.weight(f"{name}.bias.iofc", np.concatenate((bias, np.zeros_like(bias)), 1))
    lengths = graph.op("ReduceSum", input_mask, graph.integers(1), keepdims=0, scope=name)
    x = graph.op("Transpose", x, perm=(1, 0, 2), scope=name)  # [S, B, H]
    states = graph.op("LSTM", x, *weights, bias, lengths, hidden_size=units, direction="bidirectional", scope=name)  # [S, 2, B, U]
    states = graph.op("Transpose", states, perm=(2, 0, 1, 3), scope=name)
    return graph.op("Reshape", states, graph.integers(0, 0, 2 * units), scope=name)


def _reorder(array, axis):
    """Gates i f g o, as ours are, to ONNX's i o f c."""
    i, f, g, o = np.split(array, 4, axis)
    return np.concatenate((i, o, f, g), axis)


def _find_strongest(graph, encoder, x):
    """The cnn head up to its dense layer: [B, S, H] -> [B, 4F].

    A filter over w tokens is the sum of w products, each of one token: all of them are one matrix product here, and shifts of its parts.
    """
    scope, size = "head.filters", encoder.model.hidden_size
    numbers = sorted(int(found[1]) for name in graph.names() if (found := _FILTERS.fullmatch(name)))
    filters = [_fold_norm(graph, number) for number in numbers]
    num_filters = len(filters[0][1])
    widths = [weight.shape[1] // size for weight, _ in filters]
    parts = [weight[:, place * size : (place + 1) * size].T for (weight, _), width in zip(filters, widths) for place in range(width)]
    mask = graph.op("Unsqueeze", graph.op("Cast", encoder.input_mask, to=1, scope=scope), graph.integers(2), scope=scope)  # [B, S, 1]
    products = graph.op("MatMul", graph.op("Mul", x, mask, scope=scope), graph.weight(scope, np.concatenate(parts, 1)), scope=scope)
    behind = graph.integers(0, 0, 0, 0, max(widths) - 1, 0)
    products = graph.op("Pad", products, behind, scope=scope)  # [B, S + 3, 10F]
    products = graph.op("Split", products, graph.integers(*[num_filters] * len(parts)), outputs=len(parts), axis=2, scope=scope)
    length = graph.op("Shape", encoder.input_mask, start=1, end=2, scope=scope)
    strongest, parts = [], iter(products)
    for (_, bias), width, number in zip(filters, widths, numbers):
        y = graph.weight(f"{scope}.{number}.bias.folded", bias)
        for place in range(width):
            end = graph.op("Add", length, graph.integers(place), scope=scope)
            y = graph.op("Add", graph.op("Slice", next(parts), graph.integers(place), end, graph.integers(1), scope=scope), y, scope=scope)
        y = graph.op("Mul", graph.op("Relu", y, scope=scope), mask, scope=scope)  # [B, S, F]
        strongest.append(graph.op("ReduceMax", y, axes=[1], keepdims=0, scope=scope))
    return graph.op("Concat", *strongest, axis=1, scope=scope)


def _fold_norm(graph, number):
    """Weight and bias of a filter, with the batch normalisation behind it, if there is one, in them."""
    weight, bias = graph.array(f"head.filters.{number}.weight"), graph.array(f"head.filters.{number}.bias")
    if not graph.has(f"head.norms.{number}.mean"):
        return weight, bias
    mean, variance, scale, shift = (
        graph.array(f"head.norms.{number}.{part}").astype(np.float64) for part in ("mean", "variance", "weight", "bias")
    )
    scale = scale / np.sqrt(variance + _EPS)
    return (weight * scale[:, None]).astype(np.float32), ((bias - mean) * scale + shift).astype(np.float32)


def _find_contexts(graph, encoder, x):
    """The rcnn head up to its dense layer: [B, S, H] -> [B, H]."""
    scope = "head.joined"
    contexts = run_lstm(graph, "head.contexts", x, encoder.input_mask)
    x = graph.op("Tanh", graph.linear(scope, graph.op("Concat", x, contexts, axis=2, scope=scope)), scope=scope)
    mask = graph.op("Unsqueeze", graph.op("Cast", encoder.input_mask, to=1, scope=scope), graph.integers(2), scope=scope)
    padding = graph.op("Mul", graph.op("Sub", mask, graph.floats(1.0), scope=scope), graph.floats(2.0), scope=scope)  # -2; tanh is above -1
    return graph.op("ReduceMax", graph.op("Add", x, padding, scope=scope), axes=[1], keepdims=0, scope=scope)
