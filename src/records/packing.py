"""Several rows in one row of the encoder: which rows make a batch, and where their tokens stand.

A *pack* is a row of the encoder with slots for tokens, in which whole rows of the data stand one behind the other. All batches of a
run have the same number of packs, so that there is one static shape. Batches are therefore composed of rows of all lengths, with
nearly equal numbers of tokens. Which lengths meet in a batch follows from the lengths alone, so that the packs that hold the batches of
one epoch hold those of every other; which of the rows of one length meet is random.

Shapes: N batches, B rows of a batch, S longest row, K packs, L slots of a pack.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_MAX_SLOTS = 512  # of packs longer than the longest row
_SAMPLE = 200  # batches by which the slots of a pack are chosen
_ATTENTION = 1024  # slots at which attention takes as long as all other parts of a layer; measured on the CPU: docs/packing.md


@dataclass(frozen=True)
class Packing:
    """The packs of a batch: their number K, and L, the slots of each."""

    packs: int
    slots: int

    @property
    def num_slots(self) -> int:
        """Slots of all packs."""
        return self.packs * self.slots

    def share(self, world_size: int) -> "Packing":
        """The packs of one rank's share of the rows."""
        return dataclasses.replace(self, packs=self.packs // world_size)


def compose(row_lengths: np.ndarray, batch_size: int, random: np.random.Generator | None) -> tuple[np.ndarray, np.ndarray]:
    """Batches with nearly equal numbers of tokens; the shares r::W of a batch, of W ranks, are nearly equal too.

    The rows are sorted by length and cut into as many strata as a batch has rows. Each batch takes one row of every stratum, from the
    longest rows to the shortest, and the batch with the fewest tokens so far takes the longest row of the stratum.

    Args:
        row_lengths: int [rows], tokens of each row.
        batch_size: B.
        random: puts rows of equal length in another order; None keeps their order.

    Returns:
        row_ids: int64 [N, B]; the last batch, if it is short, is filled with copies of its last row, its shortest.
        num_real: int64 [N], rows that are not filler.
    """
    count = len(row_lengths)
    rows = np.arange(count) if random is None else random.permutation(count)
    rows = rows[np.argsort(-row_lengths[rows], kind="stable")]
    num_whole, rest = divmod(count, batch_size)
    short = np.arange(1, rest + 1) * count // max(rest, 1) - 1  # evenly spread over the lengths
    strata = np.delete(rows, short).reshape(batch_size, num_whole)
    tokens = np.zeros(num_whole, np.int64)
    batches = np.empty((batch_size, num_whole), np.int64)
    for batch_rows, stratum in zip(batches, strata):
        fewest_first = np.argsort(tokens, kind="stable")
        batch_rows[fewest_first] = stratum
        tokens[fewest_first] += row_lengths[stratum]
    batches = batches[_gray_code(batch_size)].T
    num_real = np.full(num_whole, batch_size)
    if rest:
        last = np.append(rows[short], np.repeat(rows[-1:], batch_size - rest))
        batches, num_real = np.concatenate([batches, last[None]]), np.append(num_real, rest)
    return batches, num_real


def _gray_code(count):
    """The numbers below `count` in the order of Gray's code: every second, fourth or eighth of them has the same sum, or nearly."""
    numbers = np.arange(1 << (count - 1).bit_length())
    numbers ^= numbers >> 1
    return numbers[numbers < count]


def choose_packing(row_lengths: np.ndarray, batch_size: int, world_size: int, multiple: int) -> tuple[int, Packing]:
    """The tokens of the longest row, rounded up; and the packs that hold every batch of every epoch, with the least work.

    Args:
        row_lengths, batch_size: see `compose`.
        world_size: ranks that share a batch; the packs are divided among them.
        multiple: both lengths, of rows and of packs, are multiples of this number.
    """
    lengths = row_lengths[compose(row_lengths, batch_size, None)[0]]  # [N, B]
    shares = [lengths[:, rank::world_size] for rank in range(world_size)]
    sample = [share[:: -(-len(share) // _SAMPLE)] for share in shares]
    longest = -(-int(lengths.max()) // multiple) * multiple
    slots = choose_slots(sample, range(longest, max(longest, _MAX_SLOTS) + 1, multiple))
    return longest, Packing(count_packs(shares, slots) * world_size, slots)


def choose_slots(shares: Sequence[np.ndarray], candidates: Sequence[int]) -> int:
    """The slots of a pack, one of `candidates`, with which the encoder has the least work; for `shares` see `count_packs`."""
    most = max(int(lengths.sum(1).max()) for lengths in shares)

    def work(packs: int, slots: int) -> float:
        return packs * slots * (1 + slots / _ATTENTION)

    least = {slots: work(-(-most // slots), slots) for slots in candidates}  # if packs could be filled to the last slot
    best, chosen = math.inf, candidates[0]
    for slots in sorted(least, key=least.__getitem__):
        if least[slots] >= best:
            break
        if (found := work(count_packs(shares, slots), slots)) < best:
            best, chosen = found, slots
    return chosen


def count_packs(shares: Sequence[np.ndarray], slots: int) -> int:
    """The packs that hold every batch.

    Args:
        shares: for each rank the lengths of the rows in its share of the batches, int [N, B / ranks].
        slots: L.
    """
    packs = 1
    for lengths in shares:
        packs = max(packs, -(-int(lengths.sum(1).max()) // slots))
        while len(lengths := lengths[(find_slots(lengths, packs, slots) < 0).any(1)]):
            packs += 1
    return packs


def find_slots(lengths: np.ndarray, packs: int, slots: int) -> np.ndarray:
    """The slot of each row's first token: int [N, B] -> int64 [N, B], pack * L + slot of the pack; -1 where no pack has room.

    Rows are placed from the longest to the shortest, each in the fullest pack that has room for it.
    """
    taken = np.zeros((len(lengths), packs), np.int64)
    found = np.full(lengths.shape, -1)
    batches = np.arange(len(lengths))
    for rows in np.argsort(-lengths, 1, kind="stable").T:
        length = lengths[batches, rows]
        has_room = taken + length[:, None] <= slots
        pack = np.where(has_room, taken, -1).argmax(1)
        placed = has_room[batches, pack]
        found[batches, rows] = np.where(placed, pack * slots + taken[batches, pack], -1)
        taken[batches, pack] += length * placed
    return found


def make_columns(lengths: np.ndarray, length: int, packing: Packing) -> dict[str, np.ndarray]:
    """The columns that tell the network where the tokens of a batch stand.

    Args:
        lengths: int [B], tokens of each row.
        length: S, the tokens that each row is padded to.

    Returns:
        packed_tokens: int32 [K, L], the token in each slot, as row * S + position; -1 in an empty slot.
        token_slots: int32 [B, S], the slot of each token, as pack * L + slot; for padding that of the row's first token.
    """
    starts = find_slots(lengths[None], packing.packs, packing.slots)[0]
    assert (starts >= 0).all(), f"{packing} has no room for rows of {lengths} tokens"
    positions = np.arange(length)
    is_token = positions < lengths[:, None]
    token_slots = starts[:, None] + np.where(is_token, positions, 0)
    packed_tokens = np.full(packing.packs * packing.slots, -1, np.int32)
    packed_tokens[token_slots[is_token]] = np.flatnonzero(is_token)
    return {"packed_tokens": packed_tokens.reshape(packing.packs, packing.slots), "token_slots": token_slots.astype(np.int32)}
