"""Kernels and memory of a pretraining step on Ascend, as its compiler plans them in a dry run; no Ascend is needed.

    .venv/bin/python benchmarks/ascend_kernels.py

BERT-base, batch 256, 128 tokens, float16, one row of CASES after the other by benchmarks/memory_trial.py, each a dry run by
scripts/try_ascend.sh, whose --json report is read. Prints one JSON line a case: kernels that are selected forward and backward, in the
update and in the small graphs beside them, those of all that are aclop, by name, launches of a whole update, and MB of tensors at the
peak, without and with gaps. O1 fuses after the selection: launches alone tell. Exits 1 where a figure has grown by more than a tenth of
the one in ascend_kernels.json, which `--record` writes, is above the GOALS, or has none recorded. A dry run computes nothing: this says
nothing of numbers or of speed.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORD = Path(__file__).with_suffix(".json")
TRIAL = "--device_target Ascend --task pretrain --config configs/networks/bert_base.json --batch_size 256 --seq_length 128 --steps 2"
CASES = {
    "Lamb": "--optimizer Lamb",
    "Lamb, clip per_parameter": "--optimizer Lamb --clip per_parameter",
    "AdamWeightDecay": "--optimizer AdamWeightDecay",
    "Lamb, recompute": "--optimizer Lamb --use_recompute",
    "Lamb, plain attention": "--optimizer Lamb --plain_attention",
    "Lamb, O1": "--optimizer Lamb --jit_level O1",
    "AdamWeightDecay, O1": "--optimizer AdamWeightDecay --jit_level O1",
}
GOALS = {
    "Lamb": {"forward_backward": 1500, "update": 900, "peak_mb": 16000},
    "AdamWeightDecay": {"forward_backward": 1500, "update": 400, "peak_mb": 16000},
}


def count(report):
    """The figures of a dry run's report; the largest graph of the step is the forward and backward pass, the update follows an `if`.

    Raises:
        ValueError: they are not in it.
    """
    steps = [network for network in report["networks"] if "TrainStep" in network["network"]]
    if len(steps) != 1 or not any("✓" in graph["function"] for graph in steps[0]["graphs"]):
        raise ValueError(f"no training step with an update in the report, which has {[step['network'] for step in report['networks']]}")
    kernels = {"✓": 0, "✗": 0, "": []}
    for graph in steps[0]["graphs"]:
        number = graph["aclnn"] + graph["aclop"] + graph["other"]
        if graph["function"][0] in "✓✗":
            kernels[graph["function"][0]] += number
        else:
            kernels[""].append(number)
    return {
        "forward_backward": max(kernels[""]),
        "update": kernels["✓"],
        "others": sum(kernels[""]) - max(kernels[""]) + kernels["✗"],
        "aclop": sum(graph["aclop"] for graph in steps[0]["graphs"]),
        "launches": steps[0]["launches"],
        "peak_mb": report["peak_memory"]["tensors"] >> 20,
        "peak_with_gaps_mb": report["peak_memory"]["with_gaps"] >> 20,
        "aclop_names": report["aclop"],
    }


def measure(dry_run, case, layers):
    """The figures of one row of CASES.

    Raises:
        ValueError: the dry run fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [*shlex.split(dry_run), "--json", report, sys.executable, "benchmarks/memory_trial.py", *TRIAL.split()]
        command += [*CASES[case].split(), "--layers", str(layers)]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace")
        if run.returncode != 0:
            raise ValueError(f"{case}: exit code {run.returncode}\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
        return count(json.loads(report.read_text(encoding="utf-8")))


def grown(before, after, goals):
    """Names of the figures that are more than a tenth above those recorded, or above their goal."""
    numbers = {name: value for name, value in after.items() if isinstance(value, int)}
    return [name for name, value in numbers.items() if value > min(1.1 * before.get(name, value), goals.get(name, value))]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry_run", default="bash scripts/try_ascend.sh", help="what a dry run of a command begins with [%(default)s]")
    parser.add_argument("--layers", type=int, default=12, choices=(2, 12), help="2 take a fifth of the time [%(default)s]")
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES), metavar="CASE", help=f"of {', '.join(CASES)}")
    parser.add_argument("--record", action="store_true", help="make these figures the recorded ones")
    options = parser.parse_args()
    recorded = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}
    failed = False
    for case in options.cases:
        key = f"{case}; {options.layers} layers"
        found = measure(options.dry_run, case, options.layers)
        if not options.record and key not in recorded:
            print(f"error: {key}: nothing is recorded in {RECORD.name}; --record does so", file=sys.stderr)
            failed = True
        worse = grown({} if options.record else recorded.get(key, {}), found, GOALS.get(case, {}))
        failed |= bool(worse)
        print(json.dumps({"case": key, **found, "grown": worse}, ensure_ascii=False), flush=True)
        if options.record:
            recorded[key] = found
            RECORD.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sys.exit(failed)


if __name__ == "__main__":
    main()
