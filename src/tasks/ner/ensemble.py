"""The mean of several taggers: of their tokens' probabilities, or of the emissions and transitions of their CRFs; and of pointers: of their
spans' scores."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mindspore import nn
from scipy.special import log_softmax, logsumexp, softmax

from src.config.model import MASK_BIAS
from src.tasks.ner.network import Emissions
from src.tasks.ner.pointer import Pointer
from src.tasks.ner.serving import find_best_path, find_spans
from src.tasks.task import Prepared

PER_TOKEN = True  # whether outputs belong to tokens, so that all networks must read the same tokens


def cell(network: nn.Cell) -> nn.Cell:
    """The cell that gives what is averaged."""
    return network if isinstance(network, Pointer) else Emissions(network)


class Average:
    """The mean over networks, and the outputs that follow from it, as those of TaggerScores or PointerScores."""

    def __init__(self, prepared: Prepared, split: str) -> None:
        kind = _PointerAverage if prepared.config.is_pointer else _TaggerAverage
        self._kind: Any = kind(prepared, split)

    def add(self, network: nn.Cell, outputs: Sequence[Any]) -> None:
        """Add what `cell` gave for every row.

        Raises:
            ValueError: the network has another kind of head than the others.
        """
        self._kind.add(network, outputs)

    def outputs(self) -> tuple[list[np.ndarray], list[float], list[float]]:
        """Tags or spans, losses and counts of each row."""
        return self._kind.outputs()


class _PointerAverage:
    """The mean of the scores of spans. Those of all rows are held in memory, 4 bytes for each type and each two tokens of a row."""

    def __init__(self, prepared: Prepared, split: str) -> None:
        records = prepared.records[split]
        self._lengths = records.lengths.tolist()
        self._label_ids = records.rows["label_ids"]
        self._sums: list[Any] = [0.0] * len(self._lengths)
        self._count = 0

    def add(self, network: nn.Cell, outputs: Sequence[Any]) -> None:
        """Add the scores of a network for every row, float32 [S, C, S]."""
        self._sums = [total + row[:length, :, :length] for total, row, length in zip(self._sums, outputs[0], self._lengths)]
        self._count += 1

    def outputs(self) -> tuple[list[np.ndarray], list[float], list[float]]:
        """Spans, losses and counts of each row, as PointerScores returns them."""
        means = [total / self._count for total in self._sums]
        losses = [_span_loss(scores, label_ids) for scores, label_ids in zip(means, self._label_ids)]
        return [find_spans(scores) for scores in means], losses, [float(length > 2) for length in self._lengths]


def _span_loss(scores, label_ids):
    """PointerLoss of a row of scores [S, C, S] and spans [M, 3]; 0 for a row without tokens."""
    types, first, last = label_ids[label_ids[:, 0] >= 0].T
    scores = scores.astype(np.float64)
    is_entity = np.zeros(scores.shape, bool)
    is_entity[first, types, last] = True
    is_other = ~is_entity & (scores > MASK_BIAS / 2)
    parts = [np.where(is_other, scores, -np.inf), np.where(is_entity, -scores, -np.inf)]
    if not is_other.any() and not is_entity.any():
        return 0.0
    return float(sum(np.logaddexp(0.0, logsumexp(part, axis=(0, 2))).mean() for part in parts))


class _TaggerAverage:
    """The mean of tags; CRFs are averaged before the normalisation, as a CRF whose scores are the mean of theirs."""

    def __init__(self, prepared: Prepared, split: str) -> None:
        records = prepared.records[split]
        self._use_crf = prepared.config.has_crf
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
            raise ValueError("head: some of the runs have a CRF, others none; their emissions are not comparable")
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
