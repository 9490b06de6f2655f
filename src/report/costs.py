"""What a run has cost and reached, from its log.jsonl: loss, score, hours, tokens, speed, share of the device's peak."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.report.runs import read_records, read_scores

COLUMNS = ("loss", "score", "hours", "tokens", "tokens_per_s", "mfu")
OTHERS = ("epoch", "steps", "batch_size", "devices", "samples_per_s")  # not in a table unless they are asked for


def read_cost(run: Path | str) -> dict[str, Any]:
    """The last loss and the best score of a training, and what it took; {} if the folder has no log of one.

    Returns:
        Of `loss`, `score` and `metric` (the best of the evaluations during training), `steps`, `epoch`, `hours`, `tokens`,
        `tokens_per_s`, `mfu`, `model_flops_per_s`, `batch_size` (rows of a device in an update), `devices` and, once the training has
        ended, `samples_per_s` (of all devices) those that the log tells. Hours are all that were spent, also on updates that a
        resumed training made again; tokens do not count twice. Speeds leave out compilations and evaluations.
    """
    path = Path(run) / "log.jsonl"
    if not path.is_file():
        return {}
    lines: list[Mapping[str, Any]] = []
    events: dict[str, Mapping[str, Any]] = {}
    seconds = 0.0
    for _, record in read_records(path):
        if event := record.get("event"):
            events[event] = record
        if "loss" not in record or "step" not in record or event:
            continue
        seconds += record.get("seconds", 0.0)
        while lines and lines[-1]["step"] >= record["step"]:  # before a resume
            lines.pop()
        lines.append(record)
    if not lines:
        return {}
    cost = {"loss": lines[-1]["loss"], "steps": lines[-1]["step"], "epoch": lines[-1].get("epoch")}
    if start := events.get("start"):
        cost |= {"batch_size": start["batch_size"] // start["ranks"], "devices": start["ranks"]}
    if "samples_per_s" in events.get("trained", {}):
        cost["samples_per_s"] = events["trained"]["samples_per_s"]
    if scores := read_scores(path):
        cost |= {"score": dict(zip(scores.steps, scores.values)).get(scores.best_step), "metric": scores.metric}
    if seconds:
        cost |= {"hours": seconds / 3600, "tokens": sum(record.get("tokens", 0) for record in lines)}
    return cost | _average(lines)


def _average(lines: list[Mapping[str, Any]]) -> dict[str, float]:
    """The mean speeds of lines, each by the time that its tokens took."""
    timed = [(record["tokens"] / record["tokens_per_s"], record) for record in lines if record.get("tokens_per_s") and "tokens" in record]
    means = {}
    for name in ("tokens_per_s", "model_flops_per_s", "mfu"):
        known = [(seconds, record[name]) for seconds, record in timed if name in record]
        if known:
            means[name] = sum(seconds * value for seconds, value in known) / sum(seconds for seconds, _ in known)
    return means
