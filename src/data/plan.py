"""Which rows go into which batch, and how long each batch is padded: decided in NumPy before anything runs.

Batches are cut from length-sorted windows of shuffled rows and padded to one of a few lengths, each compiled once.
A plan is made of *global* batches and knows nothing of ranks: rank r takes rows r::W of each.
"""

from dataclasses import dataclass

import numpy as np

MAX_BUCKETS = 4
_WINDOW_BATCHES = 50  # rows sorted together: enough for even lengths, few enough to keep the order random
_WORTHWHILE_SAVING = 0.04  # a bucket more must save this share of all tokens: each costs a compilation


@dataclass(frozen=True)
class Plan:
    """Batches in order.

    row_ids: int64 [number of batches, batch size]; a short batch is filled with its last real row.
    num_real: int64 [number of batches], rows that are not filler.
    lengths: int64 [number of batches], tokens each batch is padded to.
    """

    row_ids: np.ndarray
    num_real: np.ndarray
    lengths: np.ndarray

    def __len__(self):
        return len(self.num_real)

    def __getitem__(self, batches):
        """The plan of some of the batches: a slice or a mask."""
        return Plan(self.row_ids[batches], self.num_real[batches], self.lengths[batches])

    def is_real(self):
        """bool [number of batches, batch size], False for filler rows."""
        return np.arange(self.row_ids.shape[1]) < self.num_real[:, None]

    def padding_share(self, row_lengths):
        """Share of all token places that hold no token of a real row."""
        places = (self.lengths * self.row_ids.shape[1]).sum()
        return float(1.0 - row_lengths[self.row_ids][self.is_real()].sum() / max(places, 1))


def plan_epoch(row_lengths, buckets, batch_size, seed, epoch, shuffle=True):
    """The plan of one pass over all rows, each row exactly once.

    Args:
        row_lengths: int [rows], tokens of each row.
        buckets: ascending lengths; the last must hold the longest row.
        batch_size: rows of a global batch.
        seed, epoch: they alone decide the order.
        shuffle: False sorts all rows by length: the best packing, for evaluation.
    """
    row_ids, num_real = _cut(np.asarray(row_lengths), batch_size, seed, epoch, shuffle)
    longest = row_lengths[row_ids].max(1)
    places = np.searchsorted(buckets, longest)
    if places.max() >= len(buckets):
        raise ValueError(f"bucket_list={tuple(buckets)}: a row has {longest.max()} tokens")
    return Plan(row_ids, num_real, np.asarray(buckets)[places])


def plan_epochs(row_lengths, buckets, batch_size, seed, epochs, shuffle=True, drop_short=False):
    """The plans of `epochs` passes (may be fractional) behind each other, and the number of batches in one pass.

    Args:
        drop_short: leave out each epoch's batch that filler rows complete.
    """
    plans = [plan_epoch(row_lengths, buckets, batch_size, seed, epoch, shuffle) for epoch in range(int(np.ceil(epochs)))]
    if drop_short:
        plans = [plan[plan.num_real == batch_size] for plan in plans]
    joined = Plan(*(np.concatenate([getattr(plan, name) for plan in plans]) for name in ("row_ids", "num_real", "lengths")))
    return joined[: max(1, round(epochs * len(plans[0])))], len(plans[0])


def choose_buckets(row_lengths, batch_size, seed, shuffle=True, multiple=1):
    """At most MAX_BUCKETS lengths that make the padding least, fewer where one more would save little.

    Exact for the plan of the first epoch, by dynamic programming over the longest rows of its batches.

    Args:
        multiple: lengths are rounded up to a multiple of it.
    """
    row_lengths = np.asarray(row_lengths)
    row_ids, _ = _cut(row_lengths, batch_size, seed, 0, shuffle)
    longest = -(-row_lengths[row_ids].max(1) // multiple) * multiple
    lengths, counts = np.unique(np.append(longest, -(-row_lengths.max() // multiple) * multiple), return_counts=True)
    counts = counts.astype(np.float64)
    counts[-1] -= 1  # appended above only to be a candidate: another epoch may put the longest row anywhere
    below = np.concatenate([[0.0], np.cumsum(counts)])
    cost, choice = below[1:] * lengths, [[length] for length in lengths]  # one bucket for all batches up to each length
    best_cost, best = cost[-1], choice[-1]
    for _ in range(MAX_BUCKETS - 1):
        new_cost, new_choice = cost.copy(), list(choice)
        for last in range(1, len(lengths)):
            totals = cost[:last] + (below[last + 1] - below[1 : last + 1]) * lengths[last]
            split = int(totals.argmin())
            if totals[split] < new_cost[last]:
                new_cost[last], new_choice[last] = totals[split], [*choice[split], lengths[last]]
        cost, choice = new_cost, new_choice
        if cost[-1] > best_cost * (1 - _WORTHWHILE_SAVING):
            break
        best_cost, best = cost[-1], choice[-1]
    return tuple(int(length) for length in best)


def _cut(row_lengths, batch_size, seed, epoch, shuffle):
    """Row ids [batches, batch size] and the number of real rows of each batch."""
    count = len(row_lengths)
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(count) if shuffle else np.arange(count)
    window = _WINDOW_BATCHES * batch_size if shuffle else count
    windows = [order[start : start + window] for start in range(0, count, window)]
    order = np.concatenate([rows[np.argsort(row_lengths[rows], kind="stable")] for rows in windows])
    num_batches = -(-count // batch_size)
    filler = np.repeat(order[-1:], num_batches * batch_size - count)
    row_ids = np.concatenate([order, filler]).reshape(num_batches, batch_size)
    num_real = np.full(num_batches, batch_size)
    num_real[-1] -= len(filler)
    shuffled = random.permutation(num_batches) if shuffle else np.arange(num_batches)
    return row_ids[shuffled], num_real[shuffled]
