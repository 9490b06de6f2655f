"""The rows and the padded length of each batch, planned in NumPy before anything runs.

The shuffled rows are split into windows. In each window, rows are grouped by the shortest bucket length that holds them and cut
into batches of that length; each length is compiled once. Within a group the order stays random, as rows of exactly equal length
are often alike (questions on one text). With a Packing, a batch has rows of all lengths instead: src/records/packing.py. A plan consists
of *global* batches and is independent of ranks: rank r takes rows r::W of each.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from src.records.mixture import Mixture
from src.records.packing import Packing, compose

MAX_BUCKETS = 4
_WINDOW_BATCHES = 50  # window size in batches: enough for even lengths, few enough to keep the order random
_WORTHWHILE_SAVING = 0.04  # share of all tokens that another bucket must save, as each costs a compilation


@dataclass(frozen=True)
class Batch:
    """One global (micro-)batch.

    Attributes:
        row_ids: int64 [batch size]; a short batch is filled with copies of its last real row.
        num_real: number of rows that are not filler.
        length: tokens that each row is padded to.
        epoch: number of completed passes over the rows.
        update: (epoch, row ids) pairs: the real rows of all micro-batches of this batch's update.
        packing: the packs of the encoder that hold the rows; None if each row stands alone.
    """

    row_ids: np.ndarray
    num_real: int
    length: int
    epoch: int = 0
    update: tuple[tuple[int, np.ndarray], ...] = ()
    packing: Packing | None = None

    @property
    def num_slots(self) -> int:
        """Tokens that the encoder computes, padding included."""
        return len(self.row_ids) * self.length if self.packing is None else self.packing.num_slots

    @property
    def is_real(self) -> np.ndarray:
        """bool [batch size]; False marks filler rows."""
        return np.arange(len(self.row_ids)) < self.num_real

    def share(self, rank: int, world_size: int) -> "Batch":
        """One rank's part of the batch: rows rank::world_size."""
        num_real = len(range(rank, self.num_real, world_size))
        packing = None if self.packing is None else self.packing.share(world_size)
        return dataclasses.replace(self, row_ids=self.row_ids[rank::world_size], num_real=num_real, packing=packing)


@dataclass(frozen=True)
class EpochPlan:
    """The batches of one pass over the rows, in order.

    Attributes:
        row_ids: int64 [number of batches, batch size], as in Batch.
        num_real, lengths: int64 [number of batches], as in Batch.
        packing: as in Batch, the same for all.
    """

    row_ids: np.ndarray
    num_real: np.ndarray
    lengths: np.ndarray
    packing: Packing | None = None

    def __len__(self) -> int:
        return len(self.num_real)

    def __getitem__(self, index: int) -> Batch:
        return Batch(self.row_ids[index], int(self.num_real[index]), int(self.lengths[index]), packing=self.packing)

    def drop_short(self) -> "EpochPlan":
        """The plan without the batch that has filler rows."""
        return self._select(self.num_real == self.row_ids.shape[1])

    def part(self, rank: int, world_size: int) -> "EpochPlan":
        """One rank's batches where ranks take whole batches: batches rank::world_size."""
        return self._select(slice(rank, None, world_size))

    def _select(self, chosen):
        return EpochPlan(self.row_ids[chosen], self.num_real[chosen], self.lengths[chosen], self.packing)

    def padding_share(self, row_lengths: np.ndarray) -> float:
        """Fraction of all padded tokens that belong to no real row."""
        padded = (self.lengths * self.row_ids.shape[1]).sum() if self.packing is None else len(self) * self.packing.num_slots
        is_real = np.arange(self.row_ids.shape[1]) < self.num_real[:, None]
        return float(1.0 - row_lengths[self.row_ids][is_real].sum() / max(padded, 1))


class TrainingPlan:
    """All batches of a training run; each epoch is planned when its first batch is requested.

    Args:
        row_lengths: int [rows], tokens of each row, by its number.
        buckets: ascending lengths; the last must hold the longest row.
        batch_size: rows of a global batch.
        seed: determines every epoch's order.
        updates: number of updates; None takes as many whole updates as fit into `epochs`.
        shuffle: a new order each epoch; False sorts rows by bucket and otherwise keeps their order.
        drop_short: leave out each epoch's batch with filler rows.
        accumulation_steps: batches per update.
        packing: packs that hold every batch; `buckets` is then one length.
        mixture: tells which rows each epoch has; None: every epoch has all.

    Raises:
        ValueError: fewer rows or batches than one whole update needs.
    """

    def __init__(
        self,
        row_lengths: np.ndarray,
        buckets: Sequence[int],
        batch_size: int,
        seed: int,
        updates: int | None = None,
        epochs: float = 1,
        shuffle: bool = True,
        drop_short: bool = False,
        accumulation_steps: int = 1,
        packing: Packing | None = None,
        mixture: Mixture | None = None,
    ):
        self.row_lengths = row_lengths
        self.buckets = buckets
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.drop_short = drop_short
        self.accumulation_steps = accumulation_steps
        self.packing = packing
        self.mixture = mixture
        count = self.rows_per_epoch = len(row_lengths) if mixture is None else mixture.num_rows
        self.batches_per_epoch = count // batch_size if drop_short else -(-count // batch_size)
        if not self.batches_per_epoch:
            raise ValueError(f"a batch has {batch_size} rows, but the training set has {count}: not one whole batch")
        batches = max(1, round(epochs * self.batches_per_epoch)) if updates is None else updates * accumulation_steps
        self.updates = batches // accumulation_steps
        if not self.updates:
            raise ValueError(f"accumulation_steps={accumulation_steps}, but the whole training has {batches} batches")
        self._epochs: dict[int, EpochPlan] = {}
        self._last_update: tuple[int | None, tuple[tuple[int, np.ndarray], ...]] = (None, ())

    def __len__(self) -> int:
        return self.updates * self.accumulation_steps

    def __getitem__(self, index: int) -> Batch:
        """Batch number `index` of the whole training run."""
        epoch, index_in_epoch = divmod(index, self.batches_per_epoch)
        return dataclasses.replace(self.epoch(epoch)[index_in_epoch], epoch=epoch, update=self._update(index // self.accumulation_steps))

    def _update(self, number: int) -> tuple[tuple[int, np.ndarray], ...]:
        """The rows of update `number` by epoch; the latest result is kept."""
        known, update = self._last_update
        if known != number:
            rows: dict[int, list[np.ndarray]] = {}
            for index in range(number * self.accumulation_steps, (number + 1) * self.accumulation_steps):
                epoch, index_in_epoch = divmod(index, self.batches_per_epoch)
                batch = self.epoch(epoch)[index_in_epoch]
                rows.setdefault(epoch, []).append(batch.row_ids[: batch.num_real])
            update = tuple((epoch, np.concatenate(parts)) for epoch, parts in rows.items())
            self._last_update = number, update
        return update

    def epoch(self, number: int) -> EpochPlan:
        """The plan of one epoch; the last two plans are kept."""
        plan = self._epochs.get(number)
        if plan is None:
            rows = None if self.mixture is None else self.mixture.rows(number)
            lengths = self.row_lengths if rows is None else self.row_lengths[rows]
            plan = plan_epoch(lengths, self.buckets, self.batch_size, self.seed, number, self.shuffle, self.packing)
            plan = plan if rows is None else dataclasses.replace(plan, row_ids=rows[plan.row_ids])
            plan = plan.drop_short() if self.drop_short else plan
            kept = dict(list(self._epochs.items())[-1:])  # a new dict: another thread may read the old one
            self._epochs = {**kept, number: plan}
        return plan


def plan_epoch(
    row_lengths: np.ndarray,
    buckets: Sequence[int],
    batch_size: int,
    seed: int,
    epoch: int,
    shuffle: bool = True,
    packing: Packing | None = None,
) -> EpochPlan:
    """The plan of one pass over all rows, each row exactly once.

    Args:
        row_lengths: int [rows], tokens of each row.
        buckets: ascending lengths; the last must hold the longest row. With only one, lengths do not affect the order.
        batch_size: rows of a global batch.
        seed, epoch: determine the random numbers.
        shuffle: False takes all rows in one window, which needs the least padding, for evaluation.
        packing: see TrainingPlan.

    Raises:
        ValueError: a row is longer than the last bucket.
    """
    if packing is None:
        row_ids, num_real = _cut(np.searchsorted(buckets, row_lengths), batch_size, seed, epoch, shuffle)
    else:
        row_ids, num_real = _pack(row_lengths, batch_size, seed, epoch, shuffle)
    longest = row_lengths[row_ids].max(1)
    choice = np.searchsorted(buckets, longest)
    if choice.max() >= len(buckets):
        raise ValueError(f"bucket_list={tuple(buckets)}: a row has {longest.max()} tokens")
    return EpochPlan(row_ids, num_real, np.asarray(buckets)[choice], packing)


def choose_buckets(row_lengths: np.ndarray, batch_size: int, seed: int, shuffle: bool = True, multiple: int = 1) -> tuple[int, ...]:
    """Up to MAX_BUCKETS lengths with the least padding; fewer if another one would save little.

    The choice is optimal for the first epoch's plan, by dynamic programming over the longest row of each batch.

    Args:
        multiple: lengths are rounded up to multiples of this number.
    """
    row_lengths = np.asarray(row_lengths)
    row_ids, _ = _cut(row_lengths, batch_size, seed, 0, shuffle)
    longest = -(-row_lengths[row_ids].max(1) // multiple) * multiple
    lengths, counts = np.unique(np.append(longest, -(-row_lengths.max() // multiple) * multiple), return_counts=True)
    counts = counts.astype(np.float64)
    counts[-1] -= 1  # appended above only as a candidate: in other epochs the longest row may be in any batch
    below = np.concatenate([[0.0], np.cumsum(counts)])
    cost = below[1:] * lengths  # padded tokens with one bucket for all batches up to each length
    choice = [[length] for length in lengths]
    for _ in range(MAX_BUCKETS - 1):
        new_cost = cost.copy()
        new_choice = list(choice)
        for last in range(1, len(lengths)):
            totals = cost[:last] + (below[last + 1] - below[1 : last + 1]) * lengths[last]
            split = int(totals.argmin())
            if totals[split] < new_cost[last]:
                new_cost[last] = totals[split]
                new_choice[last] = [*choice[split], lengths[last]]
        if new_cost[-1] > cost[-1] * (1 - _WORTHWHILE_SAVING):
            break
        cost = new_cost
        choice = new_choice
    return tuple(int(length) for length in choice[-1])


def _cut(keys, batch_size, seed, epoch, shuffle):
    """Row ids [batches, batch size], sorted by key within each window, and the number of real rows in each batch."""
    count = len(keys)
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(count) if shuffle else np.arange(count)
    if keys.min() < keys.max():  # with one bucket, millions of rows would be sorted for nothing
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


def _pack(row_lengths, batch_size, seed, epoch, shuffle):
    """Row ids [batches, batch size] with nearly equal numbers of tokens, and the number of real rows in each batch."""
    random = np.random.default_rng([seed, epoch]) if shuffle else None
    row_ids, num_real = compose(row_lengths, batch_size, random)
    order = np.arange(len(num_real)) if random is None else random.permutation(len(num_real))
    return row_ids[order], num_real[order]
