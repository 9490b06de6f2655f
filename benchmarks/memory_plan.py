"""The planner of memory against measurement: bytes that a sequence adds to a training's peak, planned and measured on the CPU.

    .venv/bin/python benchmarks/memory_plan.py --config configs/networks/bert_base.json --seq_length 128 --batch_sizes 16 32

Runs benchmarks/memory_trial.py (float32, dropout as the config says) at two batch sizes; what does not grow with the batch cancels.
Both should be large enough that activations, not the compilation or the update, make the peak. Prints one JSON line of bytes:
`planned`; `tensors`, the peak of all tensors by the framework's pool of memory, which logs it in whole MiB as the process ends;
`resident`, the peak resident set of the process; and planned divided by each.
"""

import argparse
import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from src.config import devices
from src.config.model import ModelConfig, describe_weights
from src.config.training import OptimizerConfig
from src.report.memory import make_plan
from src.tasks.classifier.options import ClassifierOptions
from src.tasks.ner.options import NerOptions
from src.tasks.task import TASKS


def measure(flags, batch_size):
    """Peak bytes of the tensors and of the process."""
    command = [sys.executable, ROOT / "benchmarks/memory_trial.py", "--device_target", "CPU", "--steps", "2"]
    command += ["--config", flags.config, "--seq_length", str(flags.seq_length), "--batch_size", str(batch_size)]
    command += ["--layers", str(flags.layers)] if flags.layers else []
    command += ["--use_recompute"] if flags.use_recompute else []
    command += ["--task", "pointer", "--types", str(flags.types)] if flags.types else []
    environ = os.environ | {"MS_SUBMODULE_LOG_v": "{PRE_ACT:1}"}
    run = subprocess.run(command, check=True, capture_output=True, text=True, env=environ)
    line = next(line for line in run.stdout.splitlines() if line.startswith("{"))
    pool = re.search(r"DumpDynamicMemPoolStateInfo\].*? peak used mem:(\d+)M", run.stdout + run.stderr)
    return int(pool[1]) * 1024**2, json.loads(line)["peak_bytes"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True)
    parser.add_argument("--layers", type=int, help="in place of the config's")
    parser.add_argument("--seq_length", type=int, default=128)
    parser.add_argument("--batch_sizes", type=int, nargs=2, required=True)
    parser.add_argument("--use_recompute", action="store_true")
    parser.add_argument("--types", type=int, help="instead of a classifier, a global pointer of so many entity types")
    flags = parser.parse_args()
    model = ModelConfig(**describe_weights(None, flags.config).model)
    if flags.layers:
        model = dataclasses.replace(model, num_hidden_layers=flags.layers)
    settings = {"do_train": True, "model": model, "optimizer": OptimizerConfig(name="AdamWeightDecay")}  # as the trial's
    options, task = ClassifierOptions(**settings), "classifier"
    if flags.types:
        labels = tuple(f"type{number}" for number in range(flags.types))
        options, task = NerOptions(**settings, seq_length=flags.seq_length, head="global_pointer", labels=labels), "ner"
    plan = make_plan(options, devices.settings("CPU", recompute=flags.use_recompute), TASKS[task], flags.seq_length)
    small, large = flags.batch_sizes
    planned = (plan.peak(large) - plan.peak(small)) / (large - small)
    measured = [(after - before) / (large - small) for before, after in zip(measure(flags, small), measure(flags, large))]
    found = {"planned": round(planned), "tensors": round(measured[0]), "resident": round(measured[1])}
    print(json.dumps(vars(flags) | found | {"ratios": [round(planned / each, 3) for each in measured]}), flush=True)


if __name__ == "__main__":
    main()
