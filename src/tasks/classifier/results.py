"""Results of a classification run: result lines, eval_results, evaluation.csv, predictions."""

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.files import write_text
from src.log import format_fields, logger
from src.tasks.classifier import thresholds
from src.tasks.classifier.choices import to_matrix
from src.tasks.classifier.data_sets import DATA_SETS
from src.tasks.classifier.kinds import make_kind
from src.tasks.results import write_csv, write_results
from src.tasks.task import Prepared

_NUMBER = re.compile("[0-9]{1,18}")
_LARGEST_SCORE = 5  # of STS-B, the only regression with a submission


def score(prepared: Prepared, outputs: Sequence[Any]) -> dict[str, Any]:
    """Measures of an evaluation.

    Args:
        prepared: label_ids of its eval rows are class ids, the scores of a regression, or 1 for each label of several.
        outputs: one list, the logits float32 [C] of each row.
    """
    return make_kind(prepared.config).measure(*_join_windows(prepared, "eval", outputs))


def tune(prepared: Prepared, outputs: Sequence[Any]) -> Prepared:
    """With thresholds that the evaluation chooses, if `tune_thresholds` asks for them."""
    config = prepared.config
    if not config.tune_thresholds:
        return prepared
    logits, label_ids = _join_windows(prepared, "eval", outputs)
    found = thresholds.tune(config.tune_thresholds, config.labels, make_kind(config).to_values(logits), label_ids)
    return dataclasses.replace(prepared, config=dataclasses.replace(config, thresholds=found))


def _join_windows(prepared: Prepared, split: str, outputs: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Logits [examples, C] and labels of each example; of one with several windows as `long_documents` says, of a question by choice."""
    config, (logits,), columns = prepared.config, outputs, prepared.records[split].rows
    values, labels = np.stack(logits), np.asarray(columns["label_ids"])
    if config.has_choices:
        values, starts = to_matrix(values[:, 0], columns["question"])
        return values, labels[starts]
    if "document" not in columns:
        return values, labels
    starts = np.flatnonzero(np.diff(columns["document"], prepend=-1))  # the rows of a document are neighbours
    kind = make_kind(config)
    values = kind.to_values(values)
    if config.long_documents == "max":
        joined = np.maximum.reduceat(values, starts)
    else:
        joined = np.add.reduceat(values, starts) / np.diff(starts, append=len(values))[:, None]
    return kind.to_logits(joined), labels[starts]


def report_evaluation(prepared: Prepared, outputs: Sequence[Any], global_step: int | None) -> dict[str, Any]:
    """Print the result as the model zoo does; write eval_results.json and .txt, and evaluation.csv for the figures.

    Returns:
        The content of eval_results.json.
    """
    config, metrics = prepared.config, score(prepared, outputs)
    write_csv(f"{config.output_dir}/evaluation.csv", *tabulate(prepared, outputs))
    for line in make_kind(config).tell(metrics):
        print(line, flush=True)
    results = {"task": config.task_name, "global_step": global_step, "loss": metrics["eval_loss"]}
    if "accuracy" in metrics:
        results["eval_accuracy"] = metrics["accuracy"]
    results |= metrics
    write_results(config, results)
    return results


def tabulate(prepared: Prepared, outputs: Sequence[Any]) -> tuple[list[str], list[list[str]]]:
    """Label, predicted label and probabilities of each row of an evaluation, or true and predicted scores: header and rows."""
    kind, (logits, label_ids) = make_kind(prepared.config), _join_windows(prepared, "eval", outputs)
    columns = kind.columns(logits.shape[1])  # none in a regression
    rows = [
        [kind.name(label_id), kind.decide(row), *(f"{value:.9g}" for value in row[: len(columns)])]
        for label_id, row in zip(label_ids, kind.to_values(logits))
    ]
    return [*kind.EVALUATED, *columns], rows


def report_predictions(prepared: Prepared, outputs: Sequence[Any]) -> None:
    """Write test_results.tsv (probabilities, or scores) and predictions.csv (texts, labels, margins), rows in input order.

    Of a task of GLUE or CLUE also the file that the benchmark's site takes.
    """
    config, kind, examples = prepared.config, make_kind(prepared.config), prepared.sources["predict"]
    logits, labels = _join_windows(prepared, "predict", outputs)
    if config.do_test:
        _report_test(config, kind.measure(logits, labels if examples is None else _number_labels(config, examples)))
    values = kind.to_values(logits)
    table = "".join("\t".join(f"{value:.9g}" for value in row) + "\n" for row in values)
    write_text(f"{config.output_dir}/test_results.tsv", table)
    _write_submission(config, values, examples)
    if examples is None:
        logger.warning("record files hold no texts; predictions.csv is not written, test_results.tsv is")
        return
    if config.prediction_columns == "titles":
        header = ["title", "label", "prob", "pre_label", "confident"]
        rows = [[each.text_a, each.label or "", *_rate(config.labels, row)] for each, row in zip(examples, values)]
    else:
        header = ["text_a", "text_b", *kind.PREDICTED]
        rows = [[each.text_a, each.text_b or "", each.label or "", *kind.describe(row)] for each, row in zip(examples, values)]
    write_csv(f"{config.output_dir}/predictions.csv", header, rows)
    logger.info(f"wrote {config.output_dir}/test_results.tsv and predictions.csv, {len(examples)} rows")


def _number_labels(config, examples):
    """Class ids, or scores, of examples whose labels are known."""
    if config.is_regression:
        return np.array([float(label) for label in examples.labels])
    numbers = {label: number for number, label in enumerate(config.labels)}
    return np.array([numbers[label] for label in examples.labels])


def _report_test(config, metrics):
    """Print the measures of the test set as one line, and write them to test_measures.json."""
    write_text(f"{config.output_dir}/test_measures.json", json.dumps(metrics, indent=2) + "\n")
    print(f"test set: {format_fields(metrics)}", flush=True)


def _write_submission(config, values, examples):
    """Write the predictions as GLUE (a table of index and prediction) or CLUE (JSON lines of id and label) takes them.

    GLUE counts the rows of the test file from 0; CLUE's test files have an id in each row.
    """
    name = DATA_SETS[config.task_name].submission if config.task_name in DATA_SETS else None
    if not name:
        return
    if config.task_name == "mnli" and "mismatched" in Path(config.predict_data_file_path or "").name:
        name = "MNLI-mm.tsv"
    if config.is_regression:
        found = [f"{min(max(score, 0), _LARGEST_SCORE):.6g}" for (score,) in values]
    else:
        found = list(map(make_kind(config).decide, values))
    if name.endswith(".tsv"):
        text = "index\tprediction\n" + "".join(f"{index}\t{label}\n" for index, label in enumerate(found))
    else:
        ids = [index if each.id is None else each.id for index, each in enumerate(examples)] if examples else range(len(found))
        rows = ({"id": int(number) if _NUMBER.fullmatch(str(number)) else number, "label": label} for number, label in zip(ids, found))
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_text(f"{config.output_dir}/{name}", text)
    logger.info(f"wrote {config.output_dir}/{name}, for the benchmark's site")


def _rate(labels, probabilities):
    """All probabilities, the predicted label, and the probability of the second of two classes (of more, of the predicted one)."""
    confident = probabilities[1] if len(labels) == 2 else probabilities.max()
    shown = " ".join(f"{value:.6f}" for value in probabilities)
    return f"[{shown}]", labels[int(probabilities.argmax())], f"{confident:.6f}"
