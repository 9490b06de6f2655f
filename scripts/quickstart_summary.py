"""The last page of scripts/quickstart.sh: scores beside baselines, where the files lie, the sentences classified."""

import argparse
import csv
import json
import sys
from pathlib import Path


def main(folder):
    sys.stdout.reconfigure(errors="backslashreplace")  # the terminal may lack characters of the texts
    scores = json.loads((folder / "run/eval_results.json").read_text(encoding="utf-8"))
    baseline = json.loads((folder / "baseline.json").read_text(encoding="utf-8"))
    print(f"\n{'':36}{'accuracy':>10}{'macro F1':>10}")
    print(f"{'BERT, fine-tuned (MiniLM, 6 layers)':36}{scores['accuracy']:>10.4f}{scores['f1']:>10.4f}")
    print(f"{'TF-IDF + logistic regression':36}{baseline['accuracy']:>10.4f}{baseline['macro_f1']:>10.4f}")
    print(f"\nrun folder {folder}/run: eval_results.json, config.yaml, log.jsonl, ckpt/, figures/loss.png, figures/confusion.png\n")
    with open(folder / "run/predictions.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            print(f"{row['predicted_label']:>12}  {float(row['probability']):.3f}  {row['text_a']}")

    measures = json.loads((folder / "pretrain/eval/eval_results.json").read_text(encoding="utf-8"))
    print(f"\n{'pretrained from raw text, held-out topics':46}{'loss':>8}{'accuracy':>10}")
    print(f"{'masked words':46}{measures['masked_lm_loss']:>8.3f}{measures['masked_lm_accuracy']:>10.4f}")
    print(f"{'next sentence':46}{measures['next_sentence_loss']:>8.3f}{measures['next_sentence_accuracy']:>10.4f}")
    print(f"\nrun folder {folder}/pretrain/run: checkpoints, config.yaml, log.jsonl, figures/loss.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the quickstart's folder")
    main(parser.parse_args().folder)
