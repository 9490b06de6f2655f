"""The ONNX graph of a trained network, with dynamic batch size and length.

MindSpore's own ONNX exporter lacks operators and dynamic shapes, so the graph is built node by node from the weights. The tests check
that it computes what src/models and network.py of each task compute.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto

from src.config.model import ModelConfig
from src.export.onnx_builder import Builder
from src.export.onnx_encoder import Encoder
from src.files import written_whole
from src.tasks.task import Task


def build(model: ModelConfig, arrays: Mapping[str, np.ndarray], task: Task, settings: dict[str, Any] | None = None) -> ModelProto:
    """The graph of a network for a task.

    Inputs: input_ids, input_mask, token_type_ids, int32 [batch, length], and those that the head adds. Outputs: float32, see `add_head`
    in the task's export.py.

    Args:
        arrays: all parameters of the network, floating-point, by our names; those that the task does not need are left out. Their names
            determine the kind of head.
        settings: the bundle's settings and "labels".

    Raises:
        ValueError: weights are missing, or larger than one file can hold.
    """
    for name in task.export.HEAD:
        if f"{name}.weight" not in arrays:
            raise ValueError(f"the weights have no {name}.weight: they are of no network that was trained for {task.name}")
    graph = Builder(arrays)
    inputs = [graph.add_input(name, "batch", "length") for name in ("input_ids", "input_mask", "token_type_ids")]
    encoder = Encoder(graph, model, *inputs)
    outputs = task.export.add_head(graph, encoder, encoder.encode(), settings or {})
    for name, (value, shape) in outputs.items():
        graph.add_output(name, value, *shape)
    return graph.finish(task.name)


def save(model_proto: ModelProto, path: Path) -> None:
    """Write a graph to a file, which appears only once it is complete."""
    with written_whole(path) as temporary:
        temporary.write_bytes(model_proto.SerializeToString())
