"""Kernels and memory of a pretraining step on Ascend, as its compiler plans them in a dry run; no Ascend is needed.

    .venv/bin/python benchmarks/ascend_kernels.py --dry_run "bash scripts/try_ascend.sh"

BERT-base, batch 256, 128 tokens, float16, one row of CASES after the other by benchmarks/memory_trial.py. `--dry_run` is the command
that a dry run of another command begins with; what MindSpore logs must come through it. Prints one JSON line a case: kernels that are
launched forward and backward and in the update, those of them that are aclop, by name, and MB of tensors at the peak, without and
with gaps. Exits 1 where a figure has grown by more than a tenth of the one in ascend_kernels.json, which `--record` writes.
A dry run computes nothing: this says nothing of numbers or of speed.
"""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
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
}
_SELECTED = re.compile(r"PrintOpSelectedNum\] (\d+(?: \d+)+)")  # kernels of a graph by kind: internal, aclnn, aclop, ATB, HCCL, host, …
_MANY = 50  # kernels; graphs with fewer are the loss scale and the like


def count(log):
    """The figures of a dry run's log.

    Raises:
        ValueError: they are not in it.
    """
    graphs = [[int(number) for number in found.split()] for found in _SELECTED.findall(log)]
    peaks = re.findall(r"(?:Used|Actual) peak memory usage \(with\w* fragments\): (\d+)M", log)
    large = [graph for graph in graphs if sum(graph) > _MANY]
    if len(large) < 2 or len(peaks) < 2:
        raise ValueError(f"no figures in the log, which ends: {log[-2000:]}")
    return {
        "forward_backward": sum(large[0]),
        "update": max(map(sum, large[1:])),
        "others": sum(map(sum, graphs)) - sum(map(sum, large[:2])),
        "aclop": sum(graph[2] for graph in graphs),
        "peak_mb": int(peaks[0]),
        "peak_with_gaps_mb": int(peaks[1]),
        "aclop_names": sorted(set(re.findall(r"\] (\w+) select aclop kernel", log))),
    }


def measure(dry_run, case, layers):
    command = [*shlex.split(dry_run), sys.executable, "benchmarks/memory_trial.py", *TRIAL.split(), *CASES[case].split()]
    command += ["--layers", str(layers)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", env=os.environ | {"GLOG_v": "1"})
    return count(run.stdout + run.stderr)


def grown(before, after):
    """Names of the figures that are more than a tenth above those recorded."""
    return [name for name, value in after.items() if isinstance(value, int) and value > 1.1 * before.get(name, value)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry_run", default="bash scripts/try_ascend.sh", help="[%(default)s]")
    parser.add_argument("--layers", type=int, default=12, choices=(2, 12), help="2 take a fifth of the time [%(default)s]")
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES), metavar="CASE", help=f"of {', '.join(CASES)}")
    parser.add_argument("--record", action="store_true", help="make these figures the recorded ones")
    options = parser.parse_args()
    recorded = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}
    failed = False
    for case in options.cases:
        key = f"{case}; {options.layers} layers"
        found = measure(options.dry_run, case, options.layers)
        worse = [] if options.record else grown(recorded.get(key, {}), found)
        failed |= bool(worse)
        print(json.dumps({"case": key, **found, "grown": worse}), flush=True)
        if options.record:
            recorded[key] = found
            RECORD.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    sys.exit(failed)


if __name__ == "__main__":
    main()
