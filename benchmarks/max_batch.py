"""The largest batch that trains within a memory limit, without and with recompute, and the speed at each: as PaddleFleetX tabulates them.

    .venv/bin/python benchmarks/max_batch.py --config configs/networks/bert_base.json --seq_length 128 --memory 4 --output max_batch.md

Each trial is a process of its own (benchmarks/memory_trial.py: real training steps on random tokens). On the CPU it is ended as soon as
its resident set exceeds the limit; on a GPU or Ascend the framework is given that much of the device. The batch is doubled until one
does not fit, then bisected to 2 %. Speeds are those of the largest batches, then once more at the baseline's batch, in turn, where the
cost of computing again shows alone. Prints one JSON line a trial and the tables, which --output keeps.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FORMS = {"Baseline": [], "Recompute": ["--use_recompute"], "Recompute + mixed precision": ["--use_recompute", "--compute_type", "float16"]}
GB = 1024**3
_SHARE = 0.02  # of the largest batch that bisection leaves undecided


def resident(pid):
    """Bytes of main memory that a process holds; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except (OSError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), 0)


def run_trial(options, flags, batch, steps=2):
    """What memory_trial.py tells of a batch, or None where it does not fit."""
    command = [sys.executable, "benchmarks/memory_trial.py", "--config", options.config, "--task", options.task]
    command += ["--seq_length", str(options.seq_length), "--predictions", str(options.predictions), "--batch_size", str(batch)]
    command += ["--steps", str(steps), "--device_target", options.device_target, "--device_memory", str(options.memory), *flags]
    command += ["--layers", str(options.layers)] if options.layers else []
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True)
        exceeded = False
        while process.poll() is None and not exceeded:
            exceeded = options.device_target == "CPU" and resident(process.pid) > options.memory * GB
            time.sleep(0.02)
        if exceeded:
            process.kill()
        output = process.communicate()[0]
        errors.seek(0)
        told = errors.read()
    if process.returncode != 0 and not exceeded and (options.device_target == "CPU" or "memory" not in told.lower()):
        sys.exit(f"error: the trial ended with exit code {process.returncode}: {' '.join(command)}\n{told}")
    found = json.loads(output.splitlines()[-1]) if process.returncode == 0 else None
    if found and options.device_target == "CPU" and found["peak_bytes"] > options.memory * GB:  # between two looks
        found = None
    print(json.dumps({"flags": flags, "batch_size": batch, "fits": found is not None, **(found or {})}), flush=True)
    return found


def find_largest(options, flags):
    """(largest batch that fits, what its trial told); (0, None) where not one sequence fits."""
    fits, told, too_many = 0, None, None
    while too_many is None or too_many - fits > max(1, _SHARE * fits):
        batch = max(1, 2 * fits) if too_many is None else (fits + too_many) // 2
        found = run_trial(options, flags, batch)
        if found is None:
            too_many = batch
        else:
            fits, told = batch, found
    return fits, told


def change(before, after):
    return f"{100 * (after / before - 1):+.1f} %"


def make_tables(options, largest, paired):
    """Markdown of the largest batches with their speeds, and of the speeds at one batch."""
    name = Path(options.config).stem.replace("_", "-") + (f", {options.layers} layers" if options.layers else "")
    head = f"{name}, {options.task}, {options.seq_length} tokens, {options.memory:g} GB, {options.device_target}"
    names = list(largest)
    lines = [head, "", "|" + "|".join(["", *names]) + "|", "|:---:" * (len(names) + 1) + "|"]
    base, base_told = largest["Baseline"]
    lines.append("|" + "|".join(["batch size", *(str(batch) for batch, _ in largest.values())]) + "|")
    rates = [told["sentences_per_s"] if told else None for _, told in largest.values()]
    lines.append("|" + "|".join(["sentences/s", *(f"{rate:.2f}" if rate else "" for rate in rates)]) + "|")
    if base_told:
        batches = [change(base, batch) if name != "Baseline" else "" for name, (batch, _) in largest.items()]
        lines.append("|" + "|".join(["batch size, change", *batches]) + "|")
        speeds = [change(rates[0], rate) if rate and name != "Baseline" else "" for name, rate in zip(names, rates)]
        lines.append("|" + "|".join(["sentences/s, change", *speeds]) + "|")
        rates = {name: statistics.median(values) for name, values in paired.items()}
        lines += ["", f"sentences/s at the baseline's batch of {base}, in turn, medians of {options.pairs}: "]
        lines[-1] += ", ".join(
            f"{name} {rate:.2f} ({rates['Baseline'] / rate:.2f} times the baseline's time)" for name, rate in rates.items()
        )
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/networks/bert_base.json")
    parser.add_argument("--layers", type=int, help="in place of the config's")
    parser.add_argument("--task", default="classifier", choices=("classifier", "pretrain"))
    parser.add_argument("--seq_length", type=int, default=128)
    parser.add_argument("--predictions", type=int, default=20, help="masked tokens a row of pretraining [%(default)s]")
    parser.add_argument("--memory", type=float, required=True, help="GB of 1024^3 bytes that a process, or the device, may take")
    parser.add_argument("--device_target", default="CPU", choices=("CPU", "GPU", "Ascend"))
    parser.add_argument("--pairs", type=int, default=3, help="times that speeds are compared at one batch [%(default)s]")
    parser.add_argument("--output", help="file for the tables")
    options = parser.parse_args()
    if options.memory <= 0:
        parser.error("--memory: a number above 0 is expected")
    forms = {name: flags for name, flags in FORMS.items() if options.device_target != "CPU" or "float16" not in flags}
    largest = {name: find_largest(options, flags) for name, flags in forms.items()}
    base, paired = largest["Baseline"][0], {name: [] for name in forms}
    for _ in range(options.pairs if base else 0):
        for name, flags in forms.items():
            if (found := run_trial(options, flags, base, steps=4)) is not None:  # memory differs a little from run to run
                paired[name].append(found["sentences_per_s"])
    tables = make_tables(options, largest, {name: rates for name, rates in paired.items() if rates})
    print(tables)
    if options.output:
        Path(options.output).write_text(tables, encoding="utf-8")


if __name__ == "__main__":
    main()
