"""Pretraining rows for the pipeline, with the masks of the records or with new ones in each epoch."""

import numpy as np

from src.records.plan import Batch
from src.records.record_set import RecordSet, make_key
from src.tasks.pretrain.keyed_random import make_keys
from src.tasks.pretrain.masks import Masking, draw_masks

_DRAWN = ("input_ids", "masked_lm_positions", "masked_lm_ids", "masked_lm_weights")


class PretrainRows:
    """A RecordSet of pretraining rows with an additional column and, optionally, masks of its own.

    The column is `rows_per_token`: the rows of a batch's update divided by their masked tokens (float32 scalar).

    Args:
        masking: settings of the masks that are drawn in each epoch instead of the records' own; they depend only on seed, epoch
            and row. None keeps the records' masks.
        seed: starts the random masks.
    """

    def __init__(self, records: RecordSet, masking: Masking | None = None, seed: int = 0) -> None:
        self.records, self.masking, self.seed = records, masking, seed
        self.lengths, self.key = records.lengths, records.key
        self.num_masked = records.rows["masked_lm_positions"].shape[1]  # places for masked positions in a row
        if masking is not None:
            self.key = int(make_key(records.key, masking)[:15], 16)
        self._update: tuple[tuple[int, bytes], ...] | None = None
        self._parts: dict[int, tuple[np.ndarray, dict[str, np.ndarray]]] = {}

    def column(self, name: str, batch: Batch) -> np.ndarray | np.float32:
        """One column of a Batch, as by `RecordSet.column`."""
        if name == "rows_per_token":
            if self.masking is not None:
                self._draw(batch.update)
            weights = np.concatenate([self._weights(epoch, row_ids) for epoch, row_ids in batch.update])
            return np.float32(len(weights) / max(weights.sum(dtype=np.float64), 1.0))
        if self.masking is None or name not in _DRAWN:
            return self.records.column(name, batch)
        row_ids, columns = self._draw(batch.update)[batch.epoch]
        values = columns[name][np.searchsorted(row_ids, batch.row_ids)]
        if name != "input_ids":
            return values
        values = values[:, : batch.length]
        return np.pad(values, ((0, 0), (0, batch.length - values.shape[1])))

    def _weights(self, epoch, row_ids):
        if self.masking is None:
            return self.records.rows["masked_lm_weights"][row_ids]
        drawn, columns = self._parts[epoch]
        return columns["masked_lm_weights"][np.searchsorted(drawn, row_ids)]

    def _draw(self, update):
        """epoch -> (ascending row numbers, masked columns) for all rows of an update; the last result is kept."""
        wanted = tuple((epoch, row_ids.tobytes()) for epoch, row_ids in update)
        if self._update != wanted:
            self._parts = {epoch: self._draw_epoch(epoch, row_ids) for epoch, row_ids in update}
            self._update = wanted
        return self._parts

    def _draw_epoch(self, epoch, row_ids):
        assert self.masking is not None
        row_ids = np.unique(row_ids)
        lengths = self.lengths[row_ids]
        is_token = np.arange(lengths.max()) < lengths[:, None]
        continues = None
        if "word_continues" in self.records.tokens:
            continues = self._gather("word_continues", row_ids, lengths).astype(bool) & is_token
        ids = self._restore(row_ids, np.where(is_token, self._gather("input_ids", row_ids, lengths), 0).astype(np.int32))
        drawn = draw_masks(ids, lengths, make_keys(self.seed, epoch, row_ids), self.masking, continues)
        return row_ids, dict(zip(_DRAWN, drawn))

    def _gather(self, name, row_ids, lengths):
        offsets = np.minimum(np.arange(lengths.max()), lengths[:, None] - 1)
        return self.records.tokens[name][self.records.starts[row_ids, None] + offsets]

    def _restore(self, row_ids, ids):
        """Undo the records' masks in `ids`, int32 [rows, longest]."""
        positions, true_ids, weights = (self.records.rows[name][row_ids] for name in _DRAWN[1:])
        row, slot = np.nonzero(weights)
        ids[row, positions[row, slot]] = true_ids[row, slot]
        return ids
