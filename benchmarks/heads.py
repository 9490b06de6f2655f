"""The three heads on Chinese data sets from a small random BERT (4 layers, hidden 256), each trained and evaluated in full.

    .venv/bin/python benchmarks/heads.py --data ../shared/data --output /tmp/heads --report docs/benchmarks/heads.md

Prints a table for each data set, with times. A finished run is not repeated: remove its folder for that.
"""

import argparse
import json
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from src.report.runs import read_results  # noqa: E402
from src.report.tables import make_table  # noqa: E402
from src.text.tables import read_rows  # noqa: E402

HEADS = ("linear", "cnn", "rcnn")
# data set: (epochs, seq_length, learning rate, columns of the table, flags; {data} and {output} stand for folders)
SETS = {
    "waimai": (3, 64, 3e-4, "auc,accuracy,eval_loss,precision", "--task_name info --data_dir {output}/waimai_split"),
    "chnsenticorp": (1, 128, 3e-4, "auc,accuracy,eval_loss,precision", "--task_name chnsenticorp --data_dir {data}/chnsenticorp"),
    "xnli": (
        3, 64, 3e-4, "accuracy,f1,eval_loss",
        "--task_name xnli --train_data_file_path {data}/xnli_zh/dev.tsv --eval_data_file_path {data}/xnli_zh/test.tsv",
    ),
    "tnews": (1, 64, 3e-4, "accuracy,f1,eval_loss", "--task_name tnews --data_dir {data}/tnews"),
}  # fmt: skip


def split_waimai(data, folder):
    """Training and evaluation rows (one in ten) of the reviews in the columns id,title,label, in a fixed random order."""
    rows = read_rows(data / "waimai_10k/waimai_10k.csv")[1:]
    order = np.random.default_rng(0).permutation(len(rows))
    held_out = len(rows) // 10
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in (("eval.csv", order[:held_out]), ("train.csv", order[held_out:])):
        lines = ('{},"{}",{}\n'.format(number, rows[number][1][1].replace('"', '""'), rows[number][1][0]) for number in part)
        (folder / name).write_text("".join(lines), encoding="utf-8")


def run(name, head, options):
    """Train and evaluate; the folder of the run and its seconds, all in."""
    epochs, seq_length, rate, _, flags = SETS[name]
    folder = options.output / f"{name}-{head}"
    if not (folder / "seconds.json").is_file():
        command = [
            sys.executable, "run_classifier.py", *flags.format(data=options.data, output=options.output).split(), "--head", head,
            "--do_train", "true", "--do_eval", "true", "--vocab_file", options.data / "vocab/bert-base-chinese-vocab.txt",
            "--bert_config_file", "configs/networks/bert_small.json",
            "--epoch_num", str(epochs), "--seq_length", str(seq_length), "--output_dir", folder, "--log_steps", "50",
            "--optimizer.name", "AdamW", "--optimizer.learning_rate", str(rate), "--optimizer.schedule", "linear",
        ]  # fmt: skip
        started = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        (folder / "seconds.json").write_text(json.dumps(round(time.perf_counter() - started)), encoding="utf-8")
    return folder, json.loads((folder / "seconds.json").read_text(encoding="utf-8"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--report", metavar="FILE.md")
    options = parser.parse_args()
    options.data, options.output = options.data.resolve(), options.output.resolve()
    split_waimai(options.data, options.output / "waimai_split")
    text = f"# Heads\n\n{date.today()}, `python benchmarks/{' '.join([Path(__file__).name, *sys.argv[1:]])}`\n"
    for name in options.sets.split(","):
        results = []
        for head in HEADS:
            folder, seconds = run(name, head, options)
            results.append((f"Bert + {head}", read_results(folder) | {"seconds": seconds}))
        epochs, seq_length, rate, columns, _ = SETS[name]
        table = make_table(results, [*columns.split(","), "seconds"])
        text += f"\n## {name}\n\n{epochs} epochs, seq_length {seq_length}, learning rate {rate:g}\n\n{table}"
        print(f"{name}\n{table}", flush=True)
    if options.report:
        Path(options.report).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
