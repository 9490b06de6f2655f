"""Weights of any system under our parameter names: found by path, read, translated, with a record of each tensor."""

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.files import HDF5, HEAD_BYTES, ZIP, refuse_pointer
from src.formats import huggingface, mindspore_checkpoint, names, series, tensorflow, zoo
from src.formats.origin import Origin

_OURS = ("bert.", "head.", "masked_lm.", "next_sentence.")
_SECOND_NAME = re.compile(r"predictions\.decoder\.(weight|bias)$")
_VOCABULARY_MULTIPLE = 8  # NVIDIA's programs pad their tables to a multiple of this with rows without a token
_PADDLE_ENDINGS = (".pdparams", ".pdopt", ".pdiparams", ".pdmodel")
_PADDLE_FILE = "word_embedding"  # PaddlePaddle's older format has a file for each parameter; every BERT has this one
_INSTEAD = "give Google's TensorFlow checkpoint of the network, or its Hugging Face folder"
CHECKPOINT = re.compile(r"(.+)-(\d+)_(\d+)\.ckpt")  # prefix, epoch, step, as this program and the model zoo write them
BEST = "best"  # subfolder of a folder of checkpoints, with the best one of the training
OF_WORDS = ("bert.embeddings.word.weight", "masked_lm.bias")  # parameters with a row for each word


@dataclass(frozen=True)
class Weights:
    """The content of a weights file.

    kind: huggingface, tensorflow, zoo or mindspore (this program's checkpoints).
    path: the file, shard index or TensorFlow prefix.
    arrays: our name -> array; parameters unknown to us keep their own names.
    origins: the Origin of each tensor in the file.
    warnings: lines of text about tensors that could not be taken.
    """

    kind: str
    path: Path
    arrays: dict[str, np.ndarray]
    origins: list[Origin]
    warnings: tuple[str, ...] = ()


def find(path: Path | str, kind: str | None = None, use_best: bool = True) -> Path:
    """The weights file, shard index or TensorFlow prefix that a path refers to.

    Args:
        path: a file, a shard index, the prefix of a TensorFlow checkpoint or one of its files; or a folder with Hugging Face's weights,
            a TensorFlow checkpoint, or `.ckpt` files, of which the last is taken by the numbers in their names.
        kind: the kind of Weights to look for first in a folder.
        use_best: whether the best checkpoint of a training is taken before its last one, if it is kept in the subfolder `best`.

    Raises:
        FileNotFoundError: no weights there. ValueError: weights in a form that is not read, such as PaddlePaddle's; checkpoints of
            several trainings.
    """
    found = _find(Path(path), kind, use_best)
    if found.is_file():
        _refuse_others(found)
    return found


def _find(path: Path, kind: str | None, use_best: bool) -> Path:
    if path.is_dir():
        finders: dict[str, Callable[[Path], Path | None]] = {
            "huggingface": huggingface.find,
            "tensorflow": tensorflow.find_prefix,
            "mindspore": functools.partial(_find_checkpoint, use_best=use_best),
        }
        first = "mindspore" if kind == "zoo" else kind
        for name in sorted(finders, key=lambda name: name != first):
            if found := finders[name](path):
                return found
        _refuse_paddle(path)
        if keras := next(path.glob("*.h5"), None):
            _refuse_others(keras)
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


def _refuse_others(path: Path) -> None:
    """Raise a ValueError that says what to do about a file that holds no weights, or holds them in another form than its name says."""
    with open(path, "rb") as file:
        head = refuse_pointer(path, file.read(HEAD_BYTES))
    if head.startswith(HDF5):
        raise ValueError(f"{path}: weights of Keras (HDF5), which are not read; {_INSTEAD}")
    if head.startswith(ZIP) and path.suffix == ".ckpt":
        raise ValueError(f"{path}: a checkpoint of PyTorch, such as Lightning's: rename it to {path.stem}.pt, which is read")


def _refuse_paddle(path: Path) -> None:
    if path.is_dir():
        found = any((path / folder / _PADDLE_FILE).is_file() for folder in ("", "params")) or any(map(_is_paddle, path.iterdir()))
    else:
        found = path.is_file() and (_is_paddle(path) or path.name == _PADDLE_FILE)
    if found:
        raise ValueError(f"{path}: weights of PaddlePaddle, which are not read; {_INSTEAD}")


def _is_paddle(path: Path) -> bool:
    return path.suffix in _PADDLE_ENDINGS


def _find_checkpoint(folder: Path, use_best: bool) -> Path | None:
    """The best or the newest `.ckpt` of a folder; None if it has none."""
    newest = series.find_newest(folder, list_checkpoints(folder), CHECKPOINT)
    best = series.find_newest(folder / BEST, list_checkpoints(folder / BEST), CHECKPOINT) if use_best else None
    return best or newest


def list_checkpoints(folder: Path | str) -> list[Path]:
    """All `.ckpt` files of a folder, in no order."""
    return [file for file in Path(folder).glob("*.ckpt") if file.is_file() and not file.name.startswith(".")]  # the others are unfinished


def read(path: Path | str, kind: str | None = None) -> Weights:
    """The weights that a path refers to, see `find`.

    Raises:
        FileNotFoundError: no weights there. ValueError: damaged, truncated, empty or contradicting files; with their name.
    """
    path = find(path, kind)
    warnings: tuple[str, ...] = ()
    if path.suffix == ".ckpt" and path.is_file():
        raw = mindspore_checkpoint.read(path)
        kind = "zoo" if zoo.is_zoo(raw) else "mindspore"
        translated = zoo.translate(raw) if kind == "zoo" else _translate_ours(raw)
    elif tensorflow.find_prefix(path):
        kind = "tensorflow"
        raw = tensorflow.read(path)
        translated = _translate_tensorflow(raw)
    else:
        kind = "huggingface"
        raw = huggingface.read(path)
        untied = _find_untied(raw)
        translated = _translate_huggingface(raw, untied)
        warnings = tuple(f"the masked language model is left out: {name} is not {first}, as it is here" for name, first in untied.items())
    try:
        arrays, origins = _collect(translated)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return Weights(kind, path, arrays, origins, warnings)


def _collect(translated: Iterable[tuple[Origin, np.ndarray | None]]) -> tuple[dict[str, np.ndarray], list[Origin]]:
    """The arrays under our names, and the Origins of all."""
    arrays: dict[str, np.ndarray] = {}
    origins = []
    for origin, array in translated:
        origin.name.encode()  # raises a ValueError for a lone surrogate, which no file can hold
        origins.append(origin)
        if origin.target is None or array is None:
            continue
        if origin.target in arrays:
            raise ValueError(f"parameter {origin.name} occurs twice: {origin.target} is there already")
        arrays[origin.target] = array
    if not arrays:
        raise ValueError("no weights in it")
    return arrays, origins


def to_float32(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Weights with floating-point arrays converted to float32, the type of all parameters; float64 beyond its range becomes infinite."""
    with np.errstate(over="ignore"):
        return {name: array.astype(np.float32, copy=False) if array.dtype.kind == "f" else array for name, array in weights.items()}


def cut_vocabulary(name: str, array: np.ndarray, num_words: int) -> np.ndarray:
    """A parameter without the rows that pad the vocabulary to a multiple; unchanged if its length is not that of `num_words` padded."""
    padded = name in OF_WORDS and array.ndim and len(array) == num_words + -num_words % _VOCABULARY_MULTIPLE
    return array[:num_words] if padded else array


def grow_vocabulary(name: str, array: np.ndarray, new_tokens: Mapping[int, Sequence[int]]) -> np.ndarray:
    """A parameter with rows for new tokens, each the mean of the rows of the pieces that it replaces.

    It is unchanged if it is not one with a row for each word; the other rows always are.

    Args:
        new_tokens: id of a new token -> ids of its pieces.
    """
    if name not in OF_WORDS:
        return array
    grown = np.zeros((max(len(array), max(new_tokens) + 1), *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    for number, pieces in new_tokens.items():
        grown[number] = array[list(pieces)].mean(0, np.float64)
    return grown


def _find_first_name(name: str) -> str | None:
    """Our name of the parameter that Hugging Face saves a second time under this name; None if it is not such a name."""
    found = _SECOND_NAME.search(name)
    return OF_WORDS[found[1] == "bias"] if found else None


def _find_untied(raw: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Second names whose array differs from the first: second name -> our name of the first."""
    ours = {names.from_huggingface(name): array for name, array in raw.items()}
    second = {name: first for name in raw if (first := _find_first_name(name)) and first in ours}
    return {name: first for name, first in second.items() if not np.array_equal(ours[first], raw[name], equal_nan=True)}


def _translate_huggingface(raw: Mapping[str, np.ndarray], untied: Mapping[str, str]) -> Iterator[tuple[Origin, np.ndarray | None]]:
    ours = {names.from_huggingface(name) for name in raw}
    for name, array in raw.items():
        target = names.from_huggingface(name)
        remark = ""
        first = _find_first_name(name)
        if first and first in ours:
            target = None
            remark = f"{'differs from' if name in untied else 'the same as'} {first}"
        elif first:
            target = first
            remark = "its second name"
        elif target is None:
            remark = "a buffer, which follows from the configuration"
        if untied and target and target.startswith("masked_lm."):
            target = None
            remark = "part of a head with an output layer of its own"
        yield Origin.of(name, array, target, remark), array


def _translate_tensorflow(raw: Mapping[str, np.ndarray]) -> Iterator[tuple[Origin, np.ndarray | None]]:
    for name, array in raw.items():
        target = names.from_tensorflow(name)
        transposed = target != name and name.endswith("/kernel") and array.ndim == 2
        variable = name.rpartition("/")[0]
        if target == name and names.from_tensorflow(variable) != variable:
            yield Origin.of(name, array, None, "state of the optimiser"), None
        else:
            yield Origin.of(name, array, target, transposed=transposed), array.T if transposed else array


def _translate_ours(raw: Mapping[str, np.ndarray]) -> Iterator[tuple[Origin, np.ndarray | None]]:
    for name, array in raw.items():
        if name.startswith(_OURS):
            yield Origin.of(name, array, name), array
        else:
            yield Origin.of(name, array, None, "state of a training"), None
