"""The parameters of a network and their shapes, to check without MindSpore that weights fit a configuration."""

import re
from collections.abc import Iterable, Mapping

import numpy as np

from src.config.model import ModelConfig

Sizes = tuple[str | int, ...] | None  # each a setting of ModelConfig or a number; None if no setting gives them
_LAYER = re.compile(r"bert\.encoder\.layers\.(\d+)\.")


def _dense(name: str, size_in: str | int, size_out: str | int) -> dict[str, Sizes]:
    return {f"{name}.weight": (size_out, size_in), f"{name}.bias": (size_out,)}


def _norm(name: str) -> dict[str, Sizes]:
    return {f"{name}.weight": ("hidden_size",), f"{name}.bias": ("hidden_size",)}


# parts that a network may lack entirely
_OPTIONAL: tuple[dict[str, Sizes], ...] = (
    _dense("bert.pooler", "hidden_size", "hidden_size"),
    _dense("masked_lm.dense", "hidden_size", "hidden_size") | _norm("masked_lm.norm") | {"masked_lm.bias": ("vocab_size",)},
    _dense("next_sentence", "hidden_size", 2),
    _dense("head.span", "hidden_size", 2),
    {"head.dense.weight": None, "head.dense.bias": None},
)
POOLER = tuple(_OPTIONAL[0])


def encoder_shapes(model: ModelConfig) -> dict[str, Sizes]:
    """The encoder's parameters: our name -> sizes."""
    shapes: dict[str, Sizes] = {
        "bert.embeddings.word.weight": ("vocab_size", "hidden_size"),
        "bert.embeddings.token_type.weight": ("type_vocab_size", "hidden_size"),
        **_norm("bert.embeddings.norm"),
    }
    if model.position_embedding_type == "absolute":
        shapes["bert.embeddings.position.weight"] = ("max_position_embeddings", "hidden_size")
    for number in range(model.num_hidden_layers):
        layer = f"bert.encoder.layers.{number}"
        for part in ("query", "key", "value", "output"):
            shapes |= _dense(f"{layer}.attention.{part}", "hidden_size", "hidden_size")
        if model.position_embedding_type == "learned":
            assert model.max_relative_position is not None  # ModelConfig fills it in
            table = (2 * model.max_relative_position + 1, model.hidden_size // model.num_attention_heads)
            shapes[f"{layer}.attention.positions.table"] = table
        shapes |= _norm(f"{layer}.attention_norm") | _norm(f"{layer}.output_norm")
        shapes |= _dense(f"{layer}.intermediate", "hidden_size", "intermediate_size")
        shapes |= _dense(f"{layer}.output", "intermediate_size", "hidden_size")
    return shapes


def find_missing(model: ModelConfig, arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Names of the missing parameters of the encoder, and of other parts that are present but incomplete."""
    expected = list(encoder_shapes(model))
    for part in _OPTIONAL:
        if any(name in arrays for name in part):
            expected += part
    return [name for name in expected if name not in arrays]


def check_shapes(model: ModelConfig, arrays: Mapping[str, np.ndarray]) -> None:
    """Check that weights fit a network.

    Raises:
        ValueError: a shape differs, or the encoder has more parameters; names the setting that disagrees.
    """
    shapes = encoder_shapes(model)
    for part in _OPTIONAL:
        shapes |= part
    for name, array in arrays.items():
        layer = _LAYER.match(name)
        if layer and int(layer[1]) >= model.num_hidden_layers:
            raise ValueError(f"num_hidden_layers={model.num_hidden_layers}, and the weights have {name}")
        if name.startswith("bert.") and name not in shapes:
            raise ValueError(f"position_embedding_type={model.position_embedding_type}, and the weights have {name}")
        sizes = shapes.get(name) or ()
        for axis, size in enumerate(sizes):
            number = getattr(model, size) if isinstance(size, str) else size
            if len(array.shape) != len(sizes) or array.shape[axis] != number:
                setting = f"{size}={number}" if isinstance(size, str) else f"the network has {number} there"
                raise ValueError(f"{setting}, and {name} is of shape {array.shape}")


def has_plain_head(arrays: Iterable[str]) -> bool:
    """Whether the task's head is one dense layer, possibly with a CRF, as in other programs; not CNN, RCNN or BiLSTM."""
    head = [name for name in arrays if name.startswith("head.") and not name.startswith("head.span.")]
    return bool(head) and all(name.startswith(("head.dense.", "head.crf.")) for name in head)


def check_heads(model: ModelConfig, arrays: Mapping[str, np.ndarray]) -> None:
    """Check that the arrays of a head fit together, and that all arrays are float32.

    Raises:
        ValueError: naming the array.
    """
    for name, array in arrays.items():
        if array.dtype != np.float32:
            raise ValueError(f"{name} is of type {array.dtype}: numbers with a fraction are expected")
    has_crf = any(name.startswith("head.crf.") for name in arrays)
    if "head.dense.weight" not in arrays:
        if has_crf:
            raise ValueError("head.crf.transitions without head.dense.weight")
        return
    weight, bias = arrays["head.dense.weight"], arrays["head.dense.bias"]
    if weight.ndim != 2 or bias.shape != weight.shape[:1] or 0 in weight.shape:
        raise ValueError(f"head.dense.weight is of shape {weight.shape}, head.dense.bias of {bias.shape}")
    if has_plain_head(arrays) and weight.shape[1] != model.hidden_size:
        raise ValueError(f"hidden_size={model.hidden_size}, and head.dense.weight is of shape {weight.shape}")
    classes = len(bias)
    shapes = {"head.crf.transitions": (classes, classes), "head.crf.start": (classes,), "head.crf.end": (classes,)}
    for name, shape in shapes.items() if has_crf else ():
        if name not in arrays or arrays[name].shape != shape:
            raise ValueError(f"{name} is of shape {arrays[name].shape if name in arrays else None}; of {classes} tags it has {shape}")
