"""Figures of a finished run, drawn from its log.jsonl and evaluation.csv: `python -m src.report.plots RUN`.

Writes RUN/figures/loss and confusion, each as .png and .svg.
"""

import argparse
import csv
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import confusion_matrix

from src.config.loader import bad_input_exits
from src.files import written_whole
from src.log import logger


def plot_loss(run):
    """Training loss against the update number."""
    with open(run / "log.jsonl", encoding="utf-8") as file:
        records = [record for record in map(json.loads, file) if "loss" in record]
    figure, axes = plt.subplots(figsize=(6, 4))
    axes.plot([record["step"] for record in records], [record["loss"] for record in records])
    axes.set(xlabel="step", ylabel="training loss", title="Training loss")
    axes.grid(alpha=0.3)
    _save(figure, run, "loss")


def plot_confusion(run):
    """Predicted against true class, shares of each true class."""
    with open(run / "evaluation.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    labels = list(json.loads((run / "label_map.json").read_text(encoding="utf-8")))
    matrix = confusion_matrix([row["label"] for row in rows], [row["predicted_label"] for row in rows], labels=labels)
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    size = max(4.0, 0.5 * len(labels) + 1.5)
    figure, axes = plt.subplots(figsize=(size, size))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xticks=range(len(labels)), yticks=range(len(labels)), xlabel="predicted", ylabel="true", title="Confusion matrix")
    axes.set_xticklabels(labels, rotation=60, ha="right")
    axes.set_yticklabels(labels)
    for row, column in np.ndindex(*matrix.shape):
        if matrix[row, column]:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, matrix[row, column], ha="center", va="center", fontsize=7, color=colour)
    _save(figure, run, "confusion")


def _save(figure, run, name):
    figure.tight_layout()
    for suffix in ("png", "svg"):
        with written_whole(run / "figures" / f"{name}.{suffix}") as temporary:
            figure.savefig(temporary, dpi=120)
    plt.close(figure)
    logger.info(f"wrote {run}/figures/{name}.png and .svg")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="output folders of run scripts")
    options = parser.parse_args(argv)
    with bad_input_exits():
        for run in options.runs:
            plot_loss(run)
            if (run / "evaluation.csv").is_file():
                plot_confusion(run)


if __name__ == "__main__":
    main()
