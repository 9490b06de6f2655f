"""Weights by our parameter names, from whatever system wrote them: found by path, read, translated, with a record of each tensor."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.formats import huggingface, mindspore_checkpoint, names, series, tensorflow, zoo
from src.formats.origin import Origin

_OURS = ("bert.", "head.", "masked_lm.", "next_sentence.")
_SECOND_NAME = re.compile(r"predictions\.decoder\.(weight|bias)$")
_VOCABULARY_MULTIPLE = 8  # NVIDIA's programs fill their tables up to it with rows that no token has
_PADDLE_ENDINGS = (".pdparams", ".pdopt", ".pdiparams", ".pdmodel")
_PADDLE_FILE = "word_embedding"  # its older form is a folder with a file for each parameter; every BERT has this one
CHECKPOINT = re.compile(r"(.+)-(\d+)_(\d+)\.ckpt")  # this program's and the model zoo's: prefix, epoch, step
OF_WORDS = ("bert.embeddings.word.weight", "masked_lm.bias")


@dataclass(frozen=True)
class Weights:
    """What a file holds.

    kind: huggingface, tensorflow, zoo or mindspore (this program's checkpoints).
    path: the file, shard index or TensorFlow prefix.
    arrays: our name -> array; parameters that we have none for under their own names.
    origins: an Origin of each tensor of the file.
    warnings: lines of text, about what could not be taken.
    """

    kind: str
    path: Path
    arrays: dict
    origins: list
    warnings: tuple = ()


def find(path, kind=None):
    """The weights that a path means.

    Args:
        path: a file, a shard index, the prefix of a TensorFlow checkpoint or one of its files; or a folder: of Hugging Face's weights,
            a TensorFlow checkpoint's, or of `.ckpt` files, of which it is the last by the numbers in their names.
        kind: of Weights, which a folder that has several is asked for first.

    Returns:
        Path of the file, of the index, or the prefix.

    Raises:
        FileNotFoundError: no weights there. ValueError: weights of PaddlePaddle, and no others; checkpoints of several trainings.
    """
    path = Path(path)
    if path.is_dir():
        finders = {"huggingface": huggingface.find, "tensorflow": tensorflow.find_prefix, "mindspore": _find_newest}
        first = "mindspore" if kind == "zoo" else kind
        for name in sorted(finders, key=lambda name: name != first):
            if found := finders[name](path):
                return found
        _refuse_paddle(path)
        looked_for = ", ".join(huggingface.CANDIDATES)
        raise FileNotFoundError(f"{path}: no weights in this folder; looked for {looked_for}, a TensorFlow checkpoint (*.index), *.ckpt")
    _refuse_paddle(path)
    if path.is_file() and path.suffix not in (".index", ".meta") and ".data-" not in path.name:
        return path
    if found := tensorflow.find_prefix(path):
        return found
    if path.is_file():
        raise FileNotFoundError(f"{path}: a part of a TensorFlow checkpoint, whose .index is absent beside it")
    raise FileNotFoundError(f"{path}: no such file or folder, and no {path.name}.index; it should hold the weights to load")


def _refuse_paddle(path):
    if path.is_dir():
        found = any((path / place / _PADDLE_FILE).is_file() for place in ("", "params")) or any(map(_is_paddle, path.iterdir()))
    else:
        found = path.is_file() and (_is_paddle(path) or path.name == _PADDLE_FILE)
    if found:
        instead = "give Google's TensorFlow checkpoint of the network, or its Hugging Face folder"
        raise ValueError(f"{path}: weights of PaddlePaddle, which are not read; {instead}")


def _is_paddle(path):
    return path.suffix in _PADDLE_ENDINGS


def _find_newest(folder):
    """The newest `.ckpt` of a folder; None if it has none."""
    return series.find_newest(folder, list_checkpoints(folder), CHECKPOINT)


def list_checkpoints(folder):
    """All `.ckpt` files of a folder, in no order."""
    return [file for file in Path(folder).glob("*.ckpt") if file.is_file() and not file.name.startswith(".")]  # those are half written


def read(path, kind=None):
    """The weights that a path means, see `find`.

    Raises:
        FileNotFoundError: no weights there. ValueError: damaged, truncated, empty or contradicting files, with their name.
    """
    path, warnings = find(path, kind), ()
    if path.suffix == ".ckpt" and path.is_file():
        raw = mindspore_checkpoint.read(path)
        kind = "zoo" if zoo.is_zoo(raw) else "mindspore"
        translated = zoo.translate(raw) if kind == "zoo" else _translate_ours(raw)
    elif tensorflow.find_prefix(path):
        kind, raw = "tensorflow", tensorflow.read(path)
        translated = _translate_tensorflow(raw)
    else:
        kind, raw = "huggingface", huggingface.read(path)
        untied = _find_untied(raw)
        translated = _translate_huggingface(raw, untied)
        warnings = tuple(f"the masked language model is left out: {name} is not {first}, as it is here" for name, first in untied.items())
    try:
        return Weights(kind, path, *_collect(translated), warnings)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _collect(translated):
    """(arrays by our names, Origins) of pairs of an Origin and its array, or None."""
    arrays, origins = {}, []
    for origin, array in translated:
        origin.name.encode()  # of half a surrogate pair no form can be written
        origins.append(origin)
        if origin.target is None or array is None:
            continue
        if origin.target in arrays:
            raise ValueError(f"parameter {origin.name} occurs twice: {origin.target} is there already")
        arrays[origin.target] = array
    if not arrays:
        raise ValueError("no weights in it")
    return arrays, origins


def to_float32(weights):
    """The same weights with floating-point arrays as float32, the type of all parameters; float64 beyond its range becomes infinite."""
    with np.errstate(over="ignore"):
        return {name: array.astype(np.float32, copy=False) if array.dtype.kind == "f" else array for name, array in weights.items()}


def cut_vocabulary(name, array, num_words):
    """A table of words without the rows that fill it up to a multiple, where there are exactly so many words less."""
    filled = name in OF_WORDS and array.ndim and len(array) == num_words + -num_words % _VOCABULARY_MULTIPLE
    return array[:num_words] if filled else array


def _find_first_name(name):
    """Our name of the parameter whose second name this is; None if it is none."""
    found = _SECOND_NAME.search(name)
    return found and OF_WORDS[found[1] == "bias"]


def _find_untied(raw):
    """Second names that hold something else than the first: name -> the first one's, ours."""
    ours = {names.from_huggingface(name): array for name, array in raw.items()}
    second = {name: first for name in raw if (first := _find_first_name(name)) and first in ours}
    return {name: first for name, first in second.items() if not np.array_equal(ours[first], raw[name], equal_nan=True)}


def _translate_huggingface(raw, untied):
    ours = {names.from_huggingface(name) for name in raw}
    for name, array in raw.items():
        target, remark = names.from_huggingface(name), ""
        if first := _find_first_name(name):
            target = None if first in ours else first
            remark = f"differs from {first}" if name in untied else f"the same as {first}" if first in ours else "its second name"
        elif target is None:
            remark = "a buffer, which follows from the configuration"
        if untied and target and target.startswith("masked_lm."):
            target, remark = None, "of a head whose output layer is its own"
        yield Origin.of(name, array, target, remark), array


def _translate_tensorflow(raw):
    for name, array in raw.items():
        target = names.from_tensorflow(name)
        transposed = target != name and name.endswith("/kernel") and array.ndim == 2
        variable = name.rpartition("/")[0]
        if target == name and names.from_tensorflow(variable) != variable:
            yield Origin.of(name, array, None, "state of the optimiser"), None
        else:
            yield Origin.of(name, array, target, transposed=transposed), array.T if transposed else array


def _translate_ours(raw):
    for name, array in raw.items():
        if name.startswith(_OURS):
            yield Origin.of(name, array, name), array
        else:
            yield Origin.of(name, array, None, "state of a training"), None
