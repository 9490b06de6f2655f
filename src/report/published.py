"""Tables in the form in which others publish their runs: the model zoo's performance, and rows per second on one device and on several."""

from pathlib import Path
from typing import Any

from src.config import stages
from src.config.yaml_file import read_yaml
from src.report.costs import read_cost
from src.report.runs import find_results, read_records, read_results

MISSING = "–"
_SCORES = ("accuracy", "f1", "exact_match", "spearman_correlation")  # of eval_results.json, the first that is there


def make_performance(runs: list[tuple[str, Path]]) -> str:
    """A Markdown table with a row for each of the parameters by which the model zoo describes a training, and a column for each run.

    Args:
        runs: name and folder of each.
    """
    columns = [_describe(folder) for _, folder in runs]
    rows = [[key, *(str(column[key] or MISSING) for column in columns)] for key in columns[0]]
    return _join([["Parameters", *(name.replace("|", "\\|") for name, _ in runs)], ["---"] * (len(runs) + 1), *rows])


def make_throughput(runs: list[tuple[str, Path]]) -> str:
    """A Markdown table of rows per second, with a row for each name and a column for each number of devices.

    Args:
        runs: name and folder of each; runs on different numbers of devices share a name.

    Raises:
        ValueError: a log tells no speed; two runs of one name had the same number of devices.
    """
    found: dict[str, dict[int, float]] = {}
    for name, folder in runs:
        events = _read_events(folder)[-1]
        start, speed = events.get("start"), _find_speed(events)
        if not start or not speed:
            raise ValueError(f"{folder}/log.jsonl: tells no rows per second: no training has ended here")
        if start["ranks"] in found.setdefault(name, {}):
            raise ValueError(f"{folder}: a second run {name} on {start['ranks']} devices")
        found[name][start["ranks"]] = speed
    devices = sorted({ranks for speeds in found.values() for ranks in speeds})
    heading = ["Rows/s", *(f"{ranks} device{'s' if ranks > 1 else ''}" for ranks in devices)]
    rows = [[name.replace("|", "\\|"), *(_round(speeds.get(ranks)) for ranks in devices)] for name, speeds in found.items()]
    if len(devices) > 1:
        heading.append("Speed up")
        for row, speeds in zip(rows, found.values()):
            row.append(_divide(speeds.get(devices[-1]), speeds.get(devices[0])))
    if len(found) > 1:
        first, last = list(found.values())[0], list(found.values())[-1]
        rows.append(["Speed up", *(_divide(last.get(ranks), first.get(ranks)) for ranks in devices), *[""] * (len(devices) > 1)])
    return _join([heading, ["---", *["---:"] * (len(heading) - 1)], *rows])


def _describe(folder):
    """Parameter of the model zoo's table -> what a run has for it, empty where that is not known; of stages that differ, each one's."""
    path = folder / "config.yaml"
    settings = stages.list_settings(read_yaml(path) or {}) if path.is_file() else [{}]
    trained = _read_events(folder)
    start = trained[-1].get("start", {})
    cost = read_cost(folder)
    results = read_results(folder) if find_results(folder) else {}
    shape, ranks, hours = settings[-1], start.get("ranks", 1), cost.get("hours")
    score = next((f"{results[name]:.6g}" for name in _SCORES if isinstance(results.get(name), float)), None)
    size = max((path.stat().st_size for path in [*folder.glob("*.ckpt"), *folder.glob("ckpt/*.ckpt")]), default=0)
    layers = shape.get("model.num_hidden_layers")
    return {
        "Model Version": layers and f"{layers} layers of {shape['model.hidden_size']}, {shape['model.position_embedding_type']}",
        "Resource": start and f"{start['chip'] or start['device']}, {start['compute_type']}",
        "Uploaded Date": start.get("date"),
        "MindSpore Version": start.get("mindspore"),
        "Dataset": stages.tell(each.get("data_dir") or each.get("train_data_file_path") for each in settings),
        "Training Parameters": f"{folder}/config.yaml",
        "Optimizer": settings[-1].get("optimizer.name"),
        "Epoch": stages.tell(f"{each['line']['epoch']:.6g}" for each in trained if each.get("line", {}).get("epoch")),
        "Batch_size": stages.tell(_tell_batch(each["start"]["batch_size"], ranks) for each in trained if "start" in each),
        "Loss": cost.get("loss") and f"{cost['loss']:.4g}",
        "Accuracy": score,
        "Speed": stages.tell(map(_tell_step, trained)),
        "Total time": hours and (f"{hours:.3g}h" if hours >= 1 else f"{60 * hours:.3g}min"),
        "Params (M)": start and f"{start['parameters'] / 1e6:.4g}M",
        "Checkpoint for Fine tuning": size and f"{size / 2**30:.2g}G(.ckpt file)",
    }


def _tell_batch(rows, ranks):
    """The rows of an update, on all devices."""
    return f"{rows // ranks}*{ranks}" if ranks > 1 else str(rows)


def _tell_step(events):
    speed, rows = _find_speed(events), events.get("start", {}).get("batch_size")
    return f"{1000 * rows / speed:.4g}ms/step" if rows and speed else None


def _read_events(folder):
    """What a log tells of each stage, or of the one training: kind of event -> the last such record; `line` is that of steps."""
    found: dict[int, dict[str, dict[str, Any]]] = {}
    if (folder / "log.jsonl").is_file():
        for _, record in read_records(folder / "log.jsonl"):
            found.setdefault(record.get("stage", 0), {})[record.get("event", "line")] = record
    return list(found.values()) or [{}]


def _find_speed(events):
    """Rows per second; None of a training that has not ended."""
    return events.get("trained", {}).get("samples_per_s")


def _round(speed):
    return MISSING if speed is None else f"{speed:.4g}"


def _divide(speed, other):
    return f"{speed / other:.3g}" if speed and other else MISSING


def _join(rows):
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
