"""The table of tiny networks in docs/ascend.md, of the reports that tests/test_ascend_dry_run*.py leave.

    .venv/bin/python -m pytest --all --basetemp /tmp/dry_runs tests/test_ascend_dry_run*.py
    .venv/bin/python benchmarks/ascend_table.py /tmp/dry_runs

One row a training; kernels selected are aclnn + aclop (+ others), memory is in KB.
"""

import argparse
import json
from pathlib import Path

SWITCHES = ("cnn_batch_norm", "use_crf", "with_lstm", "use_recompute", "enable_data_sink")
CHOICES = ("optimizer.name", "head", "num_class", "model.position_embedding_type", "precision.compute_type", "accumulation_steps")


def name(command, step):
    """What a training is called: its script and the settings that tell it from others."""
    script = next(index for index, word in enumerate(command) if word.endswith(".py"))
    flags = dict(zip((word.removeprefix("--") for word in command[script + 1 :: 2]), command[script + 2 :: 2]))
    words = [Path(command[script]).stem.removeprefix("run_")]
    words += [flags[flag] if flag in CHOICES[:2] else f"{flag} {flags[flag]}" for flag in CHOICES if flag in flags]
    words += [flag for flag in SWITCHES if flags.get(flag) == "true"]
    return ", ".join(words + ["several ranks"] * any("AllReduce" in graph["operators"] for graph in step["graphs"]))


def kernels(graph):
    return " + ".join(str(graph[kind]) for kind in ("aclnn", "aclop", "other") if kind != "other" or graph[kind])


def row(report):
    """The cells of a report; None where it is of no training."""
    steps = [network for network in report["networks"] if "TrainStep" in network["network"] or "DataWrapper" in network["network"]]
    if not steps:
        return None
    step = steps[0]
    passes = max((graph for graph in step["graphs"] if graph["function"][0] not in "✓✗"), key=lambda graph: graph["aclnn"])
    updates = [graph for graph in step["graphs"] if graph["function"][0] == "✓"]
    update = kernels(max(updates, key=lambda graph: graph["aclnn"])) if updates else "the same graph"
    # the first is the evaluation; collectives by which ranks agree are networks of a launch or two
    others = [network["launches"] for network in report["networks"] if network not in steps and network["launches"] > 10]
    memory = [report["peak_memory"][kind] >> 10 for kind in ("tensors", "with_gaps")]
    called = name(report["command"], step)
    return called, kernels(passes), update, step["launches"], step["fewest_launches"], others[0] if others else "–", *memory


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="report.json files are looked for in it")
    folder = parser.parse_args().folder
    rows = (row(json.loads(path.read_text(encoding="utf-8"))) for path in sorted(folder.rglob("report.json")))
    for line in sorted({"| " + " | ".join(map(str, cells)) + " |" for cells in rows if cells}):
        print(line)


if __name__ == "__main__":
    main()
