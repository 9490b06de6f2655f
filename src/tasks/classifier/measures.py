"""Measures of classification, with scikit-learn and SciPy: NumPy arrays in, a dict out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import expit, log_softmax
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    matthews_corrcoef,
    precision_recall_fscore_support,
    roc_auc_score,
)


def classification_metrics(logits: np.ndarray, label_ids: np.ndarray) -> dict[str, float]:
    """All measures that are defined for these labels.

    Args:
        logits: float [rows, classes].
        label_ids: int [rows].

    Returns:
        num_examples; eval_loss (mean cross-entropy); accuracy; precision, recall and f1, for class 1 if there are two classes,
        else the macro average over the classes that occur; mcc; spearman_correlation of predicted and true ids if both vary;
        auc of class 1 if there are two classes and both occur.
    """
    log_probs = log_softmax(np.asarray(logits, np.float64), axis=1)
    predicted = log_probs.argmax(1)
    binary = log_probs.shape[1] == 2
    precision, recall, f1, _ = precision_recall_fscore_support(
        label_ids, predicted, average="binary" if binary else "macro", zero_division=0
    )
    metrics = {
        "num_examples": len(label_ids),
        "eval_loss": -log_probs[np.arange(len(label_ids)), label_ids].mean(),
        "accuracy": accuracy_score(label_ids, predicted),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "mcc": matthews_corrcoef(label_ids, predicted) if len({*label_ids, *predicted}) > 1 else 0.0,
    }
    if len(set(label_ids)) > 1 and len(set(predicted)) > 1:
        metrics["spearman_correlation"] = spearmanr(label_ids, predicted).statistic
    if binary and len(set(label_ids)) == 2:
        metrics["auc"] = roc_auc_score(label_ids, log_probs[:, 1] - log_probs[:, 0])
    return {name: value if name == "num_examples" else float(value) for name, value in metrics.items()}


def regression_metrics(scores: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Measures of a regression.

    Args:
        scores: predicted, float [rows].
        targets: true, float [rows].

    Returns:
        num_examples; eval_loss (mean squared error); pearson_correlation and spearman_correlation if both vary.
    """
    scores, targets = np.asarray(scores, np.float64), np.asarray(targets, np.float64)
    metrics = {"num_examples": len(targets), "eval_loss": float(np.mean((scores - targets) ** 2))}
    if len(set(scores)) > 1 and len(set(targets)) > 1:
        metrics["pearson_correlation"] = float(pearsonr(targets, scores).statistic)
        metrics["spearman_correlation"] = float(spearmanr(targets, scores).statistic)
    return metrics


def multi_label_metrics(logits: np.ndarray, label_ids: np.ndarray, labels: Sequence[str], thresholds: np.ndarray) -> dict[str, Any]:
    """Measures of texts with several labels, as scikit-learn defines them; what has no denominator is 0.

    Args:
        logits: float [texts, C].
        label_ids: [texts, C], 0 or 1.
        labels: C names.
        thresholds: float [C], probabilities from which a text has a label.

    Returns:
        num_examples; eval_loss (mean binary cross-entropy); micro_precision, micro_recall, micro_f1; macro_f1; sample_f1, the mean of the
        texts' own; subset_accuracy, the share of texts with exactly the right labels; mean_average_precision of the labels that occur, if
        any does; and per_label: for each name threshold, num_examples, precision, recall, f1, and if it occurs average_precision, if it is
        also absent from a text auc.
    """
    logits, truth = np.asarray(logits, np.float64), np.asarray(label_ids, np.int64)
    predicted = (expit(logits) >= thresholds).astype(np.int64)
    losses = np.logaddexp(0, logits) - logits * truth
    per_label = _measure_labels(logits, truth, predicted, labels, thresholds)
    precision, recall, f1, _ = precision_recall_fscore_support(truth, predicted, average="micro", zero_division=0)
    metrics = {
        "num_examples": len(truth),
        "eval_loss": float(losses.mean()),
        "micro_precision": float(precision),
        "micro_recall": float(recall),
        "micro_f1": float(f1),
        "macro_f1": float(f1_score(truth, predicted, average="macro", zero_division=0)),
        "sample_f1": float(f1_score(truth, predicted, average="samples", zero_division=0)),
        "subset_accuracy": float(accuracy_score(truth, predicted)),
    }
    if average := [figures["average_precision"] for figures in per_label.values() if "average_precision" in figures]:
        metrics["mean_average_precision"] = float(np.mean(average))
    return metrics | {"per_label": per_label}


def _measure_labels(logits, truth, predicted, labels, thresholds):
    found = precision_recall_fscore_support(truth, predicted, average=None, zero_division=0)
    per_label = {}
    for number, (label, *figures, count) in enumerate(zip(labels, *found)):
        names = zip(("precision", "recall", "f1"), map(float, figures))
        per_label[label] = {"threshold": float(thresholds[number]), "num_examples": int(count), **dict(names)}
        if count:
            per_label[label]["average_precision"] = float(average_precision_score(truth[:, number], logits[:, number]))
        if 0 < count < len(truth):
            per_label[label]["auc"] = float(roc_auc_score(truth[:, number], logits[:, number]))
    return per_label
