"""Which parameters a network has, and of what shapes: whether weights fit a configuration, found without MindSpore."""

import re

import numpy as np

_LAYER = re.compile(r"bert\.encoder\.layers\.(\d+)\.")


def _dense(name, size_in, size_out):
    return {f"{name}.weight": (size_out, size_in), f"{name}.bias": (size_out,)}


def _norm(name):
    return {f"{name}.weight": ("hidden_size",), f"{name}.bias": ("hidden_size",)}


# what a network may lack, as a whole; a size is a setting of ModelConfig, or a number
_OPTIONAL = (
    _dense("bert.pooler", "hidden_size", "hidden_size"),
    _dense("masked_lm.dense", "hidden_size", "hidden_size") | _norm("masked_lm.norm") | {"masked_lm.bias": ("vocab_size",)},
    _dense("next_sentence", "hidden_size", 2),
    _dense("head.span", "hidden_size", 2),
    {"head.dense.weight": None, "head.dense.bias": None},  # its sizes follow from no setting
)
POOLER = tuple(_OPTIONAL[0])


def encoder_shapes(model):
    """Parameters that every network of this shape has: our name -> sizes, each a setting of ModelConfig or a number.

    Args:
        model: ModelConfig.
    """
    shapes = {
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
            table = (2 * model.max_relative_position + 1, model.hidden_size // model.num_attention_heads)
            shapes[f"{layer}.attention.positions.table"] = table
        shapes |= _norm(f"{layer}.attention_norm") | _norm(f"{layer}.output_norm")
        shapes |= _dense(f"{layer}.intermediate", "hidden_size", "intermediate_size")
        shapes |= _dense(f"{layer}.output", "intermediate_size", "hidden_size")
    return shapes


def find_missing(model, arrays):
    """Names of the parameters that weights lack: of the encoder, and of other parts that are there by halves."""
    expected = list(encoder_shapes(model))
    for part in _OPTIONAL:
        if any(name in arrays for name in part):
            expected += part
    return [name for name in expected if name not in arrays]


def check_shapes(model, arrays):
    """See that weights are of this network.

    Raises:
        ValueError: a shape differs, or there is more of an encoder; with the setting that says otherwise.
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
        for place, size in enumerate(shapes.get(name) or ()):
            number = getattr(model, size) if isinstance(size, str) else size
            if len(array.shape) != len(shapes[name]) or array.shape[place] != number:
                setting = f"{size}={number}" if isinstance(size, str) else f"the network has {number} there"
                raise ValueError(f"{setting}, and {name} is of shape {array.shape}")


def has_plain_head(arrays):
    """Whether the task's head is one dense layer, with or without a CRF behind it, as other programs have them; not CNN, RCNN, BiLSTM."""
    head = [name for name in arrays if name.startswith("head.") and not name.startswith("head.span.")]
    return bool(head) and all(name.startswith(("head.dense.", "head.crf.")) for name in head)


def check_heads(model, arrays):
    """See that the arrays of a head belong together, and that all are numbers of one type.

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
