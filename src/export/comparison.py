"""The proof of an export: graph and network on the same sentences."""

import json
import time

import numpy as np
from mindspore import Tensor

from src.bundle.graphs import TEXT_INPUTS, MindirGraph, OnnxGraph
from src.export.examples import QUESTIONS, TEXTS
from src.files import write_text
from src.log import format_fields, logger
from src.text.tokenization import Tokenizer

TOLERANCE = 1e-4
_REPORT = "export_report.json"
_LONGEST = 128  # tokens of an example
_REPEATS = 5  # of a timed run


class DifferentOutputs(Exception):
    """The exported graph does not compute what the network computes."""


def kind_of(task):
    """The name of a task's module: classifier, ner, squad or pretrain."""
    return task.__name__.split(".")[2]


def compare(task, config, network, folder, graphs, pairs):
    """Run every graph on the examples, all at once and each alone, beside the network; write export_report.json.

    Args:
        task: a task module. config: its options. network: the cell in evaluation mode.
        folder: of the report. graphs: kind -> path, the first of full precision. pairs: whether a classifier takes two texts.

    Raises:
        DifferentOutputs: of a graph that is not quantised.
    """
    inputs, lengths = make_examples(task, config, pairs)
    expected = network(*(Tensor(array) for array in inputs.values()))
    expected = [output.asnumpy() for output in (expected if isinstance(expected, tuple) else (expected,))]
    report = []
    for kind, path in graphs.items():
        graph = MindirGraph(path, task.INPUTS) if kind == "mindir" else OnnxGraph(path)
        entry = {"graph": kind, **_measure(graph, inputs, lengths, expected, kind_of(task))}
        if report:
            entry["times_faster"] = round(report[0]["seconds"] / entry["seconds"], 2)
        report.append(entry)
        logger.info(format_fields(entry))
        if kind != "int8" and not entry["largest_difference"] <= TOLERANCE:
            raise DifferentOutputs(
                f"{kind}: outputs differ from the network's by {entry['largest_difference']:.3g}, {TOLERANCE:g} is allowed"
            )
    write_text(folder / _REPORT, json.dumps({"tolerance": TOLERANCE, "examples": len(lengths), "graphs": report}, indent=2) + "\n")


def make_examples(task, config, pairs):
    """Sentences as a batch: name of input -> int32 [rows, length], and the length of each row."""
    tokenizer = Tokenizer(config.vocab_file_path, getattr(config, "do_lower_case", None))
    texts, questions = tokenizer.encode(list(TEXTS)), tokenizer.encode(list(QUESTIONS))
    longest = min(config.seq_length or _LONGEST, _LONGEST, config.model.max_position_embeddings)
    if kind_of(task) == "squad":
        examples = [(question, text) for question in questions for text in texts]
    elif kind_of(task) == "pretrain" or pairs:
        examples = list(zip(texts, texts[1:]))
    else:
        examples = [(text, None) for text in texts]
    rows = [tokenizer.join(first[: longest // 2] if second else first, second, longest) for first, second in examples]
    lengths = [len(ids) for ids, _ in rows]
    inputs = {name: np.zeros((len(rows), max(lengths)), np.int32) for name in TEXT_INPUTS}
    for number, (length, row) in enumerate(zip(lengths, rows)):
        inputs["input_ids"][number, :length], inputs["token_type_ids"][number, :length] = row
        inputs["input_mask"][number, :length] = 1
    if kind_of(task) == "pretrain":
        inputs["masked_lm_positions"] = np.array([[1, length - 2] for length in lengths], np.int32)
    return {name: inputs[name] for name in task.INPUTS}, lengths


def _measure(graph, inputs, lengths, expected, task):
    """The largest difference of the outputs, of the batch and of each row alone, and seconds of the batch."""
    found = graph.run(*(inputs[name] for name in graph.inputs))
    others = zip(found[1:], expected[1:]) if task == "ner" else ()  # a CRF's parameters
    expected = _by_row(expected, len(lengths), task, lengths)
    differences = [_difference(*pair) for pair in (*others, *zip(_by_row(found, len(lengths), task, lengths), expected, strict=True))]
    for number, length in enumerate(lengths):
        row = [array[number : number + 1, : length if name in TEXT_INPUTS else None] for name, array in inputs.items()]
        alone = graph.run(*(dict(zip(inputs, row))[name] for name in graph.inputs))
        pairs = zip(_by_row(alone, 1, task, [length]), expected)
        differences += [_difference(one[0], _cut(all_rows[number], one[0].shape)) for one, all_rows in pairs]
    seconds = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        graph.run(*(inputs[name] for name in graph.inputs))
        seconds.append(time.perf_counter() - started)
    return {"largest_difference": float(np.max(differences)), "seconds": round(float(np.median(seconds)), 4)}


def _by_row(outputs, rows, task, lengths):
    """Outputs whose first axis is the rows'."""
    if task == "pretrain":  # the masked language model's of all rows are one in the network
        return [outputs[0].reshape(rows, -1, outputs[0].shape[-1]), outputs[1]]
    if task in ("ner", "squad"):  # without padding: there an LSTM does as its library pleases, and a span's -10000 is rounded to 0.001
        real = np.arange(outputs[0].shape[1]) < np.array(lengths)[:, None]
        return [outputs[0] * real[:, :, None]] if task == "ner" else [logits * real for logits in outputs]
    return outputs[:1]


def _cut(array, shape):
    return array[tuple(slice(size) for size in shape)]


def _difference(one, other):
    return float(np.abs(one - other).max())
