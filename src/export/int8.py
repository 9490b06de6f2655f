"""Dynamic quantisation with onnxruntime: int8 weights with a scale per output; activations are quantised at run time."""

import logging
from contextlib import contextmanager
from pathlib import Path

import onnx

from src.files import written_whole

_ENCODER = "bert.encoder.layers."
_WORDS = "bert.embeddings.word.weight"


def quantize(path_in: Path | str, path_out: Path | str) -> None:
    """Write the int8 form of a graph that onnx_graph.save wrote.

    The encoder's matrix products, which take most of the time, and the word embeddings, which take most of the space, become int8.
    Heads and pooler stay float32: they are cheap, and their rounding errors would reach the outputs undiminished.

    Raises:
        OSError: path_out cannot be written.
        Errors of onnx and onnxruntime: path_in is no such graph.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(str(path_in))
    chosen = _choose_nodes(model.graph)
    with written_whole(path_out) as temporary, _quiet():
        settings = {"per_channel": True, "weight_type": QuantType.QInt8, "nodes_to_quantize": chosen}
        quantize_dynamic(model, str(temporary), ["MatMul", "Gather"], **settings)


def _choose_nodes(graph):
    """Names of the nodes whose weights become int8."""
    weights = {tensor.name for tensor in graph.initializer}
    of_words = [node for node in graph.node if _WORDS in node.input]
    shares_words = len(of_words) > 1  # the masked language model reads the table too, which would be stored twice
    names = [] if shares_words else [node.name for node in of_words]
    products = [node for node in graph.node if node.op_type == "MatMul" and node.input[1] in weights]
    return names + [node.name for node in products if node.name.startswith(_ENCODER)]


@contextmanager
def _quiet():
    """Silence the tool's advice to the root logger, whose first warning would also give that logger a handler."""
    root, handler = logging.getLogger(), logging.NullHandler()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
