"""Checkpoints of the MindSpore model zoo's BERT: their parameters in our form, and the network's shape, which is written nowhere else.

Source: the model zoo's src/bert_model.py, finetune_eval_model.py, CRF.py; mindspore/nn/layer/rnns.py for the LSTM.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from src.formats import mindspore_checkpoint, names
from src.formats.origin import Origin

_BACKBONE = re.compile(r"^(bert\.)+(bert_embedding_lookup|bert_embedding_postprocessor|bert_encoder)\.")
_LSTM = re.compile(r"^(?:bert\.)+lstm\.(weight_ih|weight_hh|bias_ih|bias_hh)_l0(_reverse)?$")
_LSTM_PARTS = {"weight_ih": "input_weight", "weight_hh": "hidden_weight", "bias_ih": "bias", "bias_hh": "bias"}
_CRF = ("loss.transitions", "loss.transition_matrix")  # the second name is r0.x's
EPS = 1e-7  # the default of MindSpore's layer normalisation
_TAG_LOGITS = ("head.dense.weight", "head.dense.bias")
_O = 0  # the tag outside of entities
_HEAD_SIZE = 64  # of every network that the zoo trained


def is_zoo(tensors: Collection[str]) -> bool:
    """Whether the names of these tensors are the model zoo's."""
    return any(_BACKBONE.match(name) for name in tensors)


def translate(tensors: Mapping[str, np.ndarray]) -> Iterator[tuple[Origin, np.ndarray | None]]:
    """Pairs of an Origin and our array for the tensors of a checkpoint: several for a tensor that is split, and None for no array.

    Raises:
        ValueError: a malformed CRF, or an incomplete LSTM.
    """
    relative = _has_relative_positions(tensors)
    lstm = _join_lstm(tensors)
    crf_length = next((tensors[name].shape[:1] for name in _CRF if name in tensors), None)
    for name, array in tensors.items():
        target = names.from_zoo(name)
        if name in _CRF:
            for part, values in convert_crf(array).items():
                yield Origin.of(name, array, f"head.crf.{part}", "split"), values
        elif match := _LSTM.match(name):
            target = f"head.contexts.{_LSTM_PARTS[match[1]]}"
            yield Origin.of(name, array, target, "joined"), lstm.pop(target, None)
        elif target == "bert.embeddings.position.weight" and relative:
            yield Origin.of(name, array, None, "not used beside relative positions"), None
        elif target == name:
            yield Origin.of(name, array, None, "state of a training, or unknown"), None
        elif target in _TAG_LOGITS and array.shape[:1] == crf_length:
            yield Origin.of(name, array, target, "without <START> and <STOP>"), array[:-2]
        else:
            yield Origin.of(name, array, target), array


def _has_relative_positions(tensors: Collection[str]) -> bool:
    return any(name.endswith(("embeddings_table", "embeddings_for_position")) for name in tensors)


def _join_lstm(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Our three arrays, which join the directions and add the two biases; empty without an LSTM."""
    parts = {match.groups(): array for name, array in tensors.items() if (match := _LSTM.match(name))}
    if not parts:
        return {}
    if len(parts) < 2 * len(_LSTM_PARTS):
        raise ValueError(f"its LSTM has {len(parts)} of {2 * len(_LSTM_PARTS)} parameters")
    directions = (None, "_reverse")
    return {
        "head.contexts.input_weight": np.stack([parts["weight_ih", direction] for direction in directions]),
        "head.contexts.hidden_weight": np.stack([parts["weight_hh", direction] for direction in directions]),
        "head.contexts.bias": np.stack([(parts["bias_ih", direction] + parts["bias_hh", direction])[None] for direction in directions]),
    }


def describe(path: Path | str) -> dict[str, Any]:
    """The shape of the network in one of the zoo's checkpoints, under the names of ModelConfig; empty for other checkpoints.

    The arrays' shapes determine everything but the head size, which is that of the table of relative positions, or else 64.
    The zoo's GELU is the tanh form, and its layer normalisation has MindSpore's epsilon.

    Raises:
        ValueError: the checkpoint is damaged.
    """
    tensors = mindspore_checkpoint.read(path, check=False)
    if not is_zoo(tensors):
        return {}
    shapes = {names.from_zoo(name): array.shape for name, array in tensors.items()}
    try:
        return _describe(shapes, _has_relative_positions(tensors))
    except KeyError as error:
        raise ValueError(f"{path}: a checkpoint of the model zoo without {error.args[0]}") from None
    except (ValueError, IndexError, ZeroDivisionError):
        raise ValueError(f"{path}: a checkpoint of the model zoo with tensors of shapes that no network has") from None


def _describe(shapes: Mapping[str, tuple[int, ...]], relative: bool) -> dict[str, Any]:
    vocab_size, hidden_size = shapes["bert.embeddings.word.weight"]
    layers = {int(match[1]) for name in shapes if (match := re.match(r"bert\.encoder\.layers\.(\d+)\.", name))}
    if absent := set(range(len(layers))) - layers:
        raise KeyError(f"bert.encoder.layers.{min(absent)}")
    model: dict[str, Any] = {
        "vocab_size": vocab_size,
        "hidden_size": hidden_size,
        "num_hidden_layers": len(layers),
        "num_attention_heads": max(hidden_size // _HEAD_SIZE, 1),
        "intermediate_size": shapes["bert.encoder.layers.0.intermediate.weight"][0],
        "type_vocab_size": shapes["bert.embeddings.token_type.weight"][0],
        "hidden_act": "gelu_tanh",
        "layer_norm_eps": EPS,
    }
    if relative:
        rows, head_size = shapes["bert.encoder.layers.0.attention.positions.table"]
        model |= {"position_embedding_type": "learned", "max_relative_position": rows // 2}
        model["num_attention_heads"] = hidden_size // head_size
    if "bert.embeddings.position.weight" in shapes:
        model["max_position_embeddings"] = shapes["bert.embeddings.position.weight"][0]
    return model


def convert_crf(transitions: np.ndarray) -> dict[str, np.ndarray]:
    """The three parameters of our Crf, from the zoo's single one.

    The zoo's paths include [CLS], [SEP] and padding, all trained to be O; ours cover only the tokens between. Therefore the scores of
    our first tag are those of coming from O, and the scores of our last tag those of going to O. <START> and <STOP> are dropped: they
    were never trained beside any tag but O.

    Args:
        transitions: float [C + 2, C + 2], scores [to, from]; the last two tags are <START> and <STOP>.

    Returns:
        transitions [C, C], scores [from, to]; start [C]; end [C].

    Raises:
        ValueError: the matrix is not square, or has no tag beside the two.
    """
    transitions = np.asarray(transitions)
    if transitions.ndim != 2 or transitions.shape[0] != transitions.shape[1] or len(transitions) < 3:
        raise ValueError(f"transitions of shape {transitions.shape}: [C + 2, C + 2] is expected")
    ours = transitions[:-2, :-2].T
    return {"transitions": ours, "start": ours[_O], "end": ours[:, _O]}
