"""The ONNX graph of a network and a task, built from weights by our names, with dynamic batch and length.

MindSpore's own ONNX exporter lacks operators and dynamic shapes. What is computed stands in src/models; the tests hold both together.
"""

from src.export import onnx_heads
from src.export.onnx_builder import Builder
from src.export.onnx_encoder import Encoder
from src.files import written_whole

_HEADS = {"classifier": onnx_heads.classify, "ner": onnx_heads.tag, "squad": onnx_heads.find_span, "pretrain": onnx_heads.pretrain}


def build(model, arrays, task, settings=None):
    """The graph of a network for a task.

    Inputs: int32 [batch, length] input_ids, input_mask, token_type_ids; of pretrain also masked_lm_positions [batch, predictions].
    Outputs, float32: classifier logits [batch, C]; ner logits [batch, length, C], with a CRF transitions [C, C], start [C], end [C];
    squad start_logits, end_logits [batch, length]; pretrain masked_lm_logits [batch, predictions, V], next_sentence_logits [batch, 2].

    Args:
        model: ModelConfig.
        arrays: our name -> array of floats, of a whole network; what the task does not need is left out.
        task: classifier, ner, squad or pretrain. The kind of its head is told by the weights.
        settings: of the task; a CRF takes "labels" in id order, by which transitions are forbidden, unless "crf_constraints" is False.

    Returns:
        onnx.ModelProto.

    Raises:
        ValueError: weights that are absent, or more of them than a file holds.
    """
    if task not in _HEADS:
        raise ValueError(f"task={task}: {', '.join(_HEADS)} are known")
    onnx_heads.check_head(arrays, task)
    graph = Builder(arrays)
    inputs = [graph.add_input(name, "batch", "length") for name in ("input_ids", "input_mask", "token_type_ids")]
    encoder = Encoder(graph, model, *inputs)
    outputs = _HEADS[task](graph, encoder, encoder.encode(), settings or {})
    for name, (value, shape) in outputs.items():
        graph.add_output(name, value, *shape)
    return graph.finish(task)


def save(model_proto, path):
    """Write a graph whole."""
    with written_whole(path) as temporary:
        temporary.write_bytes(model_proto.SerializeToString())
