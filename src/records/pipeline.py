"""Batches for the network: rows of a RecordSet in the plan's order, padded to the plan's lengths."""

from collections.abc import Sequence
from typing import Protocol

import mindspore.dataset as ds
import numpy as np

from src.records.packing import make_columns
from src.records.plan import Batch, EpochPlan, TrainingPlan

PACKING = ("packed_tokens", "token_slots")  # the columns of a packed batch that tell where its tokens stand: see make_columns


class Rows(Protocol):
    """A RecordSet, or rows that make their columns as one does."""

    @property
    def lengths(self) -> np.ndarray: ...

    def column(self, name: str, batch: Batch) -> np.ndarray: ...


class _Batches:
    """Random access to one rank's share of every global batch of a plan, starting with batch `first`."""

    def __init__(self, records: Rows, plan: EpochPlan | TrainingPlan, columns: Sequence[str], first: int, rank: int, world_size: int):
        self.records = records
        self.plan = plan
        self.columns = columns
        self.first = first
        self.rank = rank
        self.world_size = world_size

    def __len__(self):
        return len(self.plan) - self.first

    def __getitem__(self, index):
        batch = self.plan[self.first + int(index)].share(self.rank, self.world_size)
        packed = make_columns(self.records.lengths[batch.row_ids], batch.length, batch.packing) if batch.packing else {}
        return tuple(packed[name] if name in packed else self._column(name, batch) for name in self.columns)

    def _column(self, name, batch):
        if name == "weights":
            return batch.is_real.astype(np.float32)
        if name == "row_id":
            return np.where(batch.is_real, batch.row_ids, -1).astype(np.int32)
        return self.records.column(name, batch)


def make_dataset(
    records: Rows, plan: EpochPlan | TrainingPlan, columns: Sequence[str], first: int = 0, rank: int = 0, world_size: int = 1
) -> ds.GeneratorDataset:
    """A MindSpore dataset of one rank's share of every global batch, in order.

    Args:
        columns: names to deliver: the records' own, `weights` (float32, 0 for filler rows), `row_id` (int32, -1 for filler rows), or
            those of PACKING, which need a packed plan.
        first: number of batches to skip at the beginning of the plan.
        rank, world_size: rank r takes rows r::world_size.
    """
    return ds.GeneratorDataset(_Batches(records, plan, columns, first, rank, world_size), list(columns), shuffle=False)
