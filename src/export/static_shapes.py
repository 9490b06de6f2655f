"""Copies of an ONNX graph for one batch size and length each, as compilers for Ascend want them (docs/ascend.md).

With the sizes fixed, onnxruntime computes everything that follows from them, shapes and indices of positions, and writes what is left.
"""

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from src.bundle.graphs import TEXT_INPUTS, OnnxGraph
from src.export.comparison import REPORT, TOLERANCE, DifferentOutputs
from src.files import write_text, written_whole
from src.log import format_fields, logger

_DYNAMIC = ("Shape", "Range", "ConstantOfShape", "NonZero", "Loop", "If")  # ops by which sizes would be found when the graph runs


def write(source: Path, shapes: Iterable[tuple[int, int]], inputs: Mapping[str, np.ndarray], lengths: list[int]) -> None:
    """Write model.BxS.onnx beside the graph for each shape; compare its outputs with the graph's, and add them to export_report.json.

    Args:
        source: the graph, whose inputs are input_ids, input_mask and token_type_ids.
        shapes: batch size and length of each copy.
        inputs, lengths: see `comparison.make_examples`; rows are cut or padded to a copy's shape.

    Raises:
        DifferentOutputs: a copy differs.
        ValueError: the graph has other inputs.
    """
    graph = OnnxGraph(source)
    if sorted(graph.inputs) != sorted(TEXT_INPUTS):
        raise ValueError(f"static_shapes: the graph's inputs are {', '.join(graph.inputs)}, which a batch size and a length do not fix")
    path = source.with_name(REPORT)
    report = json.loads(path.read_text(encoding="utf-8"))
    for batch, length in shapes:
        target = source.with_name(f"model.{batch}x{length}.onnx")
        _fix(source, target, {"batch": batch, "length": length})
        entry = {"graph": f"{batch}x{length}", **_compare(graph, OnnxGraph(target), inputs, batch, length)}
        logger.info(format_fields(entry))
        if not entry["largest_difference"] <= TOLERANCE:
            raise DifferentOutputs(f"{target.name}: outputs differ by {entry['largest_difference']:.3g}, {TOLERANCE:g} is allowed")
        report["graphs"].append(entry)
    write_text(path, json.dumps(report, indent=2) + "\n")


def _fix(source, target, sizes):
    """Write the graph with these sizes for its named dimensions."""
    model = onnx.load(str(source))
    for value in (*model.graph.input, *model.graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param in sizes:
                dimension.dim_value = sizes[dimension.dim_param]
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC  # standard ops remain standard ops
    options.log_severity_level = 3  # errors
    with written_whole(target) as temporary:
        options.optimized_model_filepath = str(temporary)
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        folded = onnx.load(str(temporary))
        assert not [node for node in folded.graph.node if node.domain or node.op_type in _DYNAMIC], "a size is not fixed"
        kept = [opset for opset in folded.opset_import if not opset.domain]
        del folded.opset_import[:]
        folded.opset_import.extend(kept)
        onnx.checker.check_model(folded)
        temporary.write_bytes(folded.SerializeToString())


def _compare(graph, copy, inputs, batch, length):
    """The largest difference of the outputs, and the seconds that a batch takes."""
    rows = len(inputs["input_ids"])
    numbers = np.arange(-(-rows // batch) * batch) % rows  # whole batches; the first rows fill up the last
    columns = {name: _fit(inputs[name], length)[numbers] for name in TEXT_INPUTS}
    differences, seconds = [], []
    for start in range(0, len(numbers), batch):
        arrays = {name: column[start : start + batch] for name, column in columns.items()}
        expected = graph.run(*(arrays[name] for name in graph.inputs))
        started = time.perf_counter()
        found = copy.run(*(arrays[name] for name in copy.inputs))
        seconds.append(time.perf_counter() - started)
        differences += [float(np.abs(one - other).max()) for one, other in zip(found, expected, strict=True)]
    return {"largest_difference": float(np.max(differences)), "seconds": round(float(np.median(seconds)), 4)}


def _fit(column, length):
    """A column cut or padded to a length."""
    return np.pad(column, ((0, 0), (0, max(0, length - column.shape[1]))))[:, :length]
