"""CLUENER from a small random BERT (4 layers, hidden 256): softmax, CRF, BiLSTM and CRF, ours beside PyTorch with pytorch-crf.

    .venv/bin/python benchmarks/ner.py --data ../shared/data --output /tmp/ner --seeds 1,2 --pretrained RUN --report docs/benchmarks/ner.md

RUN is a folder of run_pretrain.py. pytorch-crf knows no constraints: CRFs beside it run without. Runs take turns, seed by seed; a
finished one, kept as a JSON file in --output, is not repeated. Rates alone, on an idle machine: --max_steps 60 --seeds 1.
--parity 20 compares instead the losses of the first 20 steps of softmax and CRF, from PyTorch's initial weights, with the batches in the
order of the file and without dropout.
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
BATCH, NUM_ROWS = 32, 10748  # of CLUENER's training file
FIGURES = ("f1", "macro_f1", "precision", "recall", "train_samples_per_s", "eval_samples_per_s")


def ours_command(options, row, seed, folder, *flags):
    _, use_crf, with_lstm, constraints = ROWS[row]
    return [
        sys.executable, "run_ner.py", "--do_train", "true", "--data_dir", options.data / "cluener",
        "--vocab_file", options.data / "vocab/bert-base-chinese-vocab.txt",
        "--use_crf", str(use_crf), "--with_lstm", str(with_lstm), "--crf_constraints", str(constraints),
        "--seed", str(seed), "--output_dir", folder, "--optimizer.name", "AdamW",
        "--optimizer.learning_rate", "3e-4", "--optimizer.schedule", "linear", "--optimizer.eps", "1e-8", *flags,
    ]  # fmt: skip


def peer_command(options, row, seed, *flags):
    _, use_crf, with_lstm, _ = ROWS[row]
    return [
        options.peer_python, "benchmarks/peer_ner.py", "--bert_config_file", SHAPE,
        "--vocab_file", options.data / "vocab/bert-base-chinese-vocab.txt", "--train", options.data / "cluener/train.json",
        "--dev", options.data / "cluener/dev.json", "--epochs", str(options.epochs), "--seed", str(seed),
        *(["--use_crf"] if use_crf else []), *(["--with_lstm"] if with_lstm else []), *flags,
    ]  # fmt: skip


def read_events(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def run_ours(options, row, seed, folder):
    pretrained = ROWS[row][0] == "here, pretrained"
    start = ["--load_pretrain_checkpoint_path", options.pretrained] if pretrained else ["--bert_config_file", SHAPE]
    epochs = options.max_steps * BATCH / NUM_ROWS if options.max_steps else options.epochs
    flags = ["--do_eval", "true", "--epoch_num", str(epochs), "--log_steps", "50", *start]
    started = time.perf_counter()
    subprocess.run(ours_command(options, row, seed, folder, *flags), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    events = {event["event"]: event for event in read_events(folder) if "event" in event}
    speeds = {"train_samples_per_s": events["trained"]["samples_per_s"], "eval_samples_per_s": events["eval"]["samples_per_s"]}
    results = json.loads((folder / "eval_results.json").read_text(encoding="utf-8"))
    return {**{name: results[name] for name in FIGURES if name in results}, **speeds, "wall_s": time.perf_counter() - started}


def run_peer(options, row, seed):
    steps = ["--max_steps", str(options.max_steps)] if options.max_steps else []
    output = subprocess.run(peer_command(options, row, seed, *steps), cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = json.loads(output.strip().splitlines()[-1])
    return {name: value for name, value in found.items() if name != "losses"}


def compare_steps(options, row, seed):
    """The losses of the first steps, ours and PyTorch's, from the same weights and batches without dropout: two lists."""
    folder = options.output / f"parity-{row}-{seed}"
    initial, steps, total = folder / "initial", str(options.parity), -(-NUM_ROWS // BATCH) * options.epochs
    flags = ["--initial", initial, "--in_order", "--dropout", "0", "--max_steps", steps]
    output = subprocess.run(peer_command(options, row, seed, *flags), cwd=ROOT, check=True, capture_output=True, text=True).stdout
    peer = json.loads(output.strip().splitlines()[-1])["losses"]
    flags = ["--load_pretrain_checkpoint_path", initial, "--label2id_file_path", initial / "labels.txt", "--train_steps", steps]
    flags += ["--model.hidden_dropout_prob", "0", "--model.attention_probs_dropout_prob", "0", "--train_data_shuffle", "false"]
    flags += ["--packing", "false", "--seq_length", "128", "--bucket_list", "128", "--train_batch_size", str(BATCH)]
    flags += ["--log_steps", "1", "--overwrite", "true"]
    flags += ["--optimizer.warmup_steps", str(total // 10), "--optimizer.decay_steps", str(total)]
    subprocess.run(ours_command(options, row, seed, folder / "run", *flags), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return [event["loss"] for event in read_events(folder / "run") if "loss" in event and "step" in event], peer


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
    parser.add_argument("--parity", type=int, default=0, metavar="STEPS")
    parser.add_argument("--peer_python", default=ROOT / ".venv-torch/bin/python", help="interpreter with the peers [%(default)s]")
    parser.add_argument("--pretrained", metavar="RUN", help="without it the row crf-pretrained is left out")
    parser.add_argument("--report", metavar="FILE.md")
    options = parser.parse_args()
    options.data, options.output = options.data.resolve(), options.output.resolve()
    options.output.mkdir(parents=True, exist_ok=True)
    if options.parity:
        for row in ("softmax-peer", "crf-peer"):
            ours, peer = compare_steps(options, row, int(options.seeds.split(",")[0]))
            difference = max(abs(a - b) / abs(b) for a, b in zip(ours, peer, strict=True))
            print(json.dumps({"parity": row, "steps": len(peer), "largest_relative_difference": difference, "ours": ours, "peer": peer}))
        return
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
