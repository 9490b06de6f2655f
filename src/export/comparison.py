"""Comparison of an exported graph with the network on the same sentences."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Tensor, nn

from src.bundle.graphs import TEXT_INPUTS, MindirGraph, OnnxGraph
from src.export.examples import QUESTIONS, TEXTS
from src.files import write_text
from src.log import format_fields, logger
from src.tasks.task import Task
from src.text.tokenization import Tokenizer

TOLERANCE = 1e-4
_REPORT = "export_report.json"
_LONGEST = 128  # maximum length of an example in tokens
_REPEATS = 5  # timed runs


class DifferentOutputs(Exception):
    """The exported graph does not compute what the network computes."""


def compare(
    task: Task, config: Any, tokenizer: Tokenizer, network: nn.Cell, folder: Path, graphs: Mapping[str, Path], settings: dict[str, Any]
) -> None:
    """Compare every graph with the network on the examples, all at once and one by one; write export_report.json.

    A dry run only compiles the network.

    Args:
        config: the task's settings of a model.
        network: in evaluation mode.
        folder: folder of the report.
        graphs: kind -> path; the first one has full precision.
        settings: of the bundle.

    Raises:
        DifferentOutputs: a graph that is not quantised differs.
    """
    inputs, lengths = make_examples(task, config, tokenizer, settings)
    expected = network(*(Tensor(array) for array in inputs.values()))
    if config.device.simulated:
        logger.warning("the graphs are not compared with the network: a dry run computes nothing")
        return
    expected = [output.asnumpy() for output in (expected if isinstance(expected, tuple) else (expected,))]
    report: list[dict[str, Any]] = []
    for kind, path in graphs.items():
        graph = MindirGraph(path, task.training.INPUTS) if kind == "mindir" else OnnxGraph(path)
        entry = {"graph": kind, **_measure(graph, inputs, lengths, expected, task.export.split_outputs)}
        if report:
            entry["times_faster"] = round(report[0]["seconds"] / entry["seconds"], 2)
        report.append(entry)
        logger.info(format_fields(entry))
        if kind != "int8" and not entry["largest_difference"] <= TOLERANCE:
            raise DifferentOutputs(
                f"{kind}: outputs differ from the network's by {entry['largest_difference']:.3g}, {TOLERANCE:g} is allowed"
            )
    write_text(folder / _REPORT, json.dumps({"tolerance": TOLERANCE, "examples": len(lengths), "graphs": report}, indent=2) + "\n")


def make_examples(task: Task, config: Any, tokenizer: Tokenizer, settings: dict[str, Any]) -> tuple[dict[str, np.ndarray], list[int]]:
    """The example sentences as a batch, input name -> int32 [rows, length], and the length of each row."""
    texts, questions = tokenizer.encode(list(TEXTS)), tokenizer.encode(list(QUESTIONS))
    longest = min(config.seq_length or _LONGEST, _LONGEST, config.model.max_position_embeddings)
    examples = task.export.make_examples(texts, questions, settings)
    rows = [tokenizer.join(first[: longest // 2] if second else first, second, longest) for first, second in examples]
    lengths = [len(ids) for ids, _ in rows]
    inputs = {name: np.zeros((len(rows), max(lengths)), np.int32) for name in TEXT_INPUTS}
    for number, (length, row) in enumerate(zip(lengths, rows)):
        inputs["input_ids"][number, :length], inputs["token_type_ids"][number, :length] = row
        inputs["input_mask"][number, :length] = 1
    inputs |= task.export.make_inputs(lengths)
    return {name: inputs[name] for name in task.training.INPUTS}, lengths


def _measure(graph, inputs, lengths, expected, split_outputs):
    """The largest difference of the outputs, for the batch and for each single row, and the seconds that the batch takes."""
    found = graph.run(*(inputs[name] for name in graph.inputs))
    found, found_alone = split_outputs(found, len(lengths), lengths)
    expected, expected_alone = split_outputs(expected, len(lengths), lengths)
    differences = [_difference(*pair) for pair in zip([*found_alone, *found], [*expected_alone, *expected], strict=True)]
    for number, length in enumerate(lengths):
        row = [array[number : number + 1, : length if name in TEXT_INPUTS else None] for name, array in inputs.items()]
        alone, _ = split_outputs(graph.run(*(dict(zip(inputs, row))[name] for name in graph.inputs)), 1, [length])
        differences += [_difference(one[0], _cut(all_rows[number], one[0].shape)) for one, all_rows in zip(alone, expected)]
    seconds = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        graph.run(*(inputs[name] for name in graph.inputs))
        seconds.append(time.perf_counter() - started)
    return {"largest_difference": float(np.max(differences)), "seconds": round(float(np.median(seconds)), 4)}


def _cut(array, shape):
    return array[tuple(slice(size) for size in shape)]


def _difference(one, other):
    return float(np.abs(one - other).max())
