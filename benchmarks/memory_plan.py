"""The planner of memory against measurement: bytes that a sequence adds to a training's peak, planned and measured on the CPU.

    .venv/bin/python benchmarks/memory_plan.py --config configs/networks/bert_base.json --seq_length 128 --batch_sizes 16 32

Runs benchmarks/memory_trial.py (float32, dropout as the config says) at two batch sizes; what does not grow with the batch cancels.
Both should be large enough that activations, not the compilation or the update, make the peak. Prints one JSON line of bytes:
`planned`; `tensors`, the peak of all tensors by the framework's pool of memory, which logs it in whole MiB as the process ends;
`resident`, the peak resident set of the process; planned divided by each; and the peaks themselves at both sizes, planned without
parameters and moments, which are not in the pool.
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
from src.config.training import OPTIMIZERS, OptimizerConfig
from src.report.memory import make_plan
from src.tasks.task import TASKS


def measure(flags, batch_size):
    """Peak bytes of the tensors and of the process."""
    command = [sys.executable, ROOT / "benchmarks/memory_trial.py", "--device_target", "CPU", "--steps", "2"]
    command += ["--config", flags.config, "--seq_length", str(flags.seq_length), "--batch_size", str(batch_size)]
    command += ["--task", flags.task, "--optimizer", flags.optimizer, "--rows_per_pack", str(flags.rows_per_pack)]
    command += ["--types", str(flags.types)]
    command += ["--layers", str(flags.layers)] if flags.layers else []
    command += ["--use_recompute"] if flags.use_recompute else []
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
    parser.add_argument("--task", default="classifier", choices=("classifier", "pretrain", "pointer"))
    parser.add_argument("--types", type=int, default=10, help="entity types of a pointer [%(default)s]")
    parser.add_argument("--optimizer", default="AdamWeightDecay", choices=OPTIMIZERS)
    parser.add_argument("--rows_per_pack", type=int, default=1, help="rows that share a row of the network; the plan is without packing")
    flags = parser.parse_args()
    model = ModelConfig(**describe_weights(None, flags.config).model)
    if flags.layers:
        model = dataclasses.replace(model, num_hidden_layers=flags.layers)
    task = TASKS["ner" if flags.task == "pointer" else flags.task]
    labels = tuple(f"type{number}" for number in range(flags.types))
    settings = {  # the trial's
        "pretrain": {"max_predictions_per_seq": 20},
        "pointer": {"seq_length": flags.seq_length, "head": "global_pointer", "labels": labels},
    }.get(flags.task, {})
    options = task.options(model=model, optimizer=OptimizerConfig(name=flags.optimizer), **settings)
    plan = make_plan(options, devices.settings("CPU", recompute=flags.use_recompute), task, flags.seq_length)
    planned = [plan.peak(size) - plan.parameters - plan.moments for size in flags.batch_sizes]
    tensors, resident = zip(*(measure(flags, size) for size in flags.batch_sizes))
    peaks = {"planned": planned, "tensors": tensors, "resident": resident}
    slopes = {name: (large - small) / (flags.batch_sizes[1] - flags.batch_sizes[0]) for name, (small, large) in peaks.items()}
    ratios = [round(slopes["planned"] / slopes[name], 3) if slopes[name] else None for name in ("tensors", "resident")]
    print(json.dumps(vars(flags) | {name: round(slope) for name, slope in slopes.items()} | {"ratios": ratios, "peaks": peaks}), flush=True)


if __name__ == "__main__":
    main()
