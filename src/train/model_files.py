"""A model's files: load weights of any format into a network, and describe a folder so that it can be loaded by itself."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Parameter, Tensor, nn

from src.config.model import ModelConfig, own_description
from src.files import read_json_object, write_text
from src.formats import weights
from src.log import format_fields, logger, shorten
from src.tasks.task import Description
from src.train import model_card

_CONFIGURATION, _VOCABULARY, _TOKENIZER = "config.json", "vocab.txt", "tokenizer_config.json"
DESCRIBED_BY = (_CONFIGURATION, _VOCABULARY, _TOKENIZER, model_card.NAME)  # the files that describe a folder of checkpoints
SHOWN = 4  # names of parameters in a message
HEAD_HINT = "; see the settings of the head and the labels in the run script's --help"
_PRETRAINING_HEADS = ("masked_lm.", "next_sentence.", "cls.")  # of no use to other tasks


def load_weights(network: nn.Cell, path: Path | str, whole: bool, new_tokens: Mapping[int, Sequence[int]] | None = None) -> None:
    """Load weights into a network, and log what was matched.

    Args:
        path: see `weights.find`.
        whole: whether every parameter must be found (evaluation); otherwise those of the head may stay random (fine-tuning).
        new_tokens: see `weights.grow_vocabulary`.

    Raises:
        ValueError: damaged files, weights of another network, or NaN or infinity in those that are loaded.
    """
    found = weights.read(path)
    path, arrays = found.path, weights.to_float32(found.arrays)
    if new_tokens:
        arrays = {name: weights.grow_vocabulary(name, array, new_tokens) for name, array in arrays.items()}
    for warning in found.warnings:
        logger.warning(f"{path}: {warning}")
    parameters = network.parameters_dict()
    matched = {name: _cut_vocabulary(name, arrays[name], parameters[name].shape) for name in parameters if name in arrays}
    required = {name for name in parameters if whole or name.startswith("bert.") and not name.startswith("bert.pooler.")}
    reshaped = _drop_reshaped(path, parameters, matched, required)
    missing = [name for name in parameters if name not in matched]
    if lacking := sorted(required.intersection(missing)):
        others = [origin.name for origin in found.origins if origin.target and origin.target not in parameters]
        instead = f"; it has {shorten(others, SHOWN)}" if others and lacking[0].startswith("bert.") else ""
        raise ValueError(f"{path}: is of another network: {shorten(lacking, SHOWN)} missing{instead}{_explain_missing(lacking, arrays)}")
    unexpected = [name for name in arrays if name not in parameters and name.startswith(("bert.", "head.", *_PRETRAINING_HEADS))]
    strange = [name for name in unexpected if not name.startswith((*_PRETRAINING_HEADS, "bert.pooler."))]  # taggers have no pooler
    if whole and strange:
        hint = HEAD_HINT if any(name.startswith("head.") for name in strange) else "; see model.*"
        raise ValueError(f"{path}: is of another network, which has {shorten(strange, SHOWN)} too{hint}")
    set_parameters(path, parameters, matched)
    counts = {"matched": len(matched), "missing": len(missing), "unexpected": len(unexpected), "other_shape": len(reshaped)}
    logger.info(f"weights from {path}: {format_fields(counts)}")
    if unexpected:
        logger.info(f"not used: {shorten(unexpected, SHOWN)}")
    if missing:
        logger.warning(f"stays random: {shorten(missing, SHOWN)}")


def _drop_reshaped(path: Path | str, parameters: Mapping[str, Parameter], arrays: dict[str, np.ndarray], required: set[str]) -> list[str]:
    """Remove the arrays whose shape is not the parameter's; a ValueError if one is required. Returns their names."""
    reshaped = [name for name, array in arrays.items() if array.shape != tuple(parameters[name].shape)]
    for name in reshaped:
        if name in required:
            shapes = f"{arrays[name].shape}, the network {tuple(parameters[name].shape)}"
            raise ValueError(f"{path}: {name} has shape {shapes}{HEAD_HINT if name.startswith('head.') else ''}")
        del arrays[name]
    return reshaped


def _explain_missing(lacking: Iterable[str], arrays: Iterable[str]) -> str:
    """The end of a message: what to do about parameters that a file lacks."""
    if not any(name.startswith("head.") for name in lacking):
        return ""
    has_head = any(name.startswith("head.") for name in arrays)
    return HEAD_HINT if has_head else "; it is pretrained and has no head: --do_train true trains one"


def _cut_vocabulary(name: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A table of words without the rows that only pad it to a multiple, if the network's table has no such rows."""
    if name not in weights.OF_WORDS:
        return array
    cut = weights.cut_vocabulary(name, array, shape[0])
    if len(cut) < len(array):
        logger.info(f"{name}: {len(array)} rows, of which the last {len(array) - shape[0]} only fill up the vocabulary of {shape[0]}")
    return cut


def set_parameters(path: Path | str, parameters: Mapping[str, Parameter], arrays: Mapping[str, np.ndarray]) -> None:
    """Give parameters the values of the arrays of their names.

    Raises:
        ValueError: NaN or infinity, or another shape; the message begins with `path`.
    """
    broken = [name for name, array in arrays.items() if array.dtype.kind == "f" and not np.isfinite(array).all()]
    if broken:
        raise ValueError(f"{path}: NaN or infinity in {len(broken)} of {len(arrays)} tensors: {shorten(broken, SHOWN)}")
    for name, array in arrays.items():
        parameter = parameters[name]
        if array.shape != tuple(parameter.shape):
            raise ValueError(f"{path}: {name} has shape {array.shape}, the network {tuple(parameter.shape)}")
        parameter.set_data(Tensor(np.array(array), parameter.dtype))  # a copy: the array may be part of a file


def keep_settings(folder: Path | str, trained_with: Mapping[str, Any]) -> None:
    """Replace the settings of the task in a folder that `write_description` described."""
    path = Path(folder) / _CONFIGURATION
    write_text(path, json.dumps({**read_json_object(path), "trained_with": trained_with}, ensure_ascii=False, indent=2) + "\n")


def write_description(folder: Path | str, model: ModelConfig, described: Description) -> None:
    """Write what a checkpoint folder needs to be loaded by itself: config.json, vocab.txt, tokenizer_config.json."""
    config = own_description(dataclasses.asdict(model), described.labels, described.trained_with, described.choices)
    configuration, vocabulary, settings = [Path(folder) / name for name in (_CONFIGURATION, _VOCABULARY, _TOKENIZER)]
    write_text(configuration, json.dumps(config, ensure_ascii=False, indent=2) + "\n")
    if described.tokens:
        write_text(vocabulary, "".join(f"{token}\n" for token in described.tokens))
        write_text(settings, json.dumps(described.tokenizer, ensure_ascii=False) + "\n")
