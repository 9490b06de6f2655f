"""What the frequencies of tokens alone achieve on the masked tokens of held-out records: the mark that pretraining must pass.

    .venv/bin/python benchmarks/unigram.py --train lm/train --dev lm/dev --vocab_size 8000

Cross-entropy in nats of the masked tokens of --dev under the distribution of those of --train, with one added to each count.
Prints one JSON line.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np


def count_masked(folder, vocab_size):
    """How often each token is masked in the records of a folder: int64 [vocab_size]."""
    from src.records.files import find_record_files, read_record_file
    from src.tasks.pretrain.records import LAYOUT

    counts = np.zeros(vocab_size, np.int64)
    for path in find_record_files(folder):
        for chunk in read_record_file(path, LAYOUT):
            ids = chunk.rows["masked_lm_ids"][chunk.rows["masked_lm_weights"] > 0]
            counts += np.bincount(ids, minlength=vocab_size)
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True)
    parser.add_argument("--dev", required=True)
    parser.add_argument("--vocab_size", type=int, required=True)
    options = parser.parse_args()
    train, dev = (count_masked(folder, options.vocab_size) for folder in (options.train, options.dev))
    log_probs = np.log((train + 1) / (train + 1).sum())
    own = dev[dev > 0] / dev.sum()
    result = {"unigram_cross_entropy": float(-(dev * log_probs).sum() / dev.sum()), "dev_entropy": float(-(own * np.log(own)).sum())}
    print(json.dumps({"benchmark": "unigram", "masked_tokens": int(dev.sum()), **result}))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
