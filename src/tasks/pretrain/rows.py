"""Pretraining rows for the pipeline, with the masks of the records or with new ones in each epoch."""

import dataclasses

import numpy as np

from src.records.joined import Records
from src.records.plan import Batch
from src.records.record_set import RecordSet, make_key
from src.tasks.pretrain.keyed_random import make_keys
from src.tasks.pretrain.masks import Masking, draw_masks

_DRAWN = ("input_ids", "masked_lm_positions", "masked_lm_ids", "masked_lm_weights")
_Rows = tuple[np.ndarray, RecordSet, dict[str, np.ndarray]]  # ascending row numbers, these rows, columns that were drawn for them


class PretrainRows:
    """Records of pretraining rows with an additional column and, optionally, masks of its own.

    The column is `rows_per_token`: the rows of a batch's update divided by their masked tokens (float32 scalar).

    Args:
        masking: settings of the masks that are drawn in each epoch instead of the records' own; they depend only on seed, epoch
            and row. None keeps the records' masks.
        seed: starts the random masks.
    """

    def __init__(self, records: Records, masking: Masking | None = None, seed: int = 0) -> None:
        self.records, self.masking, self.seed = records, masking, seed
        self.lengths, self.key = records.lengths, records.key
        self.num_masked = int(records.maxima()["width"])  # places for masked positions in a row
        if masking is not None:
            has_words = "word_continues" in records.maxima()
            self.key = int(make_key(records.key, masking, *masking.list_departures(has_words))[:15], 16)
        self._update: tuple[tuple[int, bytes], ...] | None = None
        self._parts: dict[int, _Rows] = {}
        self._batch: tuple[bytes, _Rows] | None = None

    def column(self, name: str, batch: Batch) -> np.ndarray | np.float32:
        """One column of a Batch, as by `RecordSet.column`."""
        if name == "rows_per_token":
            weights = np.concatenate([self._count_predictions(batch.update, *part) for part in batch.update])
            return np.float32(len(weights) / max(weights.sum(dtype=np.float64), 1.0))
        row_ids, records, drawn = self._read(batch.row_ids) if self.masking is None else self._draw(batch.update)[batch.epoch]
        places = np.searchsorted(row_ids, batch.row_ids)
        if name not in drawn:
            return records.column(name, dataclasses.replace(batch, row_ids=places))
        values = drawn[name][places]
        if name != "input_ids":
            return values
        values = values[:, : batch.length]
        return np.pad(values, ((0, 0), (0, batch.length - values.shape[1])))

    def _count_predictions(self, update, epoch, row_ids):
        """The weights of the predictions of some rows of an update, summed by row."""
        if self.masking is None:
            return self.records.predictions[row_ids]
        known, _, drawn = self._draw(update)[epoch]
        return drawn["masked_lm_weights"][np.searchsorted(known, row_ids)].sum(1)

    def _read(self, row_ids):
        """Ascending row numbers, these rows, and no drawn columns, for the batch with `row_ids`; the last result is kept."""
        wanted = row_ids.tobytes()
        if self._batch is None or self._batch[0] != wanted:
            ascending = np.unique(row_ids)
            self._batch = wanted, (ascending, self.records.take(ascending), {})
        return self._batch[1]

    def _draw(self, update):
        """epoch -> (ascending row numbers, these rows, masked columns) for all rows of an update; the last result is kept."""
        wanted = tuple((epoch, row_ids.tobytes()) for epoch, row_ids in update)
        if self._update != wanted:
            self._parts = {epoch: self._draw_epoch(epoch, row_ids) for epoch, row_ids in update}
            self._update = wanted
        return self._parts

    def _draw_epoch(self, epoch, row_ids):
        assert self.masking is not None
        row_ids = np.unique(row_ids)
        records = self.records.take(row_ids)
        longest = int(records.lengths.max())
        everything = Batch(np.arange(len(row_ids)), len(row_ids), longest)
        continues = records.column("word_continues", everything).astype(bool) if "word_continues" in records.tokens else None
        ids = self._restore(records, records.column("input_ids", everything))
        drawn = draw_masks(ids, records.lengths, make_keys(self.seed, epoch, row_ids), self.masking, continues)
        return row_ids, records, dict(zip(_DRAWN, drawn))

    def _restore(self, records, ids):
        """Undo the records' masks in `ids`, int32 [rows, longest]."""
        positions, true_ids, weights = (records.rows[name] for name in _DRAWN[1:])
        row, slot = np.nonzero(weights)
        ids[row, positions[row, slot]] = true_ids[row, slot]
        return ids
