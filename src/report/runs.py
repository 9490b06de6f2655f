"""Reads the files in a finished run's folder: losses, evaluation rows, results. Every error names the file and, if possible, the line."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.log import logger
from src.text.tables import read_rows, read_text

Curves = dict[str, tuple[list[float], list[float]]]  # name of a loss -> (update numbers, values)
_SUM_TOLERANCE = 1e-3  # probabilities are written with nine digits; a cut or shifted column gives far larger errors


@dataclass(frozen=True)
class Scores:
    """The development scores of a training.

    Attributes:
        metric: the measure that chose the best checkpoint.
        steps, values: of each evaluation in which it was defined.
        best_step: of the best one.
    """

    metric: str
    steps: list[float]
    values: list[float]
    best_step: float


@dataclass(frozen=True)
class Evaluation:
    """The rows of evaluation.csv.

    Attributes:
        path: the file.
        classes: names in the order of their ids; empty for regression.
        labels: int [rows], true class ids; for regression float [rows], true scores; of several labels a row int [rows, C], 1 for each.
        predicted: as labels.
        probabilities: float [rows, C]; C is 0 for regression.
    """

    path: Path
    classes: tuple[str, ...]
    labels: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray


def read_losses(path: Path | str) -> Curves:
    """The losses in a log.jsonl.

    `loss` and its parts are from training, `eval …` from evaluations during training. After a resume, losses logged earlier for
    updates beyond the checkpoint are dropped.
    """
    curves: Curves = {}
    for line, record in read_steps(path, tells_half=True):
        step = record["step"]
        prefix = "eval " if record.get("event") == "eval" else ""
        for name in [name for name in record if name == "loss" or name.endswith("_loss")]:
            loss = record[name]
            if not _is_number(step) or not _is_number(loss):
                raise ValueError(f"{path}:{line}: step={step} {name}={loss}: numbers are expected")
            steps, losses = curves.setdefault(prefix + name, ([], []))
            while steps and steps[-1] >= step:
                del steps[-1], losses[-1]
            steps.append(step)
            losses.append(loss)
    return curves


def read_scores(path: Path | str) -> Scores | None:
    """The measure by which the best checkpoint was chosen, as a log.jsonl tells it of each evaluation during training; None without any."""
    found: dict[float, Any] = {}
    metric = ""
    for line, record in read_steps(path):
        if record.get("event") != "eval" or "best_metric" not in record:
            continue
        step, metric = record["step"], str(record["best_metric"])
        if not _is_number(step):
            raise ValueError(f"{path}:{line}: step={step}: a number is expected")
        found = {other: scores for other, scores in found.items() if other < step} | {step: record}  # after a resume, the later ones
    values = {step: record.get(metric) for step, record in found.items()}
    known = {step: value for step, value in values.items() if _is_number(value)}
    if not known:
        return None
    return Scores(metric, list(known), list(known.values()), found[max(found)]["best_step"])


def read_steps(path: Path | str, tells_half: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, record) of each record with a step in a log.jsonl, see `read_records`."""
    return ((line, record) for line, record in read_records(path, tells_half) if "step" in record)


def read_records(path: Path | str, tells_half: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, record) of each record in a log.jsonl; its last line may be half, which is told if `tells_half`."""
    *lines, half = read_text(path).split("\n")
    if half and tells_half:
        logger.warning(f"{path}:{len(lines) + 1}: the last line was written in part and is left out")
    for line, text in enumerate(lines, 1):
        try:
            record = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}:{line}: not JSON: {error.msg}") from None
        if not isinstance(record, dict):
            raise ValueError(f"{path}:{line}: a record {{…}} is expected")
        yield line, record


def read_evaluation(path: Path | str) -> Evaluation:
    """The rows of an evaluation.csv; columns are found by position, since a class may also be called "label"."""
    (_, header), *rows = [(line, [field or "" for field in fields]) for line, fields in read_rows(path)]
    classes = tuple(header[2:])
    several = header[:2] == ["labels", "predicted_labels"]
    if not several and header[:2] != ["label", "predicted_label"]:
        raise ValueError(f"{path}:1: the header should begin label,predicted_label, found {','.join(header[:2])}")
    if len(classes) == 1 or len(set(classes)) < len(classes):
        raise ValueError(f"{path}:1: a column for each of two or more classes is expected, found {','.join(classes)}")
    if not rows:
        raise ValueError(f"{path}: no rows below the header")
    probabilities = np.array([[_parse_number(field, path, line) for field in fields[2:]] for line, fields in rows])
    ids = {name: number for number, name in enumerate(classes)}
    if several:
        labels = [_parse_classes(fields[0], ids, path, line) for line, fields in rows]
        predicted = [_parse_classes(fields[1], ids, path, line) for line, fields in rows]
    elif not classes:
        labels = [_parse_number(fields[0], path, line) for line, fields in rows]
        predicted = [_parse_number(fields[1], path, line) for line, fields in rows]
    else:
        labels = [_parse_class(fields[0], ids, path, line) for line, fields in rows]
        predicted = [_parse_class(fields[1], ids, path, line) for line, fields in rows]
        for (line, _), row in zip(rows, probabilities):
            if row.min() < 0 or abs(row.sum() - 1) > _SUM_TOLERANCE:
                raise ValueError(f"{path}:{line}: probabilities that sum to 1 are expected, their sum is {row.sum():.6g}")
    return Evaluation(Path(path), classes, np.array(labels), np.array(predicted), probabilities)


def find_results(run: Path | str) -> Path | None:
    """The file of a run's measures: seed_results.json or fold_results.json if it had several seeds or folds, else eval_results.json."""
    paths = [path for name in ("seed", "fold", "eval") if (path := Path(run) / f"{name}_results.json").is_file()]
    return paths[0] if paths else None


def read_results(run: Path | str) -> dict[str, Any]:
    """The measures of a run, see `find_results`.

    Returns:
        A value per key; with several runs {"mean", "deviation", …} per measure. Lists and other mappings are left out.

    Raises:
        FileNotFoundError, ValueError: naming the folder or file.
    """
    run = Path(run)
    if not run.is_dir():
        raise FileNotFoundError(f"{run}: no such folder; the output folder of a run is expected")
    path = find_results(run)
    if path is None:
        raise FileNotFoundError(f"{run}/eval_results.json: no such file, and no seed_results.json either; run with --do_eval true first")
    has_several = path.name != "eval_results.json"
    try:
        results = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
    if not isinstance(results, dict):
        raise ValueError(f"{path}: a mapping of measures is expected")
    if has_several:
        for key, value in results.items():
            if isinstance(value, dict) and not (_is_number(value.get("mean")) and _is_number(value.get("deviation"))):
                raise ValueError(f"{path}: {key}: numbers mean and deviation are expected")
    kept = (str, int, float, dict) if has_several else (str, int, float)
    return {key: value for key, value in results.items() if isinstance(value, kept)}


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _parse_number(text, path, line):
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{path}:{line}: {text!r} is not a finite number")
    return number


def _parse_classes(text, ids, path, line):
    try:
        names = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path}:{line}: {text[:80]!r} is no list of labels: {error}") from None
    found = [0] * len(ids)
    for name in names if isinstance(names, list) else [names]:
        found[_parse_class(str(name), ids, path, line)] = 1
    return found


def _parse_class(text, ids, path, line):
    if text not in ids:
        raise ValueError(f"{path}:{line}: {text!r} is none of the classes in the header")
    return ids[text]
