"""Rows a second of drawing masks anew, as a training with `--masking dynamic` does beside its steps, for each unit of masks.

    .venv/bin/python benchmarks/masks.py [--rows 256] [--seconds 2]

Made-up rows of words of one to three tokens; similar words for every word of one token. One thread of NumPy. Prints a Markdown table.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from src.tasks.pretrain.keyed_random import make_keys
from src.tasks.pretrain.masks import Masking, draw_masks
from src.tasks.pretrain.options import MASK_UNITS
from src.tasks.pretrain.similar_words import read_similar_words
from src.text.tokenization import Tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [f"w{number}" for number in range(20_000)]


def make_table(folder):
    """SimilarWords of all words, each with five others."""
    (folder / "vocab.txt").write_text("\n".join([*SPECIAL, *WORDS]) + "\n", encoding="utf-8")
    lines = [" ".join(WORDS[(number + step) % len(WORDS)] for step in range(6)) for number in range(len(WORDS))]
    (folder / "similar.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_similar_words(folder / "similar.txt", Tokenizer(folder / "vocab.txt"))


def measure(rows, continues, masking, seconds):
    """Rows a second, the best of all calls in this time."""
    lengths, best, number = np.full(len(rows), rows.shape[1]), np.inf, 0
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends:
        keys = make_keys(1, number, np.arange(len(rows)))
        started = time.perf_counter()
        draw_masks(rows, lengths, keys, masking, continues)
        best, number = min(best, time.perf_counter() - started), number + 1
    return len(rows) / best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=256, help="rows of an update")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = make_table(Path(folder))
    cases = [(unit, None) for unit in MASK_UNITS] + [(unit, table) for unit in ("word", "ngram")]
    random = np.random.default_rng(0)
    print("| rows/s | " + " | ".join(f"{unit}{' similar' if similar else ''}" for unit, similar in cases) + " |")
    print("|---|" + "---:|" * len(cases))
    for length, predictions in ((128, 20), (512, 77)):
        rows = random.integers(len(SPECIAL), len(SPECIAL) + len(WORDS), (options.rows, length)).astype(np.int32)
        rows[:, 0], rows[:, -1] = 2, 3
        continues = random.random(rows.shape) < 0.25
        rates = []
        for unit, similar in cases:
            masking = Masking(4, len(SPECIAL) + len(WORDS), (0, 2, 3), 0.15, predictions, unit, similar)
            rates.append(f"{measure(rows, continues, masking, options.seconds):,.0f}")
        print(f"| {length} tokens, {predictions} masks | {' | '.join(rates)} |")


if __name__ == "__main__":
    main()
