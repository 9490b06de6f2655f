"""Which rows go into which batch, and how long each batch is padded: decided in NumPy before anything runs.

Shuffled rows are taken in windows, grouped there by the length, one of a few, that each needs, and cut into batches of that
length, each compiled once. Inside a group the order stays random: rows of equal length are often alike (questions on one text).
A plan is made of *global* batches and knows nothing of ranks: rank r takes rows r::W of each.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np

MAX_BUCKETS = 4
_WINDOW_BATCHES = 50  # rows grouped together: enough for even lengths, few enough to keep the order random
_WORTHWHILE_SAVING = 0.04  # a bucket more must save this share of all tokens: each costs a compilation


@dataclass(frozen=True)
class Batch:
    """One global (micro-)batch.

    row_ids: int64 [batch size]; a short batch is filled with its last real row.
    num_real: rows that are not filler.
    length: tokens the batch is padded to.
    epoch: passes over the rows finished before it.
    update: pairs of an epoch and its rows (int64, no filler) in all micro-batches of the update that it belongs to.
    """

    row_ids: np.ndarray
    num_real: int
    length: int
    epoch: int = 0
    update: tuple = ()

    @property
    def is_real(self):
        """bool [batch size], False for filler rows."""
        return np.arange(len(self.row_ids)) < self.num_real

    def share(self, rank, world_size):
        """The rows of one rank: rank r takes rows r::world_size."""
        num_real = len(range(rank, self.num_real, world_size))
        return dataclasses.replace(self, row_ids=self.row_ids[rank::world_size], num_real=num_real)


@dataclass(frozen=True)
class EpochPlan:
    """The batches of one pass over the rows, in order.

    row_ids: int64 [number of batches, batch size]. num_real, lengths: int64 [number of batches]. As in Batch.
    """

    row_ids: np.ndarray
    num_real: np.ndarray
    lengths: np.ndarray

    def __len__(self):
        return len(self.num_real)

    def __getitem__(self, index):
        return Batch(self.row_ids[index], int(self.num_real[index]), int(self.lengths[index]))

    def drop_short(self):
        """The plan without the batch that filler rows complete."""
        whole = self.num_real == self.row_ids.shape[1]
        return EpochPlan(self.row_ids[whole], self.num_real[whole], self.lengths[whole])

    def part(self, rank, world_size):
        """The batches of one rank where each runs whole batches: rank r takes batches r::W."""
        taken = slice(rank, None, world_size)
        return EpochPlan(self.row_ids[taken], self.num_real[taken], self.lengths[taken])

    def padding_share(self, row_lengths):
        """Share of all token places that hold no token of a real row."""
        places = (self.lengths * self.row_ids.shape[1]).sum()
        is_real = np.arange(self.row_ids.shape[1]) < self.num_real[:, None]
        return float(1.0 - row_lengths[self.row_ids][is_real].sum() / max(places, 1))


class TrainingPlan:
    """All batches of a training; each epoch's order is made when its first batch is asked for.

    Args:
        row_lengths: int [rows], tokens of each row.
        buckets: ascending lengths; the last must hold the longest row.
        batch_size: rows of a global batch.
        seed: decides every epoch's order.
        updates, epochs: where the training ends: after so many updates, or as many whole ones as fit into so many epochs.
        shuffle: a new order each epoch; False keeps the rows of a length in their order, the shorter lengths first.
        drop_short: leave out each epoch's batch that filler rows complete.
        accumulation_steps: batches that make one update.

    Raises:
        ValueError: not one whole update comes together.
    """

    def __init__(
        self, row_lengths, buckets, batch_size, seed, updates=None, epochs=1, shuffle=True, drop_short=False, accumulation_steps=1
    ):
        self.row_lengths, self.buckets, self.batch_size, self.seed = row_lengths, buckets, batch_size, seed
        self.shuffle, self.drop_short, self.accumulation_steps = shuffle, drop_short, accumulation_steps
        count = len(row_lengths)
        self.batches_per_epoch = count // batch_size if drop_short else -(-count // batch_size)
        if not self.batches_per_epoch:
            raise ValueError(f"a batch has {batch_size} rows, but the training set has {count}: not one whole batch")
        batches = max(1, round(epochs * self.batches_per_epoch)) if updates is None else updates * accumulation_steps
        self.updates = batches // accumulation_steps
        if not self.updates:
            raise ValueError(f"accumulation_steps={accumulation_steps}, but the whole training has {batches} batches")
        self._epochs, self._last_update = {}, (None, ())

    def __len__(self):
        return self.updates * self.accumulation_steps

    def __getitem__(self, index):
        """Batch number `index` of the whole training."""
        epoch, place = divmod(index, self.batches_per_epoch)
        return dataclasses.replace(self.epoch(epoch)[place], epoch=epoch, update=self._update(index // self.accumulation_steps))

    def _update(self, number):
        """The rows of update `number` by epoch; the last one is kept."""
        known, update = self._last_update
        if known != number:
            rows = {}
            for index in range(number * self.accumulation_steps, (number + 1) * self.accumulation_steps):
                epoch, place = divmod(index, self.batches_per_epoch)
                batch = self.epoch(epoch)[place]
                rows.setdefault(epoch, []).append(batch.row_ids[: batch.num_real])
            update = tuple((epoch, np.concatenate(parts)) for epoch, parts in rows.items())
            self._last_update = number, update
        return update

    def epoch(self, number):
        """The EpochPlan of one epoch; the last few are kept."""
        plan = self._epochs.get(number)
        if plan is None:
            plan = plan_epoch(self.row_lengths, self.buckets, self.batch_size, self.seed, number, self.shuffle)
            plan = plan.drop_short() if self.drop_short else plan
            kept = dict(list(self._epochs.items())[-1:])  # a new dict: another thread may read the old one
            self._epochs = {**kept, number: plan}
        return plan


def plan_epoch(row_lengths, buckets, batch_size, seed, epoch, shuffle=True):
    """The plan of one pass over all rows, each row exactly once.

    Args:
        row_lengths: int [rows], tokens of each row.
        buckets: ascending lengths; the last must hold the longest row. With a single one no row is moved for its length.
        batch_size: rows of a global batch.
        seed, epoch: they alone decide the order.
        shuffle: False makes one window of all rows: the best packing, for evaluation.
    """
    row_ids, num_real = _cut(np.searchsorted(buckets, row_lengths), batch_size, seed, epoch, shuffle)
    longest = row_lengths[row_ids].max(1)
    places = np.searchsorted(buckets, longest)
    if places.max() >= len(buckets):
        raise ValueError(f"bucket_list={tuple(buckets)}: a row has {longest.max()} tokens")
    return EpochPlan(row_ids, num_real, np.asarray(buckets)[places])


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


def _cut(keys, batch_size, seed, epoch, shuffle):
    """Row ids [batches, batch size], in each window by rising key, and the number of real rows of each batch."""
    count = len(keys)
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(count) if shuffle else np.arange(count)
    window = _WINDOW_BATCHES * batch_size if shuffle else count
    windows = [order[start : start + window] for start in range(0, count, window)]
    order = np.concatenate([rows[np.argsort(keys[rows], kind="stable")] for rows in windows])
    num_batches = -(-count // batch_size)
    filler = np.repeat(order[-1:], num_batches * batch_size - count)
    row_ids = np.concatenate([order, filler]).reshape(num_batches, batch_size)
    num_real = np.full(num_batches, batch_size)
    num_real[-1] -= len(filler)
    shuffled = random.permutation(num_batches) if shuffle else np.arange(num_batches)
    return row_ids[shuffled], num_real[shuffled]
