"""The mean of several taggers: of their tokens' probabilities, or of the emissions and transitions of their CRFs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mindspore import nn
from scipy.special import log_softmax, logsumexp, softmax

from src.tasks.ner.network import Emissions
from src.tasks.ner.serving import find_best_path
from src.tasks.task import Prepared

PER_TOKEN = True  # whether outputs belong to tokens, so that all networks must read the same tokens


def cell(network: nn.Cell) -> nn.Cell:
    """The cell that gives what is averaged."""
    return Emissions(network)


class Average:
    """The mean over networks, and the tags and losses that follow from it.

    CRFs are averaged before the normalisation, as a CRF whose scores are the mean of theirs.
    """

    def __init__(self, prepared: Prepared, split: str) -> None:
        records = prepared.records[split]
        self._use_crf = prepared.config.use_crf
        self._label_ids = np.split(np.asarray(records.tokens["label_ids"]), records.starts[1:])
        self._sums = [np.zeros((len(label_ids), len(prepared.config.labels))) for label_ids in self._label_ids]
        self._crf: list[Any] = [0.0, 0.0, 0.0]
        self._count = 0

    def add(self, network: nn.Cell, outputs: Sequence[Any]) -> None:
        """Add the emissions of a network for every row, and the scores of its CRF.

        Raises:
            ValueError: it has a CRF and the others have none, or the other way round.
        """
        crf = network.head.crf
        if (crf is not None) != self._use_crf:
            raise ValueError("use_crf: some of the runs have a CRF, others none; their emissions are not comparable")
        for total, row in zip(self._sums, outputs[0]):
            row = row[: len(total)].astype(np.float64)
            total += row if self._use_crf else softmax(row, axis=1)
        if crf is not None:
            self._crf = [total + scores.asnumpy().astype(np.float64) for total, scores in zip(self._crf, crf())]
        self._count += 1

    def outputs(self) -> tuple[list[np.ndarray], list[float], list[float]]:
        """Tags, losses and counts of each row, as TaggerScores returns them."""
        crf = [total / self._count for total in self._crf] if self._use_crf else []
        tags, losses, counts = [], [], []
        for total, label_ids in zip(self._sums, self._label_ids):
            scores = total / self._count
            if not self._use_crf:
                scores = np.log(np.maximum(scores, np.finfo(np.float64).tiny))
            inner, labels = scores[1:-1], label_ids[1:-1]  # without [CLS] and [SEP]
            found = find_best_path(inner, *crf) if crf and len(inner) else inner.argmax(-1)
            tags.append(np.pad(found, 1).astype(np.int32))
            loss, count = _crf_loss(inner, labels, *crf) if crf else _token_loss(inner, labels)
            losses.append(loss)
            counts.append(count)
        return tags, losses, counts


def _token_loss(scores, labels):
    """The sum of -log p over the tokens with a label, and their number."""
    labelled = np.flatnonzero(labels >= 0)
    return float(-log_softmax(scores, axis=1)[labelled, labels[labelled]].sum()), float(len(labelled))


def _crf_loss(emissions, labels, transitions, start, end):
    """-log p of a row's labels, and 1; zeros without labels."""
    if not len(labels) or labels.min() < 0:
        return 0.0, 0.0
    total = start + emissions[0]
    for now in emissions[1:]:
        total = logsumexp(total[:, None] + transitions, axis=0) + now
    own = start[labels[0]] + emissions[np.arange(len(labels)), labels].sum() + transitions[labels[:-1], labels[1:]].sum() + end[labels[-1]]
    return float(logsumexp(total + end) - own), 1.0
