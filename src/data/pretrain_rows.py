"""Pretraining rows for the pipeline: with the masks of the records, or with masks drawn anew each epoch."""

from dataclasses import dataclass

import numpy as np

from src.data.pretrain import Masking, draw_masks, make_keys
from src.data.records import RecordSet, make_key

_MASKED = ("input_ids", "masked_lm_positions", "masked_lm_ids", "masked_lm_weights")


@dataclass(frozen=True)
class StaticMasks(RecordSet):
    """Rows as the records have them.

    One column more, `rows_per_token`: the rows of a batch's update divided by their masked tokens (float32 scalar).
    """

    def column(self, name, batch):
        if name == "rows_per_token":
            return _rows_per_token(self.rows["masked_lm_weights"][batch.update_row_ids])
        return super().column(name, batch)


class DynamicMasks:
    """Rows whose masks are drawn anew each epoch; they follow from seed, epoch and row alone.

    Args:
        records: StaticMasks; its own masks are undone first.
        masking: Masking.
        seed: of the draws.
    """

    def __init__(self, records, masking: Masking, seed):
        self.records, self.masking, self.seed = records, masking, seed
        self.lengths, self.rows, self.tokens = records.lengths, records.rows, records.tokens
        self.key = int(make_key(records.key, masking)[:15], 16)
        self._drawn = (None, None)

    def column(self, name, batch):
        if name not in (*_MASKED, "rows_per_token"):
            return self.records.column(name, batch)
        row_ids, columns = self._draw(batch)
        if name == "rows_per_token":
            return _rows_per_token(columns["masked_lm_weights"])
        values = columns[name][np.searchsorted(row_ids, batch.row_ids)]
        if name != "input_ids":
            return values
        values = values[:, : batch.length]
        return np.pad(values, ((0, 0), (0, batch.length - values.shape[1])))

    def _draw(self, batch):
        """Masked columns of all rows of the batch's update, by ascending row number; kept until the next update."""
        which = (batch.epoch, batch.update_row_ids.tobytes())
        if self._drawn[0] != which:
            row_ids = np.unique(batch.update_row_ids)
            lengths = self.lengths[row_ids]
            ids = self._restore(row_ids, lengths)
            places = np.arange(ids.shape[1])
            continues = None
            if "word_continues" in self.tokens:
                continues = self._gather("word_continues", row_ids, lengths).astype(bool) & (places < lengths[:, None])
            drawn = draw_masks(ids, lengths, make_keys(self.seed, batch.epoch, row_ids), self.masking, continues)
            self._drawn = which, (row_ids, dict(zip(_MASKED, drawn)))
        return self._drawn[1]

    def _gather(self, name, row_ids, lengths):
        places = np.minimum(np.arange(lengths.max()), lengths[:, None] - 1)
        return self.tokens[name][self.records.starts[row_ids, None] + places]

    def _restore(self, row_ids, lengths):
        """The rows' tokens before the records' masks: int32 [rows, longest]."""
        ids = np.where(np.arange(lengths.max()) < lengths[:, None], self._gather("input_ids", row_ids, lengths), 0).astype(np.int32)
        positions, true_ids, weights = (self.rows[name][row_ids] for name in _MASKED[1:])
        row, slot = np.nonzero(weights)
        ids[row, positions[row, slot]] = true_ids[row, slot]
        return ids


def _rows_per_token(weights):
    return np.float32(len(weights) / max(weights.sum(dtype=np.float64), 1.0))
