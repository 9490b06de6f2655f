"""Batches for the network: rows of a RecordSet in the plan's order, padded to the plan's lengths."""

import mindspore.dataset as ds
import numpy as np


class _Batches:
    """Random access to one rank's share of every global batch of a plan, from batch `first` on."""

    def __init__(self, records, plan, columns, first, rank, world_size):
        self.records, self.plan, self.columns = records, plan, columns
        self.first, self.rank, self.world_size = first, rank, world_size

    def __len__(self):
        return len(self.plan) - self.first

    def __getitem__(self, index):
        batch = self.plan[self.first + int(index)].share(self.rank, self.world_size)
        return tuple(self._column(name, batch) for name in self.columns)

    def _column(self, name, batch):
        if name == "weights":
            return batch.is_real.astype(np.float32)
        if name == "row_id":
            return np.where(batch.is_real, batch.row_ids, -1).astype(np.int32)
        return self.records.column(name, batch)


def make_dataset(records, plan, columns, first=0, rank=0, world_size=1):
    """A MindSpore dataset of one rank's share of every global batch, in order.

    Args:
        records: RecordSet, or rows with the same `column`.
        plan: EpochPlan or TrainingPlan.
        columns: names to deliver: the records' own, or `weights` (float32, 0 for filler rows) or `row_id` (int32, -1 for
            filler rows).
        first: batches of the plan that are left out.
        rank, world_size: rank r takes rows r::world_size.
    """
    return ds.GeneratorDataset(_Batches(records, plan, columns, first, rank, world_size), list(columns), shuffle=False)
