"""Figures of a binary evaluation: ROC, rates against the threshold, precision against recall, and the panel of measures.

Class 1, the second class column of evaluation.csv, is the positive class.
"""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from scipy.special import expit
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    confusion_matrix,
    precision_recall_curve,
    precision_recall_fscore_support,
    roc_auc_score,
    roc_curve,
)

from src.report.runs import Evaluation

_PANEL_NAMES = {"f1": "F1", "auc": "AUC"}


def has_both_classes(evaluation: Evaluation) -> bool:
    """Whether both classes occur among the labels; otherwise there are no curves."""
    return len(set(evaluation.labels)) == 2


def compute_panel(evaluation: Evaluation) -> dict[str, int | float | None]:
    """Counts and measures of the run's own decisions.

    Returns:
        n, tp, tn, fp, fn (int); accuracy, precision, recall, f1, tpr, fpr: 0 where the denominator is 0, as in eval_results.json;
        auc: None if only one class occurs.
    """
    labels, predicted = evaluation.labels, evaluation.predicted
    tn, fp, fn, tp = confusion_matrix(labels, predicted, labels=[0, 1]).ravel().tolist()
    precision, recall, f1, _ = precision_recall_fscore_support(labels, predicted, average="binary", zero_division=0)
    return {
        "n": len(labels),
        "tp": tp,
        "tn": tn,
        "fp": fp,
        "fn": fn,
        "accuracy": float(accuracy_score(labels, predicted)),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "auc": float(roc_auc_score(labels, _margins(evaluation))) if has_both_classes(evaluation) else None,
        "tpr": float(recall),
        "fpr": fp / (fp + tn) if fp + tn else 0.0,
    }


def plot_metrics(evaluation: Evaluation) -> Figure:
    """The panel of measures as a table."""
    cells = [[_PANEL_NAMES.get(name, name), _format(value)] for name, value in compute_panel(evaluation).items()]
    figure = Figure(figsize=(4, 4))
    axes = figure.subplots()
    axes.axis("off")
    axes.table(cells, bbox=Bbox.unit(), edges="horizontal")
    axes.set_title(f"Evaluation, positive class: {evaluation.classes[1]}")
    return figure


def _format(value):
    if value is None:
        return "–"
    return f"{value}" if isinstance(value, int) else f"{value:.4f}"


def plot_roc(evaluation: Evaluation) -> Figure:
    """True against false positive rate; both classes must occur."""
    margins = _margins(evaluation)
    false_rates, true_rates, _ = roc_curve(evaluation.labels, margins)
    figure = Figure(figsize=(5, 5))
    axes = figure.subplots()
    axes.plot(false_rates, true_rates, label=f"AUC = {roc_auc_score(evaluation.labels, margins):.4f}")
    axes.plot([0, 1], [0, 1], linestyle="--", color="grey", label="chance")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC curve", aspect="equal")
    return with_legend(figure)


def plot_threshold(evaluation: Evaluation) -> Figure:
    """True and false positive rate against the threshold on the probability; both classes must occur."""
    false_rates, true_rates, margins = roc_curve(evaluation.labels, _margins(evaluation), drop_intermediate=False)
    thresholds = expit(margins)  # the first margin is inf: threshold 1, where nothing is positive
    figure = Figure(figsize=(6, 4))
    axes = figure.subplots()
    for rates, name in ((true_rates, "true positive rate"), (false_rates, "false positive rate")):
        # a rate applies from its threshold down to the next smaller one, and is 1 at threshold 0
        axes.plot([0, *thresholds[::-1]], [1, *rates[::-1]], drawstyle="steps-pre", label=name)
    axes.set(xlabel="decision threshold", ylabel="rate", title="Rates by decision threshold", xlim=(0, 1))
    return with_legend(figure)


def plot_precision_recall(evaluation: Evaluation) -> Figure:
    """Precision against recall; both classes must occur."""
    labels, margins = evaluation.labels, _margins(evaluation)
    precisions, recalls, _ = precision_recall_curve(labels, margins)
    figure = Figure(figsize=(5, 5))
    axes = figure.subplots()
    label = f"average precision = {average_precision_score(labels, margins):.4f}"
    axes.plot(recalls, precisions, drawstyle="steps-post", label=label)
    axes.axhline(labels.mean(), linestyle="--", color="grey", label=f"base rate = {labels.mean():.4f}")
    axes.set(xlabel="recall", ylabel="precision", title="Precision and recall", ylim=(0, 1.05))
    return with_legend(figure)


def _margins(evaluation):
    """Log-odds of class 1; unlike probabilities they distinguish 0.99999999999 from 1, as the run's own AUC does."""
    logs = np.log(np.maximum(evaluation.probabilities, np.finfo(float).tiny))
    return logs[:, 1] - logs[:, 0]


def with_legend(figure: Figure) -> Figure:
    """The figure, with a grid and, if a curve has a name, a legend."""
    axes = figure.axes[0]
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[1]:
        axes.legend()
    return figure
