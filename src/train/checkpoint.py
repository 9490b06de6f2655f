"""Checkpoints: one file with parameters, moments, step, loss scale and data position; and weights from other systems."""

import json
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
from mindspore import Tensor

from src.config.model import own_description
from src.files import write_text
from src.formats import mindspore_checkpoint, series, weights
from src.formats.tokenizer_files import list_tokens
from src.log import format_fields, logger, shorten
from src.text.tokenization import read_vocabulary

_POSITION = "data_position"  # int64: a Position, and the values of what resuming must have in common
DESCRIBED_BY = ("config.json", "vocab.txt", "tokenizer_config.json")  # a folder of checkpoints
_SHOWN = 4  # names of parameters in a message
_HEAD_HINT = "; see the settings of the head (run_classifier.py: --head, --cnn_batch_norm, --num_class; run_ner.py: --use_crf, --with_lstm)"
_PRETRAINING_HEADS = ("masked_lm.", "next_sentence.", "cls.")  # another task has no use for them


class DamagedCheckpoint(ValueError):
    """The file is truncated or altered."""


@dataclass(frozen=True)
class Position:
    """Where a training stands: passes over the rows done, rows consumed of the next, and the batch of each rank where it began."""

    epoch: int
    consumed: int
    batch_size: int
    ranks: int

    @property
    def global_batch(self):
        """Rows of a step; stays the same on another number of ranks."""
        return self.batch_size * self.ranks


def save(folder, prefix, cell, epoch, step, position, trained_on, keep):
    """Write `{prefix}-{epoch}_{step}.ckpt` whole, keep it and those of that prefix before it, `keep` in all, and remove the others.

    Those of later steps are removed too: damaged ones, which this training did not go on from.

    Args:
        folder: made if absent.
        prefix: task name, e.g. classifier.
        cell: TrainStep at the end of an update.
        epoch, step: epochs finished or begun, and updates done.
        position: Position.
        trained_on: name -> int of what resuming must have in common.
        keep: checkpoints kept.

    Returns:
        the path.

    Raises:
        FloatingPointError: an array is not finite; nothing is written.
    """
    path = Path(folder) / f"{prefix}-{epoch}_{step}.ckpt"
    arrays = cell.optimizer.split_state({name: parameter.asnumpy() for name, parameter in _state(cell).items()})
    if diverged := [name for name, array in arrays.items() if not np.isfinite([array.min(), array.max()]).all()]:  # no copy of it is made
        raise FloatingPointError(f"{path}: not written, not finite are {shorten(diverged, _SHOWN)}; lower the learning rate")
    arrays[_POSITION] = np.array([*astuple(position), *trained_on.values()], np.int64)
    mindspore_checkpoint.write(path, arrays)
    found = find_checkpoints(folder, prefix)
    position = found.index(path) + 1
    for other in found[: max(position - keep, 0)] + found[position:]:
        other.unlink()
    return path


def _state(cell):
    """The parameters of a TrainStep that outlive an update."""
    return {name: parameter for name, parameter in cell.parameters_dict().items() if not name.startswith("accumulated")}


def find_checkpoints(folder, prefix):
    """The checkpoints of a prefix in a folder in the order of epoch and step, the newest last."""
    return series.group_files(weights.list_checkpoints(folder), weights.CHECKPOINT).get(prefix, [])


def read(path):
    """All arrays of a .ckpt file: dict of name -> NumPy array, read-only.

    Raises:
        FileNotFoundError: no such file. DamagedCheckpoint: truncated, altered, or no .ckpt at all.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    try:
        return mindspore_checkpoint.read(path)
    except ValueError as error:
        raise DamagedCheckpoint(str(error)) from None


def step_of(path):
    """The update number that the name of a checkpoint tells, of a folder that of its newest; 0 for other files."""
    match = weights.CHECKPOINT.fullmatch(weights.find(path).name)
    return int(match[3]) if match else 0


def read_state(path, trained_on):
    """A checkpoint whole, to go on exactly where it was written.

    Args:
        path: written by `save`.
        trained_on: name -> int of what resuming must have in common; others than the checkpoint's are refused.

    Returns:
        (Position, dict of name -> NumPy array).

    Raises:
        ValueError: damaged, weights only, or of other data.
    """
    arrays = read(path)
    if _POSITION not in arrays:
        raise ValueError(f"{path}: holds weights only, no training state; nothing to resume")
    count = len(fields(Position))
    numbers = [int(value) for value in arrays.pop(_POSITION)]
    saved = numbers[count:]
    if len(saved) != len(trained_on):
        raise ValueError(f"{path}: its training state is of an older version; start from its weights instead of resuming")
    for (name, now), before in zip(trained_on.items(), saved):
        if before != now:
            raise ValueError(f"{path}: was trained with another {name}; --resume needs the same")
    return Position(*numbers[:count]), arrays


def restore(path, cell, arrays):
    """Put the arrays that `read_state` gave into a TrainStep.

    Raises:
        ValueError: they are of another network or optimiser, or hold NaN or infinity.
    """
    parameters, arrays = _state(cell), cell.optimizer.join_state(arrays)
    differing = sorted(set(parameters) ^ set(arrays))
    if differing:
        hint = _HEAD_HINT if any("head." in name for name in differing) else ""
        raise ValueError(f"{path}: is of another network or optimiser: {shorten(differing, _SHOWN)} on one side only{hint}")
    _copy(path, parameters, arrays)


def load_weights(network, path, whole):
    """Load weights alone into a network, and report what was matched.

    Args:
        network: any cell.
        path: see `weights.find`.
        whole: every parameter must be found (evaluation); else those of the head may stay random (fine-tuning).

    Raises:
        ValueError: damaged files, weights of another network, or NaN or infinity in those that are loaded.
    """
    found = weights.read(path)
    path, arrays = found.path, weights.to_float32(found.arrays)
    for warning in found.warnings:
        logger.warning(f"{path}: {warning}")
    parameters = network.parameters_dict()
    arrays_here = {name: _cut_vocabulary(name, arrays[name], parameters[name].shape) for name in parameters if name in arrays}
    reshaped = [name for name, array in arrays_here.items() if array.shape != tuple(parameters[name].shape)]
    required = [name for name in parameters if whole or name.startswith("bert.") and not name.startswith("bert.pooler.")]
    for name in reshaped:
        if name in required:
            shapes = f"{arrays_here[name].shape}, the network {tuple(parameters[name].shape)}"
            hint = _HEAD_HINT if name.startswith("head.") else ""
            raise ValueError(f"{path}: {name} has shape {shapes}{hint}")
        del arrays_here[name]
    missing = [name for name in parameters if name not in arrays_here]
    if lacking := sorted(set(missing) & set(required)):
        raise ValueError(f"{path}: is of another network: {shorten(lacking, _SHOWN)} missing{_explain_missing(lacking, arrays)}")
    unexpected = [name for name in arrays if name not in parameters and name.startswith(("bert.", "head.", *_PRETRAINING_HEADS))]
    strange = [name for name in unexpected if not name.startswith((*_PRETRAINING_HEADS, "bert.pooler."))]  # taggers have no pooler
    if whole and strange:
        hint = _HEAD_HINT if any(name.startswith("head.") for name in strange) else "; see model.*"
        raise ValueError(f"{path}: is of another network, which has {shorten(strange, _SHOWN)} too{hint}")
    _copy(path, parameters, arrays_here)
    counts = {"matched": len(arrays_here), "missing": len(missing), "unexpected": len(unexpected), "other_shape": len(reshaped)}
    logger.info(f"weights from {path}: {format_fields(counts)}")
    if unexpected:
        logger.info(f"not used: {shorten(unexpected, _SHOWN)}")
    if missing:
        logger.warning(f"stays random: {shorten(missing, _SHOWN)}")


def _explain_missing(lacking, arrays):
    """What to do about parameters that a file lacks: the end of a message."""
    if not any(name.startswith("head.") for name in lacking):
        return ""
    has_head = any(name.startswith("head.") for name in arrays)
    return _HEAD_HINT if has_head else "; it is pretrained and has no head: --do_train true trains one"


def _cut_vocabulary(name, array, shape):
    """A table of words without the rows that fill it up to a multiple, where the network's has only as many as there are words."""
    if name not in weights.OF_WORDS:
        return array
    cut = weights.cut_vocabulary(name, array, shape[0])
    if len(cut) < len(array):
        logger.info(f"{name}: {len(array)} rows, of which the last {len(array) - shape[0]} only fill up the vocabulary of {shape[0]}")
    return cut


def write_description(folder, model, labels, vocab_file, tokenizer, trained_with):
    """Write what a checkpoint folder needs to be loaded by itself: config.json, vocab.txt, tokenizer_config.json.

    Args:
        folder: of the checkpoints.
        model: ModelConfig as a dict. labels: class names in id order; none in pretraining.
        vocab_file: as used; None where the data came ready-made and the vocabulary is not known.
        tokenizer: `description` of a Tokenizer, or None.
        trained_with: settings of the task that evaluation and prediction need, as a dict.
    """
    config = own_description(model, labels, trained_with)
    configuration, vocabulary, settings = (Path(folder) / name for name in DESCRIBED_BY)
    write_text(configuration, json.dumps(config, ensure_ascii=False, indent=2) + "\n")
    if vocab_file:
        write_text(vocabulary, "".join(f"{token}\n" for token in list_tokens(read_vocabulary(vocab_file))))
        write_text(settings, json.dumps(tokenizer, ensure_ascii=False) + "\n")


def _copy(path, parameters, arrays):
    broken = [name for name, array in arrays.items() if array.dtype.kind == "f" and not np.isfinite(array).all()]
    if broken:
        raise ValueError(f"{path}: NaN or infinity in {len(broken)} of {len(arrays)} tensors: {shorten(broken, _SHOWN)}")
    for name, array in arrays.items():
        parameter = parameters[name]
        if array.shape != tuple(parameter.shape):
            raise ValueError(f"{path}: {name} has shape {array.shape}, the network {tuple(parameter.shape)}")
        parameter.set_data(Tensor(np.array(array), parameter.dtype))  # a copy: the array may be part of a file
