"""An independent implementation of BERT (Devlin et al. 2018) and NEZHA (Wei et al. 2019) in NumPy and float64, bottom up.

`python -m src.convert` proves a conversion with it where the source's own library is absent; the tests check src/models and src/export
against it. Parameters are converted to float64 one at a time, so that a large network needs little more memory than its weights.

Shapes: B batch, S sequence, H hidden, N heads, D = H / N head size, V vocabulary, C classes.
"""

import math
from collections.abc import Mapping

import numpy as np
from scipy.special import erf, softmax

from src.config.model import MASK_BIAS, ModelConfig
from src.convert.parameters import has_plain_head
from src.formats.positions import make_sinusoids

BLOCK = 4096  # rows of the word embeddings that are float64 at a time


def _linear(weights, name, x):
    """x W^T + b: [..., I] -> [..., O]."""
    return x @ weights[f"{name}.weight"].astype(np.float64).T + weights[f"{name}.bias"].astype(np.float64)


def _normalise(weights, name, x, eps):
    """Layer normalisation over the last axis."""
    centred = x - x.mean(-1, keepdims=True)
    x = centred / np.sqrt((centred * centred).mean(-1, keepdims=True) + eps)
    return x * weights[f"{name}.weight"].astype(np.float64) + weights[f"{name}.bias"].astype(np.float64)


def _activate(kind, x):
    if kind == "relu":
        return np.maximum(x, 0.0)
    if kind == "gelu":
        return 0.5 * x * (1.0 + erf(x / math.sqrt(2.0)))
    assert kind in ("gelu_tanh", "gelu_new"), kind
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def _embed(model, weights, input_ids, token_type_ids):
    """Sum of word, segment and absolute position embeddings, normalised: [B, S] -> [B, S, H]."""
    x = weights["bert.embeddings.word.weight"][input_ids].astype(np.float64)
    x += weights["bert.embeddings.token_type.weight"][token_type_ids]
    if model.position_embedding_type == "absolute":
        x += weights["bert.embeddings.position.weight"][: input_ids.shape[1]]
    return _normalise(weights, "bert.embeddings.norm", x, model.layer_norm_eps)


def _relate(model, weights, name, seq_length):
    """NEZHA's vector a_ij for each pair of positions, the table's row for the clipped distance j - i: [S, S, D]."""
    distance = model.max_relative_position
    if model.position_embedding_type == "learned":
        table = weights[f"{name}.positions.table"]
    else:
        table = make_sinusoids(distance, model.hidden_size // model.num_attention_heads)
    positions = np.arange(seq_length)
    return table[np.clip(positions[None, :] - positions[:, None], -distance, distance) + distance].astype(np.float64)


def _attend(model, weights, name, x, mask_bias):
    """softmax(q_i . (k_j + a_ij) / sqrt D + mask) (v_j + a_ij) for every head, then the output projection; BERT has no a_ij."""
    batch_size, seq_length, hidden_size = x.shape
    head_size = hidden_size // model.num_attention_heads
    heads = (batch_size, seq_length, model.num_attention_heads, head_size)
    query = _linear(weights, f"{name}.query", x).reshape(heads).swapaxes(1, 2)  # [B, N, S, D]
    key = _linear(weights, f"{name}.key", x).reshape(heads).swapaxes(1, 2)
    value = _linear(weights, f"{name}.value", x).reshape(heads).swapaxes(1, 2)
    relations = None if model.position_embedding_type == "absolute" else _relate(model, weights, name, seq_length)
    scores = query @ key.swapaxes(2, 3)  # [B, N, S, S]
    if relations is not None:
        scores += np.einsum("bnid,ijd->bnij", query, relations)
    probs = softmax(scores / math.sqrt(head_size) + mask_bias, -1)
    context = probs @ value  # [B, N, S, D]
    if relations is not None:
        context += np.einsum("bnij,ijd->bnid", probs, relations)
    return _linear(weights, f"{name}.output", context.swapaxes(1, 2).reshape(x.shape))


def _run_layer(model, weights, name, x, mask_bias):
    """One transformer layer, attention and feed-forward, each with residual and normalisation: [B, S, H] -> [B, S, H]."""
    y = _attend(model, weights, f"{name}.attention", x, mask_bias)
    x = _normalise(weights, f"{name}.attention_norm", x + y, model.layer_norm_eps)
    y = _linear(weights, f"{name}.output", _activate(model.hidden_act, _linear(weights, f"{name}.intermediate", x)))
    return _normalise(weights, f"{name}.output_norm", x + y, model.layer_norm_eps)


def _predict_words(model, weights, x):
    """Logits of the masked language model at every position; its last matrix is the word embeddings': [B, S, H] -> [B, S, V]."""
    x = _activate(model.hidden_act, _linear(weights, "masked_lm.dense", x))
    x = _normalise(weights, "masked_lm.norm", x, model.layer_norm_eps)
    table = weights["bert.embeddings.word.weight"]
    blocks = [x @ table[start : start + BLOCK].astype(np.float64).T for start in range(0, len(table), BLOCK)]
    return np.concatenate(blocks, -1) + weights["masked_lm.bias"]


def _has(weights, *names):
    return all(f"{name}.{suffix}" in weights for name in names for suffix in ("weight", "bias"))


def run(
    model: ModelConfig, weights: Mapping[str, np.ndarray], input_ids: np.ndarray, input_mask: np.ndarray, token_type_ids: np.ndarray
) -> dict[str, np.ndarray]:
    """Hidden states of all layers, and the outputs of those heads whose parameters are among the weights.

    Args:
        weights: floating-point arrays by our parameter names; each is read when it is needed.
        input_ids, input_mask, token_type_ids: int [B, S]; the mask is 1 for real tokens.

    Returns:
        float64 arrays in this order: "embeddings", "layer 0", ... [B, S, H]; "pooled" [B, H]; "masked_lm" [B, S, V];
        "next_sentence" [B, 2]; "head" [B, C], without a pooler [B, S, C]; "span" [B, S, 2], start and end, padding included.
    """
    mask_bias = (1.0 - input_mask[:, None, None, :]) * MASK_BIAS  # [B, 1, 1, S]
    x = _embed(model, weights, input_ids, token_type_ids)
    outputs = {"embeddings": x}
    for number in range(model.num_hidden_layers):
        x = outputs[f"layer {number}"] = _run_layer(model, weights, f"bert.encoder.layers.{number}", x, mask_bias)
    pooled = None
    if _has(weights, "bert.pooler"):
        pooled = outputs["pooled"] = np.tanh(_linear(weights, "bert.pooler", x[:, 0]))
    if _has(weights, "masked_lm.dense", "masked_lm.norm") and "masked_lm.bias" in weights:
        outputs["masked_lm"] = _predict_words(model, weights, x)
    if _has(weights, "next_sentence") and pooled is not None:
        outputs["next_sentence"] = _linear(weights, "next_sentence", pooled)
    if _has(weights, "head.dense") and has_plain_head(weights):
        outputs["head"] = _linear(weights, "head.dense", x if pooled is None else pooled)
    if _has(weights, "head.span"):
        outputs["span"] = _linear(weights, "head.span", x)
    return outputs
