"""The encoder of BERT and NEZHA (src/models/bert.py, src/models/positions.py) as ONNX nodes.

Hidden states stay [T, H], as in src/models: onnxruntime then runs product and bias as one op, and in int8 one product a batch instead
of one a row. Its fused SkipLayerNormalization, which it makes of [B, S, H] at opset 12 together with Attention, costs a tenth of the
speed on the CPU (onnxruntime 1.31), and Attention alone gains nothing.

Shapes: B batch, S sequence, T = B * S tokens, H hidden, N heads, D = H / N head size.
"""

import math

import numpy as np

from src.config.model import MASK_BIAS
from src.formats.positions import make_sinusoids

_PARTS = ("query", "key", "value")


class Encoder:
    """Writes the encoder into a graph.

    Args:
        graph: Builder. model: ModelConfig. input_ids, input_mask, token_type_ids: names of the inputs, int32 [B, S].
    """

    def __init__(self, graph, model, input_ids, input_mask, token_type_ids):
        self.graph, self.model = graph, model
        self.input_ids, self.input_mask, self.token_type_ids = input_ids, input_mask, token_type_ids
        self.head_size = model.hidden_size // model.num_attention_heads
        self.shape = graph.op("Shape", input_ids)
        self.length = graph.op("Gather", self.shape, graph.index(1), scope="length")
        self._heads = graph.op("Concat", self.shape, graph.integers(model.num_attention_heads, self.head_size), axis=0, scope="heads")

    def encode(self):
        """Name of the hidden states behind the last layer: [B, S, H]."""
        x = self._embed()
        mask_bias = self._make_mask_bias()
        relative = None if self.model.position_embedding_type == "absolute" else RelativePositions(self)
        for number in range(self.model.num_hidden_layers):
            x = self._run_layer(f"bert.encoder.layers.{number}", x, mask_bias, relative)
        graph = self.graph
        shape = graph.op("Concat", self.shape, graph.integers(self.model.hidden_size), axis=0, scope="hidden")
        return graph.op("Reshape", x, shape, scope="hidden")

    def pool(self, x):
        """tanh of a projection of [CLS]: [B, S, H] -> [B, H]."""
        graph = self.graph
        first = graph.op("Gather", x, graph.index(0), axis=1, scope="bert.pooler")
        weight, bias = graph.weight("bert.pooler.weight"), graph.weight("bert.pooler.bias")
        return graph.op("Tanh", graph.linear_of_rows(first, weight, bias, "bert.pooler"), scope="bert.pooler")

    def run_lstm(self, name, x):
        """Hidden states from the left and from the right over each row's real tokens: [B, S, H] -> [B, S, 2U], 0 at padding."""
        graph = self.graph
        units = graph.array(f"{name}.hidden_weight").shape[2]
        names = [f"{name}.{part}_weight" for part in ("input", "hidden")]
        weights = [graph.weight(f"{part}.iofc", _reorder(graph.array(part), 1)) for part in names]
        bias = _reorder(graph.array(f"{name}.bias"), 2)[:, 0]  # [2, 4U]; ONNX has a second one, of the recurrence
        bias = graph.weight(f"{name}.bias.iofc", np.concatenate((bias, np.zeros_like(bias)), 1))
        lengths = graph.op("ReduceSum", self.input_mask, graph.integers(1), keepdims=0, scope=name)
        x = graph.op("Transpose", x, perm=(1, 0, 2), scope=name)  # [S, B, H]
        states = graph.op("LSTM", x, *weights, bias, lengths, hidden_size=units, direction="bidirectional", scope=name)  # [S, 2, B, U]
        states = graph.op("Transpose", states, perm=(2, 0, 1, 3), scope=name)
        return graph.op("Reshape", states, graph.integers(0, 0, 2 * units), scope=name)

    def negate_mask(self, scope):
        """0 for real tokens, -10000 for padding: [B, S]."""
        return _negate(self.graph, self.input_mask, scope)

    def _embed(self):
        """Sum of word, segment and position embeddings, normalised: [T, H]."""
        graph, scope = self.graph, "bert.embeddings"
        x = graph.op("Gather", graph.weight(f"{scope}.word.weight"), self.input_ids, scope=scope)
        segments = graph.op("Gather", graph.weight(f"{scope}.token_type.weight"), self.token_type_ids, scope=scope)
        x = graph.op("Add", x, segments, scope=scope)  # [B, S, H]
        if self.model.position_embedding_type == "absolute":
            places = graph.op("Range", graph.index(0), self.length, graph.index(1), scope=scope)
            positions = graph.op("Gather", graph.weight(f"{scope}.position.weight"), places, scope=scope)  # refuses longer rows
            x = graph.op("Add", x, positions, scope=scope)
        x = graph.op("Reshape", x, graph.integers(-1, self.model.hidden_size), scope=scope)
        return graph.normalise(f"{scope}.norm", x, self.model.layer_norm_eps)

    def _make_mask_bias(self):
        """0 for real tokens, -10000 for padding: [B, 1, 1, S]."""
        graph, scope = self.graph, "mask_bias"
        return _negate(graph, graph.op("Unsqueeze", self.input_mask, graph.integers(1, 2), scope=scope), scope)

    def _run_layer(self, name, x, mask_bias, relative):
        """Attention and feed-forward, each with residual and normalisation: [T, H] -> [T, H]."""
        graph, eps = self.graph, self.model.layer_norm_eps
        y = self._attend(f"{name}.attention", x, mask_bias, relative)
        x = graph.normalise(f"{name}.attention_norm", graph.op("Add", y, x, scope=name), eps)
        y = graph.activate(self.model.hidden_act, graph.linear(f"{name}.intermediate", x), f"{name}.activation")
        return graph.normalise(f"{name}.output_norm", graph.op("Add", graph.linear(f"{name}.output", y), x, scope=name), eps)

    def _attend(self, name, x, mask_bias, relative):
        """softmax((q k + positions) / sqrt D + mask) (v + positions) for every head, and the output projection: [T, H] -> [T, H]."""
        graph = self.graph
        parts = [graph.linear(f"{name}.{part}", x) for part in _PARTS]
        query, key, value = (graph.op("Reshape", part, self._heads, scope=name) for part in parts)  # [B, S, N, D]
        scores = graph.op("MatMul", self._swap(query, name), graph.op("Transpose", key, perm=(0, 2, 3, 1), scope=name), scope=name)
        if relative:
            relations = relative.make_relations(name)
            scores = graph.op("Add", scores, relative.score_keys(query, relations, name), scope=name)
        scores = graph.op("Div", scores, graph.floats(math.sqrt(self.head_size)), scope=name)
        probs = graph.op("Softmax", graph.op("Add", scores, mask_bias, scope=name), axis=3, scope=name)  # [B, N, S, S]
        context = self._swap(graph.op("MatMul", probs, self._swap(value, name), scope=name), name)  # [B, S, N, D]
        if relative:
            context = graph.op("Add", context, relative.sum_values(probs, relations, name), scope=name)
        return graph.linear(f"{name}.output", graph.op("Reshape", context, graph.integers(-1, self.model.hidden_size), scope=name))

    def _swap(self, x, scope):
        """Heads and places exchanged: [B, S, N, D] -> [B, N, S, D], and back."""
        return self.graph.op("Transpose", x, perm=(0, 2, 1, 3), scope=scope)


class RelativePositions:
    """NEZHA's vectors a_ij: their part in scores, q_i . a_ij, and in the context, sum_j p_ij a_ij.

    Args:
        encoder: Encoder.
    """

    def __init__(self, encoder):
        self.graph, self.model, self.head_size = encoder.graph, encoder.model, encoder.head_size
        graph, distance, scope = self.graph, self.model.max_relative_position, "positions"
        places = graph.op("Range", graph.index(0), encoder.length, graph.index(1), scope=scope)  # [S]
        distances = graph.op("Sub", places, graph.op("Unsqueeze", places, graph.integers(1), scope=scope), scope=scope)  # [S, S]
        clipped = graph.op("Clip", distances, graph.index(-distance), graph.index(distance), scope=scope)
        self._rows = graph.op("Add", clipped, graph.index(distance), scope=scope)
        length = graph.op("Unsqueeze", encoder.length, graph.integers(0), scope=scope)
        heads = graph.integers(self.model.num_attention_heads)
        self._split = graph.op("Concat", length, graph.integers(-1), heads, length, axis=0, scope=scope)  # the shape [S, B, N, S]
        self._joined = graph.op("Concat", length, graph.integers(-1), length, axis=0, scope=scope)  # the shape [S, B * N, S]
        self._shared = None
        if self.model.position_embedding_type == "sinusoidal":
            self._shared = self._gather(graph.weight("positions.table", make_sinusoids(distance, self.head_size)), scope)

    def make_relations(self, name):
        """The names of a layer's a_ij, [S, S, D] and transposed [S, D, S]."""
        return self._shared or self._gather(self.graph.weight(f"{name}.positions.table"), name)

    def _gather(self, table, scope):
        relations = self.graph.op("Gather", table, self._rows, scope=scope)
        return relations, self.graph.op("Transpose", relations, perm=(0, 2, 1), scope=scope)

    def score_keys(self, query, relations, scope):
        """q_i . a_ij: [B, S, N, D] -> [B, N, S, S]."""
        graph = self.graph
        query = graph.op("Transpose", query, perm=(1, 0, 2, 3), scope=scope)  # [S, B, N, D]
        query = graph.op("Reshape", query, graph.integers(0, -1, self.head_size), scope=scope)  # [S, B * N, D]
        scores = graph.op("Reshape", graph.op("MatMul", query, relations[1], scope=scope), self._split, scope=scope)
        return graph.op("Transpose", scores, perm=(1, 2, 0, 3), scope=scope)

    def sum_values(self, probs, relations, scope):
        """sum_j p_ij a_ij: [B, N, S, S] -> [B, S, N, D]."""
        graph = self.graph
        probs = graph.op("Transpose", probs, perm=(2, 0, 1, 3), scope=scope)  # [S, B, N, S]
        probs = graph.op("Reshape", probs, self._joined, scope=scope)
        context = graph.op("MatMul", probs, relations[0], scope=scope)  # [S, B * N, D]
        heads = graph.integers(0, -1, self.model.num_attention_heads, self.head_size)
        return graph.op("Transpose", graph.op("Reshape", context, heads, scope=scope), perm=(1, 0, 2, 3), scope=scope)


def _negate(graph, mask, scope):
    """0 for real tokens, -10000 for padding: int32 -> float32 of the same shape."""
    mask = graph.op("Cast", mask, to=1, scope=scope)
    return graph.op("Mul", graph.op("Sub", graph.floats(1.0), mask, scope=scope), graph.floats(MASK_BIAS), scope=scope)


def _reorder(array, axis):
    """Gates i f g o, as ours are, to ONNX's i o f c."""
    i, f, g, o = np.split(array, 4, axis)
    return np.concatenate((i, o, f, g), axis)
