"""Padding of packed and of padded batches, on the lengths of real rows; nothing is trained.

    .venv/bin/python benchmarks/packing.py [--batch_size 32] [--ranks 1] [--multiple 1] NAME=LENGTHS.npy...

LENGTHS.npy: int [rows], such as OUTPUT_DIR/cache/train-*/lengths.npy of a run. For each set: token places of an epoch per token of the
rows, when each batch is padded to the longest row of all, to one of up to four lengths (the default), when the rows of a shuffled batch
are packed as they come, and when batches are composed for packing (`--packing true`); the composed packs; seconds of planning; and the
share of pairs of rows in a batch that meet again in the next epoch, divided by that of random batches.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from src.records.packing import choose_packing, choose_slots, count_packs
from src.records.plan import choose_buckets, plan_epoch


def count_places(lengths: np.ndarray, buckets: tuple[int, ...], batch_size: int) -> int:
    """Token places of an epoch of padded batches."""
    plan = plan_epoch(lengths, buckets, batch_size, 1, 0)
    return int((plan.lengths * batch_size).sum())


def pack_as_they_come(lengths: np.ndarray, batch_size: int, ranks: int, multiple: int) -> int:
    """Token places of an epoch whose shuffled batches are packed without being composed."""
    plan = plan_epoch(lengths, (int(lengths.max()),), batch_size, 1, 0)
    shares = [lengths[plan.row_ids[:, rank::ranks]] for rank in range(ranks)]
    longest = -(-int(lengths.max()) // multiple) * multiple
    slots = choose_slots(shares, range(longest, max(longest, 512) + 1, multiple))
    return count_packs(shares, slots) * ranks * slots * len(plan)


def meet_again(plans: list, count: int) -> float:
    """Pairs of a batch that are together in both plans, against those of random batches."""
    batch_of = np.empty((2, count), np.int64)
    for number, plan in enumerate(plans):
        for batch, (rows, real) in enumerate(zip(plan.row_ids, plan.num_real)):
            batch_of[number, rows[:real]] = batch
    together, both = np.unique(batch_of, axis=1, return_counts=True)[1], np.bincount(batch_of[0])
    pairs = (both * (both - 1)).sum()
    return float((together * (together - 1)).sum() / pairs / (pairs / count / (count - 1)))


def compare(name: str, lengths: np.ndarray, batch_size: int, ranks: int, multiple: int) -> str:
    """The line of a set; `batch_size` is that of all ranks together."""
    started = time.perf_counter()
    longest, packing = choose_packing(lengths, batch_size, ranks, multiple)
    epochs = [plan_epoch(lengths, (longest,), batch_size, 1, epoch, packing=packing) for epoch in (0, 1)]
    seconds = time.perf_counter() - started
    places = [count_places(lengths, (longest,), batch_size)]
    places.append(count_places(lengths, choose_buckets(lengths, batch_size, 1, multiple=multiple), batch_size))
    places.append(pack_as_they_come(lengths, batch_size, ranks, multiple))
    places.append(len(epochs[0]) * packing.num_slots)
    ratios = (f"{number / lengths.sum():.2f}" for number in places)
    shape = f"{packing.packs} x {packing.slots}"
    padding = f"{epochs[0].padding_share(lengths):.1%}"
    again = f"{meet_again(epochs, len(lengths)):.1f}"
    cells = (name, len(lengths), f"{lengths.mean():.1f}", longest, *ratios, padding, shape, f"{seconds:.2f}", again)
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch_size", type=int, default=32, help="rows of a batch on one rank")
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--multiple", type=int, default=1, help="lengths are multiples of this: 1 on the CPU, 16 on Ascend")
    parser.add_argument("sets", nargs="+", metavar="NAME=LENGTHS.npy")
    flags = parser.parse_args()
    print("| set | rows | mean | longest | one length | four lengths | packed as they come | composed | padding | packs | s | meet again |")
    print("|---|" + "---:|" * 11)
    for name, _, path in (text.partition("=") for text in flags.sets):
        print(compare(name, np.load(path), flags.batch_size * flags.ranks, flags.ranks, flags.multiple))


if __name__ == "__main__":
    main()
