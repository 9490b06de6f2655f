"""A conversion: read, check, write into a hidden folder, prove the result, then move it to the output folder."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from src.config.model import CONFIG_NAMES
from src.convert import parameters, proof
from src.convert.description import (
    READ_BESIDE,
    Description,
    choose_architecture,
    find_changed_class,
    find_departures,
    list_files,
    read_description,
    write_description,
)
from src.convert.report import NAME, Report
from src.files import move_whole
from src.formats import mindspore_checkpoint, names, safetensors_file, tensorflow, weights
from src.locks import hidden_folder
from src.log import shorten

TARGETS = ("huggingface", "tensorflow", "mindspore")
# format named by --from -> kind of Weights
SOURCES = {"huggingface": "huggingface", "tensorflow": "tensorflow", "nvidia": "huggingface", "zoo": "zoo", "mindspore": "mindspore"}
_WEIGHTS = {"huggingface": "model.safetensors", "tensorflow": "bert_model.ckpt", "mindspore": "model.ckpt"}
_SHOWN = 4  # names of parameters in a message


class MissingParameters(ValueError):
    """The weights lack parameters of their network; `report` lists all of them."""

    def __init__(self, message: str, report: Report):
        super().__init__(message)
        self.report = report


def convert(
    source: str,
    target: str,
    path: Path | str,
    output: Path | str,
    config_file: Path | str | None = None,
    vocab_file: Path | str | None = None,
    tolerance: float = proof.TOLERANCE,
) -> Report:
    """Convert weights, configuration and vocabulary, and prove the result.

    Args:
        source: key of SOURCES.
        target: one of TARGETS.
        path: weights, see `weights.find`.
        output: folder, made if absent; its other files stay. If the proof fails, only the report is put there.
        config_file, vocab_file: replace those beside the weights.
        tolerance: see `proof.prove`.

    Returns:
        The report, also written to conversion_report.json; its `passed` says whether the proof held.

    Raises:
        FileNotFoundError, ValueError: bad input.
        MissingParameters: incomplete weights.
    """
    output = Path(output)
    description = read_description(path, config_file, vocab_file)
    found = weights.read(path, SOURCES[source])
    _check_kind(source, found)
    _check_output(output, found.path, target, description)
    arrays, report = _collect(source, target, found, description)
    _check(found, description, arrays, target)
    report.missing = parameters.find_missing(description.model, arrays)
    if not report.missing:
        check_heads(found, description, arrays)
    if not config_file:
        report.warnings += _find_guess(found, description.model)
    with hidden_folder(output) as hidden:
        _check_output(output, found.path, target, description)  # again, now that no other process can write there
        if not report.missing:
            write(hidden, target, description, arrays)
            report.proof = proof.prove(found, description, arrays, target, hidden, tolerance, by_library=not config_file)
        report.write(hidden)
        if report.passed or not any((output / name).exists() for name in _list_weights(target)):  # earlier weights keep their report
            move_whole(sorted(hidden.iterdir()) if report.passed else [hidden / NAME], output)
    if report.missing:
        raise MissingParameters(f"{found.path}: is not whole: {shorten(report.missing, _SHOWN)} missing", report)
    return report


def _find_guess(found, model):
    """A warning if the number of heads is known neither from a configuration nor from the shape of the zoo's position table."""
    if found.kind != "zoo" or model.position_embedding_type == "learned":
        return []
    if any((found.path.parent / name).is_file() for name in CONFIG_NAMES):
        return []
    return [f"num_attention_heads={model.num_attention_heads} is a guess; --bert_config_file tells it"]


def _list_weights(target):
    """Names of the weights files to be written."""
    return [str(file) for file in tensorflow.list_files(_WEIGHTS[target])] if target == "tensorflow" else [_WEIGHTS[target]]


def _check_output(output, path, target, description):
    """Check that no file worth keeping would be replaced, and that no other weights would be read with the result."""
    if output.resolve() in (path.parent.resolve(), path.resolve().parent):
        raise ValueError(f"--output {output}: the weights to convert are there; give another folder")
    if output.exists() and not output.is_dir():
        raise ValueError(f"--output {output}: is a file; a folder is expected")
    for other in _find_weights(output) if output.is_dir() else ():
        if other.name != _WEIGHTS[target]:
            raise ValueError(f"{other}: other weights, which would be read in place of the converted ones; give another --output")
    for name in READ_BESIDE:
        if name not in list_files(target, description) and (output / name).exists():
            raise ValueError(f"{output / name}: is of other weights, and would be read with the converted ones; give another folder")
    for name in (*_list_weights(target), *list_files(target, description), NAME):
        if (output / name).is_dir():
            raise ValueError(f"{output / name}: a folder stands where a file is to be written")


def _find_weights(folder: Path) -> Iterator[Path]:
    """The weights of each format in a folder; the folder itself if it has weights that cannot be read here."""
    for kind in _WEIGHTS:
        try:
            yield weights.find(folder, kind)
        except FileNotFoundError:
            return
        except ValueError:
            yield folder


def _check_kind(source, found):
    if SOURCES[source] != found.kind:
        raise ValueError(f"{found.path}: is of the format {found.kind}; give --from {found.kind}")


def _collect(source, target, found, description):
    """Our arrays in float32, cut to the vocabulary's size, and the report on where they came from."""
    arrays = {}
    for name, array in weights.to_float32(found.arrays).items():
        if names.is_ours(name):
            arrays[name] = weights.cut_vocabulary(name, array, description.model.vocab_size)
    report = Report({"from": source, "to": target, "input": str(found.path)})
    architecture = choose_architecture(description, arrays)
    for origin in found.origins:
        if origin.target in arrays:
            report.add(origin, arrays[origin.target], to_target(target, origin.target, architecture))
        else:
            report.add(origin)
    report.left_random = [name for name in parameters.POOLER if name not in arrays]
    report.not_finite = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    report.warnings += [*found.warnings, *find_changed_class(found.kind, description, arrays), *description.warnings]
    report.warnings += find_departures(found.kind, target, description.model)
    return arrays, report


def _check(found, description, arrays, target):
    try:
        parameters.check_shapes(description.model, arrays)
    except ValueError as error:
        raise ValueError(f"{found.path}: does not fit its configuration: {error}") from None
    if target != "mindspore" and description.model.position_embedding_type == "learned":
        raise ValueError(f"--to {target}: there is no network with learned relative positions, as the model zoo's NEZHA has them")


def check_heads(found: weights.Weights, description: Description, arrays: dict[str, np.ndarray]) -> None:
    """Raise a ValueError if the heads do not fit the configuration or its labels."""
    try:
        parameters.check_heads(description.model, arrays)
    except ValueError as error:
        raise ValueError(f"{found.path}: {error}") from None
    values = len(arrays.get("head.dense.bias", description.labels))
    if description.labels and values != len(description.labels):
        names_and_values = f"id2label has {len(description.labels)} names, head.dense.bias {values} values"
        raise ValueError(f"{found.path}: does not fit its configuration: {names_and_values}")


def to_target(target: str, name: str, architecture: str) -> str:
    """The target's name for one of our parameters; `architecture` is Hugging Face's class."""
    if name.startswith("head.dense.") and not architecture.endswith("Classification"):  # part of a head that other programs lack
        return name
    if target == "tensorflow":
        return names.to_tensorflow(name)
    if target == "huggingface":
        theirs = names.to_huggingface(name)
        if architecture.endswith("Model"):  # the encoder alone
            return theirs.removeprefix("bert.")
        return f"nezha.{theirs[5:]}" if architecture.startswith("Nezha") and theirs.startswith("bert.") else theirs
    return name


def write(folder: Path | str, target: str, description: Description, arrays: dict[str, np.ndarray]) -> None:
    """Write weights, configuration and vocabulary in the target's format into an existing folder."""
    folder = Path(folder)
    architecture = choose_architecture(description, arrays)
    theirs = {to_target(target, name, architecture): array for name, array in arrays.items()}
    if target == "huggingface":
        safetensors_file.write(folder / _WEIGHTS[target], theirs)
    elif target == "tensorflow":
        tensorflow.write(folder / _WEIGHTS[target], {name: a.T if name.endswith("/kernel") else a for name, a in theirs.items()})
    else:
        mindspore_checkpoint.write(folder / _WEIGHTS[target], theirs)
    write_description(folder, target, description, arrays)
