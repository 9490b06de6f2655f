"""The encoder of BERT (Devlin et al. 2018) and NEZHA, bottom up: embeddings, attention, layer, encoder, pooler.

NEZHA is BERT with relative positions: src/models/positions.py. Several rows may stand in one, a pack: src/models/packing.py; the encoder
then sees K packs of L slots where it otherwise sees B rows of S tokens.

Shapes: B batch, S sequence, T = B * S tokens (K * L if packed), H hidden, N heads, D = H / N head size, F feed-forward.
Hidden states stay [T, H] through the encoder: one matrix product per projection, no reshapes between layers.
Matrix products run in `compute_type`; parameters, softmax and normalisation in float32.
"""

import math
from typing import Any

import mindspore
from mindspore import Tensor, nn, ops

from src.config.model import ModelConfig
from src.config.training import DeviceSettings
from src.kernels.ops import zeros_like
from src.models.activations import Activation, tanh
from src.models.ascend import Branches, EncoderMasks, FlashAttention, FusedProjections, flash_takes, make_padding, take_rows
from src.models.dropout import Dropout
from src.models.layers import Embedding, LayerNorm, Linear, MaskedSoftmax, SwapMiddle, make_mask_bias
from src.models.native_layers import native_attention
from src.models.packing import Unpack, find_rows, make_pack_bias, make_pack_mask, pack
from src.models.positions import make_positions

EMBEDDINGS_STREAM, HEAD_STREAM = 0, 1  # Dropout streams; layer i uses 2 + 3i to 4 + 3i


Weights = tuple[tuple[Tensor, ...], ...]  # pairs of weight and bias, and what the positions have


class Embeddings(nn.Cell):
    """Sum of word, segment and absolute position embeddings, normalised."""

    def __init__(self, config: ModelConfig, device: DeviceSettings):
        super().__init__()
        self.word = Embedding(config.vocab_size, config.hidden_size, config.initializer_range, device.aclnn)
        self.absolute = config.position_embedding_type == "absolute"
        if self.absolute:
            self.position = Embedding(config.max_position_embeddings, config.hidden_size, config.initializer_range, device.aclnn)
        self.token_type = Embedding(config.type_vocab_size, config.hidden_size, config.initializer_range, device.aclnn)
        self.norm = LayerNorm(config.hidden_size, config.layer_norm_eps, device)
        self.dropout = Dropout(config.hidden_dropout_prob, EMBEDDINGS_STREAM, device)
        self.hidden_size, self.aclnn = config.hidden_size, device.aclnn

    def construct(self, input_ids: Tensor, token_type_ids: Tensor, dropout_key: Tensor | None, positions: Tensor | None = None) -> Tensor:
        x = self.word(input_ids) + self.token_type(token_type_ids)  # [B, S, H]
        if self.absolute and positions is not None:
            x = x + self.position(positions)
        elif self.absolute:
            length = input_ids.shape[1]
            x = x + (self.position(ops.arange(length).astype(mindspore.int32)) if self.aclnn else self.position.weight[:length])
        x = x.reshape((-1, self.hidden_size))  # [T, H]
        return self.dropout(self.norm(x), dropout_key)


def takes_flash(config: ModelConfig, device: DeviceSettings) -> bool:
    """Whether attention is FlashAttention for lengths that it supports; it cannot add relative positions to the values."""
    head_size = config.hidden_size // config.num_attention_heads
    return device.flash_attention and config.position_embedding_type == "absolute" and flash_takes(head_size)


class SelfAttention(nn.Cell):
    """softmax((Q K^T + positions) / sqrt D + mask) (V + positions) for every head, then the output projection: [T, H] -> [T, H]."""

    def __init__(self, config: ModelConfig, device: DeviceSettings, stream: int):
        super().__init__()
        size, init_range = config.hidden_size, config.initializer_range
        self.query = Linear(size, size, init_range, device)
        self.key = Linear(size, size, init_range, device)
        self.value = Linear(size, size, init_range, device)
        self.output = Linear(size, size, init_range, device)
        self.positions = make_positions(config, device)
        self.swap = SwapMiddle(device)
        self.softmax = MaskedSoftmax(device)
        self.dropout = Dropout(config.attention_probs_dropout_prob, stream, device)
        self.num_heads = config.num_attention_heads
        self.head_size = size // config.num_attention_heads
        self.scale = 1.0 / math.sqrt(self.head_size)
        self.compute_type = getattr(mindspore, device.compute_type)
        self.scores = ops.BatchMatMul(transpose_b=True)
        self.context = ops.BatchMatMul()
        self.projections = FusedProjections() if device.aclnn else None
        self.native = native_attention(config, device, stream)
        if takes_flash(config, device):
            self.flash = FlashAttention(self.num_heads, self.scale, config.attention_probs_dropout_prob)

    def weights(self) -> Weights:
        """The parameters as `construct` takes them: four pairs of weight and bias, and what the positions have."""
        return self.query.weights(), self.key.weights(), self.value.weights(), self.output.weights(), self.positions.weights()

    def project(self, x: Tensor, query: tuple, key: tuple, value: tuple) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each from its pair of weight and bias: [T, H] -> three of [T, H]."""
        if self.projections is not None:
            return self.projections(x, *query, *key, *value)
        return self.query.apply(x, *query), self.key.apply(x, *key), self.value.apply(x, *value)

    def split_heads(self, x: Tensor, batch_size: int, seq_length: int) -> Tensor:
        x = x.reshape((batch_size, seq_length, self.num_heads, self.head_size))
        return self.swap(x)  # [B, N, S, D]

    def construct(self, x: Tensor, mask_bias: Tensor, dropout_key: Tensor | None, weights: Weights) -> Tensor:
        query_pair, key_pair, value_pair, output_pair, table = weights
        query, key, value = self.project(x, query_pair, key_pair, value_pair)
        if mask_bias.dtype == mindspore.bool_:
            return self.output.apply(self.flash(query, key, value, mask_bias, dropout_key), *output_pair)
        if self.native is not None:
            return self.output.apply(self.native(query, key, value, mask_bias, dropout_key), *output_pair)
        batch_size, seq_length = mask_bias.shape[0], mask_bias.shape[3]
        query = self.split_heads(query * self.scale, batch_size, seq_length)
        key = self.split_heads(key, batch_size, seq_length)
        value = self.split_heads(value, batch_size, seq_length)
        scores = self.scores(query, key) + self.positions.key_scores(query, *table)  # [B, N, S, S]; key_scores is 0 if absolute
        probs = self.dropout(self.softmax(scores, mask_bias), dropout_key).astype(self.compute_type)
        context = self.context(probs, value) + self.positions.value_context(probs, *table)  # [B, N, S, D]
        context = self.swap(context).reshape((batch_size * seq_length, -1))  # [T, H]
        return self.output.apply(context, *output_pair)


class Layer(nn.Cell):
    """One transformer layer: attention and feed-forward, each with dropout, residual and normalisation; its weights are arguments.

    Args:
        number: index of the layer, from 0.
    """

    def __init__(self, config: ModelConfig, device: DeviceSettings, number: int):
        super().__init__()
        size, inner, init_range = config.hidden_size, config.intermediate_size, config.initializer_range
        stream = HEAD_STREAM + 1 + 3 * number
        self.attention = SelfAttention(config, device, stream)
        self.attention_norm = LayerNorm(size, config.layer_norm_eps, device)
        self.intermediate = Linear(size, inner, init_range, device)
        self.activation = Activation(config.hidden_act, device)
        self.output = Linear(inner, size, init_range, device)
        self.output_norm = LayerNorm(size, config.layer_norm_eps, device)
        self.attention_dropout = Dropout(config.hidden_dropout_prob, stream + 1, device)
        self.output_dropout = Dropout(config.hidden_dropout_prob, stream + 2, device)
        self.branches = Branches(getattr(mindspore, device.compute_type)) if device.aclnn else None

    def weights(self) -> Weights:
        """The parameters as `construct` takes them: four pairs of weight and bias, and those of the attention."""
        intermediate, output = self.intermediate.weights(), self.output.weights()
        return self.attention_norm.weights(), intermediate, output, self.output_norm.weights(), *self.attention.weights()

    def branch(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x for the residual path and for the matrix products."""
        return (x, x) if self.branches is None else self.branches(x)

    def construct(self, x: Tensor, mask_bias: Tensor, dropout_key: Tensor | tuple | None, weights: Weights) -> Tensor:
        probs_key, attention_key, output_key = dropout_key, dropout_key, dropout_key
        if self.branches is not None and dropout_key is not None:
            probs_key, attention_key, output_key = dropout_key
        attention_norm, intermediate, output, output_norm, *attention = weights
        x, y = self.branch(x)
        y = self.attention(y, mask_bias, probs_key, attention)
        x = self.attention_norm.apply(x + self.attention_dropout(y, attention_key), *attention_norm)
        x, y = self.branch(x)
        y = self.activation(self.intermediate.apply(y, *intermediate))  # [T, F]
        y = self.output.apply(y, *output)
        return self.output_norm.apply(x + self.output_dropout(y, output_key), *output_norm)


def _flatten(weights: Weights) -> tuple[Tensor, ...]:
    """What `Layer.weights` returns, as one tuple."""
    flat = ()  # type: tuple[Tensor, ...]
    for each in weights:
        flat += each
    return flat


def _pair(flat: tuple[Tensor, ...]) -> Weights:
    """The inverse of `_flatten`: eight pairs of weight and bias, and what the positions have."""
    return *[flat[index : index + 2] for index in range(0, 16, 2)], flat[16:]


class RecomputedLayer(Layer):
    """A Layer that stores only its input and recomputes everything else in the backward pass.

    The recomputation waits for the gradient: otherwise the CPU's runtime would start it in the forward pass, as soon as the input is
    there. The framework allows no Parameters in a `bprop`, so the weights are arguments.
    Source: Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost".
    """

    def __init__(self, config: ModelConfig, device: DeviceSettings, number: int):
        super().__init__(config, device, number)
        self.gradient = ops.GradOperation(get_all=True, sens_param=True)

    def bprop(self, x: Tensor, mask_bias: Tensor, dropout_key: Any, weights: Weights, out: Tensor, dout: Tensor) -> tuple:
        def run(x: Tensor, *flat: Tensor) -> Tensor:  # the framework differentiates tensors, not tuples
            return self.construct(x, mask_bias, dropout_key, _pair(flat))

        gradients = self.gradient(run)(ops.depend(x, dout), *_flatten(weights), dout)
        if self.branches is None:
            no_gradient = zeros_like(dropout_key)
        else:  # one mask for each Dropout
            no_gradient = (zeros_like(dropout_key[0]), zeros_like(dropout_key[1]), zeros_like(dropout_key[2]))
        return gradients[0], zeros_like(mask_bias), no_gradient, _pair(gradients[1:])


class Encoder(nn.Cell):
    """The stack of layers: [T, H] -> [T, H]."""

    def __init__(self, config: ModelConfig, device: DeviceSettings):
        super().__init__()
        make_layer = RecomputedLayer if device.recompute == "layer" else Layer
        self.layers = nn.CellList([make_layer(config, device, number) for number in range(config.num_hidden_layers)])
        if device.recompute == "framework":
            for layer in self.layers:
                layer.recompute()

    def construct(self, x: Tensor, mask_bias: Tensor, dropout_keys: tuple) -> Tensor:
        for layer, dropout_key in zip(self.layers, dropout_keys):
            x = layer(x, mask_bias, dropout_key, layer.weights())
        return x


class Bert(nn.Cell):
    """Embeddings, encoder and pooler.

    Args:
        pooled: whether there is a pooler; tasks that label tokens have none.
    """

    def __init__(self, config: ModelConfig, device: DeviceSettings, pooled: bool = True):
        super().__init__()
        self.embeddings = Embeddings(config, device)
        self.encoder = Encoder(config, device)
        self.pooled = pooled
        if pooled:
            size = config.hidden_size
            self.pooler = Linear(size, size, config.initializer_range, device)
        self.hidden_size = config.hidden_size
        self.composed, self.aclnn = device.composed_ops, device.aclnn
        self.flash = takes_flash(config, device)
        self.masks = EncoderMasks(config) if device.aclnn else None
        self.unpack = Unpack(device.aclnn)
        self.compute_type = getattr(mindspore, device.compute_type)

    def make_dropout_keys(self, dropout_key: Tensor | None, batch_size: int, seq_length: int) -> tuple[Any, tuple]:
        """The dropout_key of the embeddings, and that of each layer; on Ascend they are one mask, and three masks per layer."""
        if self.masks is not None and dropout_key is not None:
            return self.masks(dropout_key, batch_size, seq_length, self.compute_type)
        return dropout_key, (dropout_key,) * len(self.encoder.layers)

    def make_mask(self, input_mask: Tensor) -> Tensor:
        """The mask in the form that attention needs: bool for FlashAttention, else a bias."""
        return make_padding(input_mask) if self.flash and flash_takes(input_mask.shape[1]) else make_mask_bias(input_mask)

    def make_packed_mask(self, rows: Tensor) -> Tensor:
        """The mask between the rows of a pack, in the form that attention needs; `rows`: int32 [K, L], of each slot."""
        return make_pack_mask(rows) if self.flash and flash_takes(rows.shape[1]) else make_pack_bias(rows)

    def encode(
        self, input_ids: Tensor, token_type_ids: Tensor, mask: Tensor, dropout_key: Tensor | None, positions: Tensor | None = None
    ) -> Tensor:
        """Embeddings and encoder: int32 [B, S] x 2 -> float32 [T, H]; `positions`: int32 [B, S], default 0 to S - 1 in each row."""
        dropout_key, dropout_keys = self.make_dropout_keys(dropout_key, *input_ids.shape)
        return self.encoder(self.embeddings(input_ids, token_type_ids, dropout_key, positions), mask, dropout_keys)

    def construct(
        self,
        input_ids: Tensor,
        input_mask: Tensor,
        token_type_ids: Tensor,
        dropout_key: Tensor | None = None,
        packing: tuple[Tensor, Tensor] | None = None,
    ) -> Any:
        """Encode a batch.

        Args:
            input_ids: int32 [B, S]. input_mask: int32 [B, S], 1 for real tokens. token_type_ids: int32 [B, S].
            dropout_key: see Dropout.
            packing: packed_tokens and token_slots of src/models/packing.py; None if each row stands alone.

        Returns:
            sequence_output float32 [B, S, H]; with a pooler also pooled_output float32 [B, H], tanh of a projection of [CLS].
        """
        batch_size, seq_length = input_ids.shape
        if packing is None:
            x = self.encode(input_ids, token_type_ids, self.make_mask(input_mask), dropout_key)
        else:
            rows, positions = find_rows(packing[0], seq_length)
            input_ids, token_type_ids = pack(input_ids, packing[0]), pack(token_type_ids, packing[0])
            x = self.encode(input_ids, token_type_ids, self.make_packed_mask(rows), dropout_key, positions)
            x = self.unpack(x, *packing)
        sequence_output = x.reshape((batch_size, seq_length, self.hidden_size))  # [B, S, H]
        if not self.pooled:
            return sequence_output
        cls = take_rows(x, ops.arange(batch_size).astype(mindspore.int32) * seq_length) if self.aclnn else sequence_output[:, 0]
        pooled_output = tanh(self.pooler(cls).astype(mindspore.float32), self.composed)  # [B, H]
        return sequence_output, pooled_output
