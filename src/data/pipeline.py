"""Batches for the network: rows of a RecordSet in the plan's order, padded to the plan's lengths."""

import mindspore.dataset as ds
import numpy as np


class _Batches:
    """Random access to one rank's share of every global batch of a plan."""

    def __init__(self, records, plan, columns, rank, world_size):
        self.records, self.columns, self.lengths = records, columns, plan.lengths
        self.row_ids = plan.row_ids[:, rank::world_size]
        self.real = plan.is_real()[:, rank::world_size]

    def __len__(self):
        return len(self.lengths)

    def __getitem__(self, index):
        return tuple(self._column(name, index) for name in self.columns)

    def _column(self, name, index):
        row_ids, real = self.row_ids[index], self.real[index]
        if name == "weights":
            return real.astype(np.float32)
        if name == "row_id":
            return np.where(real, row_ids, -1).astype(np.int32)
        return self.records.batch(name, row_ids, self.lengths[index])


def make_dataset(records, plan, columns, rank=0, world_size=1):
    """A MindSpore dataset of one rank's share of every global batch, in order.

    Args:
        records: RecordSet.
        plan: Plan.
        columns: names to deliver: the records' own, `input_mask`, `weights` (float32, 0 for filler rows) or `row_id`
            (int32, -1 for filler rows).
        rank, world_size: rank r takes rows r::world_size.
    """
    return ds.GeneratorDataset(_Batches(records, plan, columns, rank, world_size), list(columns), shuffle=False)
