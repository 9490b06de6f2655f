"""What a finished run left in its folder: losses, evaluation rows, results. A defect names its file, and its line where there are lines."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.log import logger
from src.text.tables import read_rows, read_text

_SUM_TOLERANCE = 1e-3  # probabilities are written with nine digits; a cut or shifted column is far off


@dataclass(frozen=True)
class Evaluation:
    """The rows of evaluation.csv.

    Attributes:
        path: the file.
        classes: names in the order of their ids; empty for regression.
        labels: int [rows], true class ids; for regression float [rows], true scores.
        predicted: as labels.
        probabilities: float [rows, C]; C is 0 for regression.
    """

    path: Path
    classes: tuple
    labels: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray


def read_losses(path):
    """The losses in log.jsonl by name -> (update numbers, values), two lists each.

    `loss` and its parts are those of training, `eval …` those of evaluations along the way. A resumed run goes back to its
    checkpoint: what was logged beyond it before counts no more.
    """
    curves = {}
    *lines, half = read_text(path).split("\n")
    if half:
        logger.warning(f"{path}:{len(lines) + 1}: the last line was written in part and is left out")
    for line, text in enumerate(lines, 1):
        try:
            record = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}:{line}: not JSON: {error.msg}") from None
        if not isinstance(record, dict):
            raise ValueError(f"{path}:{line}: a record {{…}} is expected")
        if "step" not in record:
            continue
        step, prefix = record["step"], "eval " if record.get("event") == "eval" else ""
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


def read_evaluation(path):
    """The Evaluation in an evaluation.csv; columns by position, since a class may be called "label" too."""
    (_, header), *rows = read_rows(path)
    classes = tuple(header[2:])
    if header[:2] != ["label", "predicted_label"]:
        raise ValueError(f"{path}:1: the header should begin label,predicted_label, found {','.join(header[:2])}")
    if len(classes) == 1 or len(set(classes)) < len(classes):
        raise ValueError(f"{path}:1: a column for each of two or more classes is expected, found {','.join(classes)}")
    if not rows:
        raise ValueError(f"{path}: no rows below the header")
    probabilities = np.array([[_parse_number(field, path, line) for field in fields[2:]] for line, fields in rows])
    if not classes:
        labels, predicted = ([_parse_number(fields[index], path, line) for line, fields in rows] for index in (0, 1))
    else:
        ids = {name: number for number, name in enumerate(classes)}
        labels, predicted = ([_parse_class(fields[index], ids, path, line) for line, fields in rows] for index in (0, 1))
        for (line, _), row in zip(rows, probabilities):
            if row.min() < 0 or abs(row.sum() - 1) > _SUM_TOLERANCE:
                raise ValueError(f"{path}:{line}: probabilities that sum to 1 are expected, their sum is {row.sum():.6g}")
    return Evaluation(Path(path), classes, np.array(labels), np.array(predicted), probabilities)


def read_results(run):
    """The measures of a run: of its eval_results.json, or of several seeds where the folder holds seed_results.json.

    Returns:
        dict: a value per key; of several seeds {"mean", "deviation", …} per measure. Lists and other mappings are left out.

    Raises:
        FileNotFoundError, ValueError: naming the folder or file.
    """
    run = Path(run)
    if not run.is_dir():
        raise FileNotFoundError(f"{run}: no such folder; the output folder of a run is expected")
    seeds = run / "seed_results.json"
    path = seeds if seeds.is_file() else run / "eval_results.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file, and no seed_results.json either; run with --do_eval true first")
    try:
        results = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
    if not isinstance(results, dict):
        raise ValueError(f"{path}: a mapping of measures is expected")
    if path == seeds:
        for key, value in results.items():
            if isinstance(value, dict) and not (_is_number(value.get("mean")) and _is_number(value.get("deviation"))):
                raise ValueError(f"{path}: {key}: numbers mean and deviation are expected")
    kept = (str, int, float, dict) if path == seeds else (str, int, float)
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


def _parse_class(text, ids, path, line):
    if text not in ids:
        raise ValueError(f"{path}:{line}: {text!r} is none of the classes in the header")
    return ids[text]
