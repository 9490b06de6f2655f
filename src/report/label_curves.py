"""Figures of an evaluation with several labels a row: ROC and precision against recall of each label, and its F1."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve, roc_auc_score, roc_curve

from src.report.curves import with_legend
from src.report.runs import Evaluation

_NAMED = 10  # labels whose curves have colours and names; those of the others are grey
_LARGEST = 40.0  # inches


def plot_label_roc(evaluation: Evaluation) -> Figure:
    """True against false positive rate of each label, and of all decisions together."""
    figure = Figure(figsize=(6, 6))
    axes = figure.subplots()
    for truth, scores, style in _list_curves(evaluation):
        name = style.pop("label", None)
        label = name and f"{name}: {roc_auc_score(truth, scores):.4f}"
        axes.plot(*roc_curve(truth, scores)[:2], label=label, **style)
    axes.plot([0, 1], [0, 1], linestyle="--", color="grey")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC curves, with their areas", aspect="equal")
    return with_legend(figure)


def plot_label_precision_recall(evaluation: Evaluation) -> Figure:
    """Precision against recall of each label, and of all decisions together."""
    figure = Figure(figsize=(6, 6))
    axes = figure.subplots()
    for truth, scores, style in _list_curves(evaluation):
        name = style.pop("label", None)
        label = name and f"{name}: {average_precision_score(truth, scores):.4f}"
        precisions, recalls, _ = precision_recall_curve(truth, scores)
        axes.plot(recalls, precisions, drawstyle="steps-post", label=label, **style)
    axes.set(xlabel="recall", ylabel="precision", title="Precision and recall, with average precision", ylim=(0, 1.05))
    return with_legend(figure)


def plot_labels(evaluation: Evaluation) -> Figure:
    """F1 of each label at its threshold, as bars with the number of rows that have it."""
    f1 = f1_score(evaluation.labels, evaluation.predicted, average=None, zero_division=0)
    names = [f"{name} ({count})" for name, count in zip(evaluation.classes, evaluation.labels.sum(0))]
    figure = Figure(figsize=(6, min(max(2.0, 0.3 * len(names) + 1), _LARGEST)))
    axes = figure.subplots()
    axes.barh(range(len(names)), f1)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlabel="F1", xlim=(0, 1), title="F1 by label (rows that have it)")
    axes.grid(alpha=0.3, axis="x")
    return figure


def _list_curves(evaluation: Evaluation) -> Iterator[tuple[np.ndarray, np.ndarray, dict[str, Any]]]:
    """Yield (labels, probabilities, style of the line) of each label that some rows have and others lack; all together last."""
    counts = evaluation.labels.sum(0)
    drawn = [number for number in np.argsort(-counts, kind="stable") if 0 < counts[number] < len(evaluation.labels)]
    for number in [*drawn[_NAMED:], *drawn[:_NAMED]]:  # the named ones above the others
        style = {"label": evaluation.classes[number]} if number in drawn[:_NAMED] else {"color": "lightgrey", "linewidth": 0.8}
        yield evaluation.labels[:, number], evaluation.probabilities[:, number], style
    if drawn:
        yield evaluation.labels.ravel(), evaluation.probabilities.ravel(), {"label": "micro average", "color": "black"}
