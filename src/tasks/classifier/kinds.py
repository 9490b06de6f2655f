"""The kinds of answers that a classifier gives, one class, several labels, a score or a choice: their meaning, measures and fields."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.special import expit, logit, softmax

from src.tasks.classifier.measures import classification_metrics, multi_label_metrics, regression_metrics
from src.tasks.classifier.options import ClassifierOptions
from src.tasks.classifier.thresholds import find_thresholds

_TINY = np.finfo(np.float64).tiny
_ONE = 1 - np.finfo(np.float64).epsneg  # the largest number below 1
_MEASURE_NAMES = {"mcc": "MCC", "spearman_correlation": "Spearman Correlation", "auc": "AUC", "f1": "F1"}


class Classes:
    """One class a text: its probabilities are the softmax of the logits [rows, C].

    Attributes:
        EVALUATED: first two columns of evaluation.csv.
        PREDICTED: columns of predictions.csv behind the texts.
    """

    EVALUATED: tuple[str, ...] = ("label", "predicted_label")
    PREDICTED: tuple[str, ...] = ("label", "probability", "predicted_label", "margin")

    def __init__(self, config: ClassifierOptions) -> None:
        self.config = config

    def to_values(self, logits: np.ndarray) -> np.ndarray:
        """Float64 [rows, C] that may be averaged: probabilities, or scores."""
        return softmax(np.asarray(logits, np.float64), axis=1)

    def to_logits(self, values: np.ndarray) -> np.ndarray:
        """The inverse of `to_values`."""
        return np.log(np.maximum(values, _TINY))

    def measure(self, logits: np.ndarray, label_ids: np.ndarray) -> dict[str, Any]:
        """All measures, by their names in eval_results.json."""
        return classification_metrics(logits, label_ids)

    def tell(self, metrics: dict[str, Any]) -> Iterator[str]:
        """Yield the lines that are printed as the result, the model zoo's."""
        measure = self.config.measure
        if measure == "f1":
            yield f"Precision {metrics['precision']:.6f}\nRecall {metrics['recall']:.6f}\nF1 {metrics['f1']:.6f}"
        elif measure != "accuracy":
            value = metrics.get(measure)
            yield f"{_MEASURE_NAMES[measure]} {'undefined for these labels' if value is None else f'{value:.6f}'}"
        if "accuracy" in metrics:
            num_examples, accuracy = metrics["num_examples"], metrics["accuracy"]
            yield f"acc_num {round(accuracy * num_examples)}, total_num {num_examples}, accuracy {accuracy:.6f}"

    def columns(self, width: int) -> tuple[str, ...]:
        """The names of `width` values in evaluation.csv."""
        return self.config.labels

    def decide(self, values: np.ndarray) -> str:
        """The predicted label of a row."""
        return self.config.labels[int(values.argmax())]

    def name(self, label_ids: Any) -> str:
        """The true label of a row."""
        return self.config.labels[label_ids]

    def describe(self, values: np.ndarray) -> list[str]:
        """The fields of a row of predictions.csv behind its label."""
        second, first = np.sort(values)[-2:]
        return [f"{first:.6f}", self.decide(values), f"{first - second:.6f}"]


class Score(Classes):
    """The score of a regression: the logits [rows, 1] themselves."""

    def to_values(self, logits: np.ndarray) -> np.ndarray:
        return np.asarray(logits, np.float64)

    def to_logits(self, values: np.ndarray) -> np.ndarray:
        return values

    def measure(self, logits: np.ndarray, label_ids: np.ndarray) -> dict[str, Any]:
        return regression_metrics(logits[:, 0], label_ids)

    def decide(self, values: np.ndarray) -> str:
        return f"{values[0]:.9g}"

    def name(self, label_ids: Any) -> str:
        return f"{label_ids:.9g}"

    def describe(self, values: np.ndarray) -> list[str]:
        return ["", f"{values[0]:.6g}", ""]


class Choices(Classes):
    """One of N choices of each question, whose logits are a row [questions, N]; a label is its number."""

    def measure(self, logits: np.ndarray, label_ids: np.ndarray) -> dict[str, Any]:
        metrics = classification_metrics(logits, label_ids)
        return {name: metrics[name] for name in ("num_examples", "eval_loss", "accuracy")}

    def columns(self, width: int) -> tuple[str, ...]:
        return tuple(map(str, range(width)))

    def decide(self, values: np.ndarray) -> str:
        return str(int(values.argmax()))

    def name(self, label_ids: Any) -> str:
        return str(label_ids)


class LabelLists(Classes):
    """Several labels a text: each has a probability, the sigmoid of its logit [rows, C], and is given from its threshold on."""

    EVALUATED = ("labels", "predicted_labels")
    PREDICTED = ("labels", "probabilities", "predicted_labels")

    def __init__(self, config: ClassifierOptions) -> None:
        super().__init__(config)
        self.thresholds = find_thresholds(config.thresholds, config.labels)

    def to_values(self, logits: np.ndarray) -> np.ndarray:
        return expit(np.asarray(logits, np.float64))

    def to_logits(self, values: np.ndarray) -> np.ndarray:
        return logit(np.clip(values, _TINY, _ONE))

    def measure(self, logits: np.ndarray, label_ids: np.ndarray) -> dict[str, Any]:
        return multi_label_metrics(logits, label_ids, self.config.labels, self.thresholds)

    def tell(self, metrics: dict[str, Any]) -> Iterator[str]:
        for name in ("micro_f1", "macro_f1", "sample_f1", "subset_accuracy", "mean_average_precision"):
            if name in metrics:
                words = name.replace("_", " ").replace("f1", "F1")
                yield f"{words[0].upper()}{words[1:]} {metrics[name]:.6f}"

    def decide(self, values: np.ndarray) -> str:
        return self._list(values >= self.thresholds)

    def name(self, label_ids: Any) -> str:
        return self._list(label_ids)

    def describe(self, values: np.ndarray) -> list[str]:
        return [json.dumps([float(f"{value:.6f}") for value in values[values >= self.thresholds]]), self.decide(values)]

    def _list(self, has):
        return json.dumps([label for label, there in zip(self.config.labels, has) if there], ensure_ascii=False)


def make_kind(config: ClassifierOptions) -> Classes:
    """The kind of answers that the settings ask for; the labels are settled."""
    if config.has_choices:
        return Choices(config)
    if config.is_regression:
        return Score(config)
    return LabelLists(config) if config.multi_label else Classes(config)
