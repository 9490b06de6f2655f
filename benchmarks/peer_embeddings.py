"""The peer: sentence-transformers' training on the STS benchmark with CosineSimilarityLoss, and its scores before and after.

AdamW at 2e-5 with linear decay after 10 % warm-up, batches of 16; prints one JSON line.
Run in .venv-torch (benchmarks/peers.sh).
"""

import argparse
import csv
import json
import time

from sentence_transformers import InputExample, SentenceTransformer, losses
from sentence_transformers.evaluation import EmbeddingSimilarityEvaluator
from torch.utils.data import DataLoader


def read_pairs(path):
    with open(path, encoding="utf-8") as file:
        rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [InputExample(texts=[row[5], row[6]], label=float(row[4]) / 5) for row in rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--epochs", type=int, default=1)
    options = parser.parse_args()
    encoder = SentenceTransformer(options.model, device="cpu")
    evaluators = {
        split: EmbeddingSimilarityEvaluator.from_input_examples(read_pairs(f"{options.data_dir}/sts-{split}.csv"))
        for split in ("dev", "test")
    }

    def measure():
        return {split: round(float(evaluator(encoder)["spearman_cosine"]), 4) for split, evaluator in evaluators.items()}

    before = measure()
    train = read_pairs(f"{options.data_dir}/sts-train.csv")
    loader = DataLoader(train, shuffle=True, batch_size=16)
    started = time.perf_counter()
    warmup = int(0.1 * len(loader) * options.epochs)
    encoder.fit([(loader, losses.CosineSimilarityLoss(encoder))], epochs=options.epochs, warmup_steps=warmup, show_progress_bar=False)
    seconds = time.perf_counter() - started
    print(
        json.dumps(
            {
                "before": before,
                "after": measure(),
                "seconds": round(seconds, 1),
                "pairs_per_s": round(len(train) * options.epochs / seconds, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
