"""Results of a classification run: result lines, eval_results, evaluation.csv, predictions."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from src.files import write_text
from src.log import format_fields, logger
from src.tasks.classifier.data_sets import DATA_SETS
from src.tasks.classifier.measures import classification_metrics, regression_metrics
from src.tasks.results import write_csv, write_results
from src.tasks.task import Prepared

_NUMBER = re.compile("[0-9]{1,18}")
_LARGEST_SCORE = 5  # of STS-B, the only regression with a submission
_MEASURE_NAMES = {"mcc": "MCC", "spearman_correlation": "Spearman Correlation", "auc": "AUC"}


def score(prepared: Prepared, outputs: Sequence[Any]) -> dict[str, float]:
    """Measures of an evaluation.

    Args:
        prepared: label_ids of its eval rows are class ids, or the scores of a regression.
        outputs: one list, the logits float32 [C] of each row.
    """
    logits, labels = _join_windows(prepared, "eval", outputs)
    if prepared.config.is_regression:
        return regression_metrics(logits[:, 0], labels)
    return classification_metrics(logits, labels)


def _join_windows(prepared: Prepared, split: str, outputs: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Logits [examples, C] and labels of each example; of one with several windows as `long_documents` says."""
    config, (logits,), columns = prepared.config, outputs, prepared.records[split].rows
    values, labels = np.stack(logits), np.asarray(columns["label_ids"])
    if "document" not in columns:
        return values, labels
    starts = np.flatnonzero(np.diff(columns["document"], prepend=-1))  # the rows of a document are neighbours
    values = values.astype(np.float64) if config.is_regression else softmax(values.astype(np.float64), axis=1)
    if config.long_documents == "max":
        joined = np.maximum.reduceat(values, starts)
    else:
        joined = np.add.reduceat(values, starts) / np.diff(starts, append=len(values))[:, None]
    return (joined if config.is_regression else np.log(np.maximum(joined, np.finfo(np.float64).tiny))), labels[starts]


def report_evaluation(prepared: Prepared, outputs: Sequence[Any], global_step: int | None) -> dict[str, Any]:
    """Print the result as the model zoo does; write eval_results.json and .txt, and evaluation.csv for the figures.

    Returns:
        The content of eval_results.json.
    """
    config, metrics = prepared.config, score(prepared, outputs)
    write_csv(f"{config.output_dir}/evaluation.csv", *tabulate(prepared, outputs))
    if config.measure == "f1":
        print(f"Precision {metrics['precision']:.6f}\nRecall {metrics['recall']:.6f}\nF1 {metrics['f1']:.6f}")
    elif config.measure != "accuracy":
        value = metrics.get(config.measure)
        print(f"{_MEASURE_NAMES[config.measure]} {'undefined for these labels' if value is None else f'{value:.6f}'}", flush=True)
    results = {"task": config.task_name, "global_step": global_step, "loss": metrics["eval_loss"]}
    if "accuracy" in metrics:
        num_examples = metrics["num_examples"]
        correct = round(metrics["accuracy"] * num_examples)
        print(f"acc_num {correct}, total_num {num_examples}, accuracy {metrics['accuracy']:.6f}", flush=True)
        results["eval_accuracy"] = metrics["accuracy"]
    results |= metrics
    write_results(config, results)
    return results


def tabulate(prepared: Prepared, outputs: Sequence[Any]) -> tuple[list[str], list[list[str]]]:
    """Label, predicted label and probabilities of each row of an evaluation, or true and predicted scores: header and rows."""
    config, (logits, labels) = prepared.config, _join_windows(prepared, "eval", outputs)
    if config.is_regression:
        rows = [[f"{true:.9g}", f"{found:.9g}"] for true, (found,) in zip(labels, logits)]
    else:
        rows = [
            [config.labels[label], config.labels[int(row.argmax())], *(f"{value:.9g}" for value in row)]
            for label, row in zip(labels, softmax(np.asarray(logits, np.float64), axis=1))
        ]
    return ["label", "predicted_label", *config.labels], rows


def report_predictions(prepared: Prepared, outputs: Sequence[Any]) -> None:
    """Write test_results.tsv (probabilities, or scores) and predictions.csv (texts, labels, margins), rows in input order.

    Of a task of GLUE or CLUE also the file that the benchmark's site takes.
    """
    config, examples = prepared.config, prepared.sources["predict"]
    logits, labels = _join_windows(prepared, "predict", outputs)
    if config.do_test:
        _report_test(config, logits, labels if examples is None else _number_labels(config, examples))
    values = logits.astype(np.float64)
    values = values if config.is_regression else softmax(values, axis=1)
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
        header = ["text_a", "text_b", "label", "probability", "predicted_label", "margin"]
        decided = [("", f"{row[0]:.6g}", "") if config.is_regression else _decide(config.labels, row) for row in values]
        rows = [[each.text_a, each.text_b or "", each.label or "", *decision] for each, decision in zip(examples, decided)]
    write_csv(f"{config.output_dir}/predictions.csv", header, rows)
    logger.info(f"wrote {config.output_dir}/test_results.tsv and predictions.csv, {len(examples)} rows")


def _number_labels(config, examples):
    """Class ids, or scores, of examples whose labels are known."""
    if config.is_regression:
        return np.array([float(label) for label in examples.labels])
    numbers = {label: number for number, label in enumerate(config.labels)}
    return np.array([numbers[label] for label in examples.labels])


def _report_test(config, logits, labels):
    """Print the measures of the test set as one line, and write them to test_measures.json."""
    metrics = regression_metrics(logits[:, 0], labels) if config.is_regression else classification_metrics(logits, labels)
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
        found = [config.labels[number] for number in values.argmax(1)]
    if name.endswith(".tsv"):
        text = "index\tprediction\n" + "".join(f"{index}\t{label}\n" for index, label in enumerate(found))
    else:
        ids = [index if each.id is None else each.id for index, each in enumerate(examples)] if examples else range(len(found))
        rows = ({"id": int(number) if _NUMBER.fullmatch(str(number)) else number, "label": label} for number, label in zip(ids, found))
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_text(f"{config.output_dir}/{name}", text)
    logger.info(f"wrote {config.output_dir}/{name}, for the benchmark's site")


def _decide(labels, probabilities):
    """Largest probability, its label, and the margin to the second largest."""
    second, first = np.sort(probabilities)[-2:]
    return f"{first:.6f}", labels[int(probabilities.argmax())], f"{first - second:.6f}"


def _rate(labels, probabilities):
    """All probabilities, the predicted label, and the probability of the second of two classes (of more, of the predicted one)."""
    confident = probabilities[1] if len(labels) == 2 else probabilities.max()
    shown = " ".join(f"{value:.6f}" for value in probabilities)
    return f"[{shown}]", labels[int(probabilities.argmax())], f"{confident:.6f}"
