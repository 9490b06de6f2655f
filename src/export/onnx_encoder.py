"""The encoder of BERT and NEZHA (src/models/bert.py, src/models/positions.py) as ONNX nodes.

Hidden states are [T, H] throughout, as in src/models, because onnxruntime then fuses each matrix product with its bias, and in int8
computes one product for the whole batch instead of one for each row. The alternative, [B, S, H] at opset 12, lets it fuse
SkipLayerNormalization and Attention: the former makes the CPU a tenth slower (onnxruntime 1.31), the latter gains nothing.

Shapes: B batch, S sequence, T = B * S tokens, H hidden, N heads, D = H / N head size.
"""

import math

import numpy as np
from onnx import TensorProto

from src.config.model import MASK_BIAS, ModelConfig
from src.export.onnx_builder import Builder
from src.formats.positions import make_sinusoids


class Encoder:
    """Adds the encoder to a graph.

    Args:
        input_ids, input_mask, token_type_ids: names of the inputs, int32 [B, S].
    """

    def __init__(self, graph: Builder, model: ModelConfig, input_ids: str, input_mask: str, token_type_ids: str):
        self.graph = graph
        self.model = model
        self.input_ids = input_ids
        self.input_mask = input_mask
        self.token_type_ids = token_type_ids
        self.head_size = model.hidden_size // model.num_attention_heads
        self.shape = graph.op("Shape", input_ids)
        self.length = graph.op("Gather", self.shape, graph.index(1), scope="length")
        self._heads = graph.op("Concat", self.shape, graph.integers(model.num_attention_heads, self.head_size), axis=0, scope="heads")

    def encode(self) -> str:
        """Add embeddings and layers; returns the name of the last hidden states, [B, S, H]."""
        x = self._embed()
        mask_bias = self.negate_mask("mask_bias", 1, 2)  # [B, 1, 1, S]
        relative = None if self.model.position_embedding_type == "absolute" else RelativePositions(self)
        for number in range(self.model.num_hidden_layers):
            x = self._run_layer(f"bert.encoder.layers.{number}", x, mask_bias, relative)
        graph = self.graph
        shape = graph.op("Concat", self.shape, graph.integers(self.model.hidden_size), axis=0, scope="hidden")
        return graph.op("Reshape", x, shape, scope="hidden")

    def pool(self, x: str) -> str:
        """tanh of a projection of the first token, [CLS]: [B, S, H] -> [B, H]."""
        graph = self.graph
        first = graph.op("Gather", x, graph.index(0), axis=1, scope="bert.pooler")
        weight, bias = graph.weight("bert.pooler.weight"), graph.weight("bert.pooler.bias")
        return graph.op("Tanh", graph.linear_of_rows(first, weight, bias, "bert.pooler"), scope="bert.pooler")

    def predict_words(self, x: str, positions: str) -> str:
        """The logits of the masked language model at P positions of each row: [B, S, H] -> [B * P, V].

        Args:
            positions: name of an int32 input [B, P].
        """
        graph, model, scope = self.graph, self.model, "masked_lm"
        indices = graph.op("Cast", graph.op("Unsqueeze", positions, graph.integers(-1), scope=scope), to=7, scope=scope)  # [B, P, 1]
        masked = graph.op("GatherND", x, indices, batch_dims=1, scope=scope)  # [B, P, H]
        masked = graph.op("Reshape", masked, graph.integers(-1, model.hidden_size), scope=scope)
        masked = graph.activate(model.hidden_act, graph.linear(f"{scope}.dense", masked), scope)
        masked = graph.normalise(f"{scope}.norm", masked, model.layer_norm_eps)
        words = graph.weight("bert.embeddings.word.weight")
        table = graph.op("Transpose", words, perm=(1, 0), scope=scope)  # onnxruntime's quantiser would ignore a Gemm's transB
        return graph.op("Add", graph.op("MatMul", masked, table, scope=scope), graph.weight(f"{scope}.bias"), scope=scope)

    def run_lstm(self, name: str, x: str) -> str:
        """A bidirectional LSTM over the real tokens of each row, forward and backward states concatenated, 0 at padding.

        Shapes: [B, S, H] -> [B, S, 2U], U units in each direction.
        """
        graph = self.graph
        units = graph.array(f"{name}.hidden_weight").shape[2]
        names = [f"{name}.{part}_weight" for part in ("input", "hidden")]
        weights = [graph.weight(f"{part}.iofc", _reorder(graph.array(part), 1)) for part in names]
        bias = _reorder(graph.array(f"{name}.bias"), 2)[:, 0]  # [2, 4U]; ONNX adds a second bias for the recurrence, here 0
        bias = graph.weight(f"{name}.bias.iofc", np.concatenate((bias, np.zeros_like(bias)), 1))
        lengths = graph.op("ReduceSum", self.input_mask, graph.integers(1), keepdims=0, scope=name)
        x = graph.op("Transpose", x, perm=(1, 0, 2), scope=name)  # [S, B, H]
        states = graph.op("LSTM", x, *weights, bias, lengths, hidden_size=units, direction="bidirectional", scope=name)  # [S, 2, B, U]
        states = graph.op("Transpose", states, perm=(2, 0, 1, 3), scope=name)
        return graph.op("Reshape", states, graph.integers(0, 0, 2 * units), scope=name)

    def negate_mask(self, scope: str, *axes: int) -> str:
        """0 for real tokens, -10000 for padding, float32 [B, S]; new axes of size 1 are inserted at `axes`."""
        graph, mask = self.graph, self.input_mask
        if axes:
            mask = graph.op("Unsqueeze", mask, graph.integers(*axes), scope=scope)
        mask = graph.op("Cast", mask, to=TensorProto.FLOAT, scope=scope)
        return graph.op("Mul", graph.op("Sub", graph.floats(1.0), mask, scope=scope), graph.floats(MASK_BIAS), scope=scope)

    def _embed(self):
        """Sum of word, segment and position embeddings, normalised: [T, H]."""
        graph, scope = self.graph, "bert.embeddings"
        x = graph.op("Gather", graph.weight(f"{scope}.word.weight"), self.input_ids, scope=scope)
        segments = graph.op("Gather", graph.weight(f"{scope}.token_type.weight"), self.token_type_ids, scope=scope)
        x = graph.op("Add", x, segments, scope=scope)  # [B, S, H]
        if self.model.position_embedding_type == "absolute":
            indices = graph.op("Range", graph.index(0), self.length, graph.index(1), scope=scope)
            positions = graph.op("Gather", graph.weight(f"{scope}.position.weight"), indices, scope=scope)  # fails if the row is too long
            x = graph.op("Add", x, positions, scope=scope)
        x = graph.op("Reshape", x, graph.integers(-1, self.model.hidden_size), scope=scope)
        return graph.normalise(f"{scope}.norm", x, self.model.layer_norm_eps)

    def _run_layer(self, name, x, mask_bias, relative):
        """Attention and feed-forward, each with residual and normalisation: [T, H] -> [T, H]."""
        graph, eps = self.graph, self.model.layer_norm_eps
        y = self._attend(f"{name}.attention", x, mask_bias, relative)
        x = graph.normalise(f"{name}.attention_norm", graph.op("Add", y, x, scope=name), eps)
        y = graph.activate(self.model.hidden_act, graph.linear(f"{name}.intermediate", x), f"{name}.activation")
        return graph.normalise(f"{name}.output_norm", graph.op("Add", graph.linear(f"{name}.output", y), x, scope=name), eps)

    def _attend(self, name, x, mask_bias, relative):
        """softmax((q k + positions) / sqrt D + mask) (v + positions) for every head, then the output projection: [T, H] -> [T, H]."""
        graph = self.graph
        query = graph.op("Reshape", graph.linear(f"{name}.query", x), self._heads, scope=name)  # [B, S, N, D]
        key = graph.op("Reshape", graph.linear(f"{name}.key", x), self._heads, scope=name)
        value = graph.op("Reshape", graph.linear(f"{name}.value", x), self._heads, scope=name)
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
        """Exchange heads and tokens: [B, S, N, D] -> [B, N, S, D], and back."""
        return self.graph.op("Transpose", x, perm=(0, 2, 1, 3), scope=scope)


class RelativePositions:
    """NEZHA's vectors a_ij and their terms in the scores, q_i . a_ij, and in the context, sum_j p_ij a_ij."""

    def __init__(self, encoder: Encoder):
        graph, model, scope = encoder.graph, encoder.model, "positions"
        self.graph, self.model, self.head_size = graph, model, encoder.head_size
        distance = model.max_relative_position
        assert distance is not None  # ModelConfig sets it wherever positions are relative
        indices = graph.op("Range", graph.index(0), encoder.length, graph.index(1), scope=scope)  # [S]
        distances = graph.op("Sub", indices, graph.op("Unsqueeze", indices, graph.integers(1), scope=scope), scope=scope)  # [S, S]
        clipped = graph.op("Clip", distances, graph.index(-distance), graph.index(distance), scope=scope)
        self._rows = graph.op("Add", clipped, graph.index(distance), scope=scope)  # row M + d of the table holds the distance d
        length = graph.op("Unsqueeze", encoder.length, graph.integers(0), scope=scope)
        heads = graph.integers(model.num_attention_heads)
        self._split = graph.op("Concat", length, graph.integers(-1), heads, length, axis=0, scope=scope)  # the shape [S, B, N, S]
        self._joined = graph.op("Concat", length, graph.integers(-1), length, axis=0, scope=scope)  # the shape [S, B * N, S]
        self._shared = None
        if model.position_embedding_type == "sinusoidal":
            self._shared = self._gather(graph.weight("positions.table", make_sinusoids(distance, self.head_size)), scope)

    def make_relations(self, name: str) -> tuple[str, str]:
        """The names of a layer's a_ij, [S, S, D] and transposed [S, D, S]; all layers share the sinusoidal ones."""
        return self._shared or self._gather(self.graph.weight(f"{name}.positions.table"), name)

    def _gather(self, table, scope):
        relations = self.graph.op("Gather", table, self._rows, scope=scope)
        return relations, self.graph.op("Transpose", relations, perm=(0, 2, 1), scope=scope)

    def score_keys(self, query: str, relations: tuple[str, str], scope: str) -> str:
        """q_i . a_ij: [B, S, N, D] -> [B, N, S, S]."""
        graph = self.graph
        query = graph.op("Transpose", query, perm=(1, 0, 2, 3), scope=scope)  # [S, B, N, D]
        query = graph.op("Reshape", query, graph.integers(0, -1, self.head_size), scope=scope)  # [S, B * N, D]
        scores = graph.op("Reshape", graph.op("MatMul", query, relations[1], scope=scope), self._split, scope=scope)
        return graph.op("Transpose", scores, perm=(1, 2, 0, 3), scope=scope)

    def sum_values(self, probs: str, relations: tuple[str, str], scope: str) -> str:
        """sum_j p_ij a_ij: [B, N, S, S] -> [B, S, N, D]."""
        graph = self.graph
        probs = graph.op("Transpose", probs, perm=(2, 0, 1, 3), scope=scope)  # [S, B, N, S]
        probs = graph.op("Reshape", probs, self._joined, scope=scope)
        context = graph.op("MatMul", probs, relations[0], scope=scope)  # [S, B * N, D]
        heads = graph.integers(0, -1, self.model.num_attention_heads, self.head_size)
        return graph.op("Transpose", graph.op("Reshape", context, heads, scope=scope), perm=(1, 0, 2, 3), scope=scope)


def _reorder(array, axis):
    """Change the order of an LSTM's gates from ours, i f g o, to that of ONNX, i o f g (called c there)."""
    i, f, g, o = np.split(array, 4, axis)
    return np.concatenate((i, o, f, g), axis)
