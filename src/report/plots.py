"""Figures of finished runs, drawn from their log.jsonl and evaluation.csv: `python -m src.report.plots RUN...`.

Written to RUN/figures as .png and .svg. Every run: loss, with the scores of evaluations during training. Classification: confusion, and
with two classes also metrics, roc, threshold, precision_recall. Several labels a text: roc, precision_recall, labels. Regression: scatter.
"""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from src.cli import Parser, bad_input_exits
from src.files import written_whole
from src.log import logger
from src.report.runs import Curves, Evaluation, Scores, read_evaluation, read_losses, read_scores

_CJK_FONT = re.compile("CJK|Noto Sans SC|Source Han|WenQuanYi|SimHei|YaHei|PingFang|Heiti|Arial Unicode|Droid Sans Fallback")
_LARGEST = 40.0  # inches
_FIGURES = ("loss", "confusion", "metrics", "roc", "threshold", "precision_recall", "labels", "scatter")


def draw(run: Path | str) -> None:
    """Draw all figures that a run's files allow; an info line names those that are skipped.

    Raises:
        FileNotFoundError: the folder is missing, or has neither log.jsonl nor evaluation.csv.
        ValueError: one of them is damaged; with file and line.
    """
    run = Path(run)
    if not run.is_dir():
        raise FileNotFoundError(f"{run}: no such folder; the output folder of a run is expected")
    if not (run / "log.jsonl").is_file() and not (run / "evaluation.csv").is_file():
        raise FileNotFoundError(f"{run}: holds neither log.jsonl nor evaluation.csv; the output folder of a run is expected")
    for name in _FIGURES:  # remove those of an earlier run of another kind
        for suffix in ("png", "svg"):
            (run / "figures" / f"{name}.{suffix}").unlink(missing_ok=True)
    style: dict[Any, Any] = {
        "font.family": ["sans-serif", *find_cjk_font()],
        "text.parse_math": False,  # a $ in a class name is a plain character
        "svg.fonttype": "none",  # keep text as text: the viewer may have fonts that this machine lacks
        "svg.hashsalt": "bert",
    }
    with matplotlib.rc_context(style):
        curves = read_losses(run / "log.jsonl") if (run / "log.jsonl").is_file() else {}
        scores = read_scores(run / "log.jsonl") if curves else None
        figures = [*_plot_log(run / "log.jsonl", curves, scores)]
        if (run / "evaluation.csv").is_file():
            figures += plot_evaluation(run / "evaluation.csv")
        for name, figure in figures:
            _save(figure, run / "figures", name)


def plot_loss(curves: Curves, scores: Scores | None = None) -> Figure:
    """Losses against the update number; on a second axis the development score, if it is no loss itself; its best is marked."""
    figure = Figure(figsize=(6, 4))
    axes = figure.subplots()
    for name, (steps, losses) in curves.items():
        axes.plot(steps, losses, marker="." if len(steps) == 1 or name.startswith("eval") else None, label=name)
    axes.set(xlabel="step", ylabel="loss", title="Training loss")
    axes.grid(alpha=0.3)
    drawn = [axes]
    if scores is not None:
        drawn += _plot_scores(axes, scores)
    if len(curves) > 1 or scores is not None:
        legends = [each.get_legend_handles_labels() for each in drawn]
        lines, names = [line for lines, _ in legends for line in lines], [name for _, names in legends for name in names]
        drawn[-1].legend(lines, names, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2, frameon=False)  # below: no curve is hidden
    return figure


def _plot_scores(axes: Axes, scores: Scores) -> list[Axes]:
    """Mark the best evaluation, on a second axis with the scores unless they are a loss; returns that axis in a list."""
    twins = [] if scores.metric.endswith("loss") else [axes.twinx()]
    for twin in twins:
        twin.plot(scores.steps, scores.values, marker=".", color="black", linestyle="--", label=f"eval {scores.metric}")
        twin.set(ylabel=scores.metric)
    if scores.best_step in scores.steps:
        best = scores.values[scores.steps.index(scores.best_step)]
        label = f"best: {best:.4f} at step {scores.best_step}"
        (twins or [axes])[0].plot([scores.best_step], [best], marker="*", markersize=12, color="red", linestyle="", label=label)
    return twins


def plot_confusion(evaluation: Evaluation) -> Figure:
    """True against predicted class: counts, coloured by their share of the true class."""
    from sklearn.metrics import confusion_matrix  # slow to import, and --help needs none of it

    classes = evaluation.classes
    matrix = confusion_matrix(evaluation.labels, evaluation.predicted, labels=range(len(classes)))
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    size = min(max(4.0, 0.5 * len(classes) + 1.5), _LARGEST)
    figure = Figure(figsize=(size, size))
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="true", title="Confusion matrix")
    axes.set_xticks(range(len(classes)), classes, rotation=60, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    for row, column in np.argwhere(matrix):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, matrix[row, column], ha="center", va="center", fontsize=7, color=colour)
    return figure


def plot_scatter(evaluation: Evaluation) -> Figure:
    """Predicted against true score; the correlations are undefined if either does not vary."""
    from scipy.stats import pearsonr, spearmanr  # slow to import

    true, predicted = evaluation.labels, evaluation.predicted
    varied = len(set(true)) > 1 and len(set(predicted)) > 1
    measures = {"Spearman": spearmanr, "Pearson": pearsonr}
    texts = [f"{name} {f'{measure(true, predicted).statistic:.4f}' if varied else '–'}" for name, measure in measures.items()]
    limits = [min(true.min(), predicted.min()), max(true.max(), predicted.max())]
    figure = Figure(figsize=(5, 5))
    axes = figure.subplots()
    axes.scatter(true, predicted, s=8, alpha=0.5)
    axes.plot(limits, limits, linestyle="--", color="grey", label="predicted = true")
    axes.set(xlabel="true score", ylabel="predicted score", title=", ".join(texts))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _plot_log(path: Path, curves: Curves, scores: Scores | None) -> Iterator[tuple[str, Figure]]:
    if not path.is_file():
        logger.info(f"{path}: no such file; loss is skipped")
    elif curves:
        yield "loss", plot_loss(curves, scores)
    else:
        logger.info(f"{path}: no training losses; loss is skipped")


def plot_evaluation(path: Path) -> Iterator[tuple[str, Figure]]:
    """Yield the figures of an evaluation.csv, with their names."""
    evaluation = read_evaluation(path)
    if not evaluation.classes:
        yield "scatter", plot_scatter(evaluation)
        return
    from src.report import curves, label_curves  # these import scikit-learn, which is slow

    if evaluation.labels.ndim > 1:
        yield "roc", label_curves.plot_label_roc(evaluation)
        yield "precision_recall", label_curves.plot_label_precision_recall(evaluation)
        yield "labels", label_curves.plot_labels(evaluation)
        return
    yield "confusion", plot_confusion(evaluation)
    if len(evaluation.classes) > 2:
        return
    yield "metrics", curves.plot_metrics(evaluation)
    if curves.has_both_classes(evaluation):
        yield "roc", curves.plot_roc(evaluation)
        yield "threshold", curves.plot_threshold(evaluation)
        yield "precision_recall", curves.plot_precision_recall(evaluation)
    else:
        only = evaluation.classes[evaluation.labels[0]]
        logger.info(f"{path}: {only} is the only class among the labels; roc, threshold and precision_recall are skipped")


def find_cjk_font() -> list[str]:
    """A list with the name of a font for Chinese, preferably simplified Chinese; empty if there is none."""
    names = {font.name for font in fontManager.ttflist if _CJK_FONT.search(font.name)}
    return sorted(names, key=lambda name: ("SC" not in name, name))[:1]


def _save(figure, folder, name):
    with warnings.catch_warnings(record=True) as caught:  # matplotlib warns of every missing glyph
        for suffix, metadata in (("png", None), ("svg", {"Date": None})):
            with written_whole(folder / f"{name}.{suffix}") as temporary:
                figure.savefig(temporary, dpi=120, bbox_inches="tight", metadata=metadata)
    texts = sorted({str(warning.message) for warning in caught})
    if any("missing from" in text for text in texts):
        logger.warning(f"{folder / name}.png: no font has all its characters; install one, such as fonts-noto-cjk, or see the .svg")
    for text in texts:
        if "missing from" not in text:
            logger.warning(f"{folder / name}: {text}")
    logger.info(f"wrote {folder / name}.png and .svg")


def main(argv: list[str] | None = None) -> None:
    parser = Parser(prog="python -m src.report.plots", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="output folder of a run script")
    with bad_input_exits():
        options = parser.parse_args(argv)
        for run in options.runs:
            # a run of several seeds or folds has a folder for each
            parts = [] if (run / "log.jsonl").is_file() else sorted([*run.glob("seed-*"), *run.glob("fold-*")])
            for part in parts or [run]:
                draw(part)


if __name__ == "__main__":
    main()
