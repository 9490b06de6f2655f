"""The ONNX graph of a network and a task, built from weights by our names, with dynamic batch and length.

MindSpore's own ONNX exporter lacks operators and dynamic shapes. What is computed stands in src/models and in network.py of each task;
the tests hold both together.
"""

from src.export.onnx_builder import Builder
from src.export.onnx_encoder import Encoder
from src.files import written_whole


def build(model, arrays, task, settings=None):
    """The graph of a network for a task.

    Inputs: int32 [batch, length] input_ids, input_mask, token_type_ids, and what the head adds. Outputs, float32: see `add_head` of the
    task's export.py.

    Args:
        model: ModelConfig.
        arrays: our name -> array of floats, of a whole network; what the task does not need is left out.
        task: Task. The kind of its head is told by the weights.
        settings: of the bundle, and "labels".

    Returns:
        onnx.ModelProto.

    Raises:
        ValueError: weights that are absent, or more of them than a file holds.
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


def save(model_proto, path):
    """Write a graph whole."""
    with written_whole(path) as temporary:
        temporary.write_bytes(model_proto.SerializeToString())
