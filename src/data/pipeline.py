"""Batches for the network: rows of a RecordSet in the plan's order, padded to the plan's lengths."""

import mindspore.dataset as ds
import numpy as np

_ROW_COLUMNS = ("input_ids", "input_mask", "token_type_ids")  # one value a token; the rest is one value a row
_STORED_NAMES = {"token_type_ids": "segment_ids"}


def make_dataset(records, plan, columns, rank=0, world_size=1):
    """A MindSpore dataset of one rank's share of every global batch, in order.

    Args:
        records: RecordSet.
        plan: Plan.
        columns: names to deliver: stored ones (segment_ids by its name in the network, token_type_ids), `weights`
            (float32, 0 for filler rows) or `row_id` (int32, -1 for filler rows).
        rank, world_size: rank r takes rows r::world_size.
    """
    row_ids = plan.row_ids[:, rank::world_size]
    real = plan.is_real()[:, rank::world_size]
    made = {"weights": real.astype(np.float32), "row_id": np.where(real, row_ids, -1).astype(np.int32)}
    stored = [_STORED_NAMES.get(name, name) for name in columns if name not in made]

    def collate(*lists_and_info):
        *lists, info = lists_and_info
        rows = dict(zip(stored, lists))
        index = info.get_batch_num()
        batch = []
        for name in columns:
            if name in made:
                batch.append(made[name][index])
            elif name in _ROW_COLUMNS:
                batch.append(_pad(rows[_STORED_NAMES.get(name, name)], plan.lengths[index]))
            else:
                batch.append(np.concatenate([np.reshape(value, -1)[:1] for value in rows[name]]).astype(np.int32))
        return tuple(batch)

    sampler = ds.SubsetSampler(row_ids.reshape(-1).tolist())
    dataset = ds.MindDataset(records.path, columns_list=stored, sampler=sampler)
    return dataset.batch(row_ids.shape[1], per_batch_map=collate, input_columns=stored, output_columns=list(columns))


def _pad(rows, length):
    """Arrays of different lengths as int32 [rows, length], padded with 0."""
    padded = np.zeros((len(rows), length), np.int32)
    for row, values in zip(padded, rows):
        row[: len(values)] = values
    return padded
