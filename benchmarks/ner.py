"""CLUENER from a small random BERT (4 layers, hidden 256): softmax, CRF, BiLSTM and CRF, ours beside PyTorch with pytorch-crf.

    .venv/bin/python benchmarks/ner.py --data ../shared/data --output /tmp/ner --seeds 1,2 --pretrained RUN --report docs/benchmarks/ner.md

RUN is a folder of run_pretrain.py. pytorch-crf knows no constraints: CRFs beside it run without. Runs take turns, seed by seed; a
finished one, kept as a JSON file in --output, is not repeated. Rates alone, on an idle machine: --max_steps 60 --seeds 1.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# name: (whose, CRF, BiLSTM, constraints)
ROWS = {
    "softmax": ("here", False, False, False),
    "softmax-peer": ("PyTorch", False, False, False),
    "crf-free": ("here", True, False, False),
    "crf-peer": ("PyTorch", True, False, False),
    "lstm-free": ("here", True, True, False),
    "lstm-peer": ("PyTorch", True, True, False),
    "crf": ("here", True, False, True),
    "crf-pretrained": ("here, pretrained", True, False, True),
}
SHAPE = "configs/networks/bert_small.json"
FIGURES = ("f1", "macro_f1", "precision", "recall", "train_samples_per_s", "eval_samples_per_s")


def run_ours(options, row, seed, folder):
    whose, use_crf, with_lstm, constraints = ROWS[row]
    pretrained = whose == "here, pretrained"
    start = ["--load_pretrain_checkpoint_path", options.pretrained] if pretrained else ["--bert_config_file", SHAPE]
    epochs = options.max_steps * 32 / 10748 if options.max_steps else options.epochs
    command = [
        sys.executable, "run_ner.py", "--do_train", "true", "--do_eval", "true", "--data_dir", options.data / "cluener", *start,
        "--vocab_file", options.data / "vocab/bert-base-chinese-vocab.txt",
        "--use_crf", str(use_crf), "--with_lstm", str(with_lstm), "--crf_constraints", str(constraints),
        "--epoch_num", str(epochs), "--seed", str(seed), "--output_dir", folder, "--log_steps", "50", "--optimizer.name", "AdamW",
        "--optimizer.learning_rate", "3e-4", "--optimizer.schedule", "linear", "--optimizer.eps", "1e-8",
    ]  # fmt: skip
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    events = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    events = {event["event"]: event for event in events if "event" in event}
    speeds = {"train_samples_per_s": events["trained"]["samples_per_s"], "eval_samples_per_s": events["eval"]["samples_per_s"]}
    results = json.loads((folder / "eval_results.json").read_text(encoding="utf-8"))
    return {**{name: results[name] for name in FIGURES if name in results}, **speeds, "wall_s": time.perf_counter() - started}


def run_peer(options, row, seed):
    _, use_crf, with_lstm, _ = ROWS[row]
    command = [
        ROOT / ".venv-torch/bin/python", "benchmarks/peer_ner.py", "--bert_config_file", SHAPE,
        "--vocab_file", options.data / "vocab/bert-base-chinese-vocab.txt", "--train", options.data / "cluener/train.json",
        "--dev", options.data / "cluener/dev.json", "--epochs", str(options.epochs), "--seed", str(seed),
        *(["--use_crf"] if use_crf else []), *(["--with_lstm"] if with_lstm else []),
        *(["--max_steps", str(options.max_steps)] if options.max_steps else []),
    ]  # fmt: skip
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return json.loads(output.strip().splitlines()[-1])


def run(options, row, seed):
    """The figures of a run, from its file if it is finished."""
    folder = options.output / (f"{row}-{seed}" + (f"-{options.max_steps}-steps" if options.max_steps else ""))
    path = folder.with_suffix(".json")
    if not path.is_file():
        found = run_peer(options, row, seed) if ROWS[row][0] == "PyTorch" else run_ours(options, row, seed, folder)
        path.write_text(json.dumps(found), encoding="utf-8")
        print(path.stem, found, file=sys.stderr, flush=True)
    return json.loads(path.read_text(encoding="utf-8"))


def describe(row):
    whose, use_crf, with_lstm, constraints = ROWS[row]
    head = ("BiLSTM + " if with_lstm else "") + ("CRF" if use_crf else "softmax")
    return f"{head}{', constraints' if constraints else ''}; {whose}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--rows", default=",".join(ROWS), help="[%(default)s]")
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--max_steps", type=int, default=0)
    parser.add_argument("--pretrained", metavar="RUN", help="without it the row crf-pretrained is left out")
    parser.add_argument("--report", metavar="FILE.md")
    options = parser.parse_args()
    options.data, options.output = options.data.resolve(), options.output.resolve()
    options.output.mkdir(parents=True, exist_ok=True)
    rows = [row for row in options.rows.split(",") if row != "crf-pretrained" or options.pretrained]
    options.pretrained = options.pretrained and str(Path(options.pretrained).resolve())
    found = {row: [] for row in rows}
    for seed in map(int, options.seeds.split(",")):
        for row in rows:
            found[row].append(run(options, row, seed))
    table = "| | " + " | ".join(FIGURES) + " | f1 of each seed |\n|---|" + "---:|" * len(FIGURES) + "---|\n"
    summary = {}
    for row, parts in found.items():
        summary[row] = {name: statistics.mean(part[name] for part in parts) for name in FIGURES}
        single = ", ".join(f"{part['f1']:.3f}" for part in parts)
        table += f"| {describe(row)} | " + " | ".join(f"{value:.4g}" for value in summary[row].values()) + f" | {single} |\n"
    print(table, file=sys.stderr)
    print(json.dumps({"benchmark": "ner", "seeds": options.seeds, "epochs": options.epochs, **summary}))
    if options.report:
        command = "python benchmarks/" + " ".join([Path(__file__).name, *sys.argv[1:]])
        Path(options.report).write_text(f"# CLUENER\n\n{date.today()}, `{command}`\n\nMeans over the seeds.\n\n{table}", encoding="utf-8")


if __name__ == "__main__":
    main()
