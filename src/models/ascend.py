"""The ops in their Ascend form: one kernel of CANN's aclnn library forward and one backward, if it has them.

For its older ops the framework picks kernels of the deprecated aclop kind, or several where one would do. The ops used here have no
kernels on other devices.

Shapes: T tokens, I features in, O features out, B batch, S sequence, N heads, H hidden.
"""

import mindspore
from mindspore import Tensor, nn, ops
from mindspore.common.generator import default_generator
from mindspore.ops import auto_generate

from src.config.model import ModelConfig
from src.kernels.ops import zeros_like

FLASH_MULTIPLE = 16  # head sizes, and lengths (because their masks are packed), must be multiples of this

embedding = auto_generate.Embedding()
sum_to_type = auto_generate.SumExt()


def take_rows(table: Tensor, ids: Tensor) -> Tensor:
    """Rows of a table [V, H] by index: int32 [...] -> [..., H]."""
    return embedding(ids, table, None, None, 2.0, False)


class Branches(nn.Cell):
    """x as it is, and x in the compute type. The framework would sum the two gradients with an aclop kernel."""

    def __init__(self, compute_type: mindspore.Type):
        super().__init__()
        self.compute_type = compute_type

    def construct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x.astype(self.compute_type)

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple:
        return (dout[0] + dout[1].astype(x.dtype),)


class FusedLinear(nn.Cell):
    """x W^T + b in one kernel: [T, I], [O, I] of the same type, float32 [O] -> [T, O]. The gradient of b is summed in float32."""

    def __init__(self):
        super().__init__()
        self.dense = auto_generate.Dense()
        self.by_weight = ops.MatMul()
        self.by_input = ops.MatMul(transpose_a=True)

    def construct(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return self.dense(x, weight, bias.astype(x.dtype))

    def bprop(self, x: Tensor, weight: Tensor, bias: Tensor, out: Tensor, dout: Tensor) -> tuple:
        return self.by_weight(dout, weight), self.by_input(dout, x), sum_to_type(dout, 0, False, mindspore.float32)


class FusedProjections(nn.Cell):
    """Three FusedLinears of one x; the gradients of x are summed here, see Branches."""

    def __init__(self):
        super().__init__()
        self.linear = FusedLinear()

    def construct(
        self, x: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor, weight3: Tensor, bias3: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        return self.linear(x, weight1, bias1), self.linear(x, weight2, bias2), self.linear(x, weight3, bias3)

    def bprop(
        self,
        x: Tensor,
        weight1: Tensor,
        bias1: Tensor,
        weight2: Tensor,
        bias2: Tensor,
        weight3: Tensor,
        bias3: Tensor,
        out: Tensor,
        dout: Tensor,
    ) -> tuple:
        first = self.linear.bprop(x, weight1, bias1, out[0], dout[0])
        second = self.linear.bprop(x, weight2, bias2, out[1], dout[1])
        third = self.linear.bprop(x, weight3, bias3, out[2], dout[2])
        return first[0] + second[0] + third[0], *first[1:], *second[1:], *third[1:]


class FusedLayerNorm(nn.Cell):
    """Layer normalisation of the last axis."""

    def __init__(self, eps: float):
        super().__init__()
        self.eps, self.norm = eps, auto_generate.LayerNormExt()

    def construct(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return self.norm(x, weight.shape, weight, bias, self.eps)[0]


class FusedGelu(nn.Cell):
    """GELU.

    Args:
        form: "none" for the erf form, or "tanh".
    """

    def __init__(self, form: str):
        super().__init__()
        self.form, self.gelu = form, auto_generate.GeluExt()

    def construct(self, x: Tensor) -> Tensor:
        return self.gelu(x, self.form)


@ops.constexpr
def count_bytes(size: int) -> int:
    """Bytes of a packed mask of `size` values; computed in Python, because graphs divide integers in float32."""
    return -(-size // 128) * 16


class DropoutMasks(nn.Cell):
    """Masks of several Dropouts, one bit per value (1 keeps it), packed in uint8 and drawn together.

    The random numbers come from the framework's generator, started by `mindspore.manual_seed`. Its counter is on the host, which
    waits for the device each time: once per pass, not once per Dropout. A recomputed layer gets the same masks.

    Args:
        rate: share of values to drop, the same for all masks.

    Args of construct:
        dropout_key: see Dropout. count: number of masks. size: values per mask. kind: type of those values.

    Returns:
        tuple of uint8 [size / 8], rounded up to 16 bytes; where the rate is 0, of `dropout_key` itself.
    """

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate
        self.generate, self.split = auto_generate.DropoutGenMaskExt(), auto_generate.SplitWithSize()
        self.step = Tensor(12, mindspore.int64)  # the framework's own ops advance the generator by this

    def construct(self, dropout_key: Tensor, count: int, size: int, kind: mindspore.Type) -> tuple[Tensor, ...]:
        if self.rate == 0.0:
            return (dropout_key,) * count
        num_bytes = count_bytes(size)
        seed, offset = default_generator._step(self.step)
        masks = self.generate((8 * num_bytes * count,), self.rate, seed, offset, kind)
        return (masks,) if count == 1 else self.split(masks, (num_bytes,) * count, 0)


class EncoderMasks(nn.Cell):
    """The masks of all Dropouts of an encoder and its embeddings: one set for probabilities, one for hidden states."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.num_layers, self.num_heads, self.hidden_size = config.num_hidden_layers, config.num_attention_heads, config.hidden_size
        self.hidden, self.probs = DropoutMasks(config.hidden_dropout_prob), DropoutMasks(config.attention_probs_dropout_prob)

    def construct(self, dropout_key: Tensor, batch_size: int, seq_length: int, kind: mindspore.Type) -> tuple[Tensor, tuple]:
        """The mask of the embeddings, then for each layer the masks of probabilities, attention and feed-forward."""
        count = self.num_layers
        hidden = self.hidden(dropout_key, 1 + 2 * count, batch_size * seq_length * self.hidden_size, kind)
        probs = self.probs(dropout_key, count, batch_size * self.num_heads * seq_length * seq_length, kind)
        layers = ()  # type: tuple[tuple[Tensor, Tensor, Tensor], ...]
        for number in range(count):
            layers += ((probs[number], hidden[2 * number + 1], hidden[2 * number + 2]),)
        return hidden[0], layers


class _Drop(nn.Cell):
    """Zero the values that the mask drops and scale the others; it is its own gradient."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate, self.drop = rate, auto_generate.DropoutDoMaskExt()

    def construct(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.drop(x, mask, self.rate)

    def bprop(self, x: Tensor, mask: Tensor, out: Tensor, dout: Tensor) -> tuple:
        return self.drop(dout, mask, self.rate), zeros_like(mask)


class FusedDropout(nn.Cell):
    """Dropout with a mask of DropoutMasks: `dropout_key` itself if it is a mask, else a new mask."""

    def __init__(self, rate: float):
        super().__init__()
        self.masks, self.drop = DropoutMasks(rate), _Drop(rate)

    def construct(self, x: Tensor, dropout_key: Tensor) -> Tensor:
        return self.drop(x, dropout_key if dropout_key.dtype == mindspore.uint8 else self.masks(dropout_key, 1, x.size, x.dtype)[0])


class FlashAttention(nn.Cell):
    """softmax(Q K^T scale) V of all heads in one kernel that never stores the scores; padding is masked: [T, H] x 3 -> [T, H].

    Args:
        num_heads: N.
        scale: factor of the scores.
        rate: share of the probabilities to drop.

    Args of construct:
        query, key, value: float16 or bfloat16.
        padding: bool [B, 1, S, S], true where the key is padding.
        mask: made by DropoutMasks for [B, N, S, S]; None for no dropout.

    Source: Dao et al. 2022, "FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness".
    """

    def __init__(self, num_heads: int, scale: float, rate: float):
        super().__init__()
        self.num_heads, self.rate = num_heads, rate
        self.attention = auto_generate.FlashAttentionScore(num_heads, scale_value=scale)
        self.dropped = auto_generate.FlashAttentionScore(num_heads, keep_prob=1.0 - rate, scale_value=scale)

    def construct(self, query: Tensor, key: Tensor, value: Tensor, padding: Tensor, mask: Tensor | None) -> Tensor:
        batch_size, _, seq_length, _ = padding.shape
        shape = (batch_size, seq_length, -1)
        query, key, value = query.reshape(shape), key.reshape(shape), value.reshape(shape)
        if mask is None or self.rate == 0.0:
            context = self.attention(query, key, value, None, None, None, padding)[3]
        else:
            mask = mask.reshape((batch_size, self.num_heads, seq_length, seq_length // 8))
            context = self.dropped(query, key, value, None, mask, None, padding)[3]
        return context.reshape((batch_size * seq_length, -1))


def flash_takes(size: int) -> bool:
    """Whether FlashAttention takes a head size, or a length."""
    return size % FLASH_MULTIPLE == 0


def make_padding(input_mask: Tensor) -> Tensor:
    """The padding mask of FlashAttention: [B, S] -> bool [B, 1, S, S]."""
    batch_size, seq_length = input_mask.shape
    return (input_mask == 0).reshape((batch_size, 1, 1, seq_length)).broadcast_to((batch_size, 1, seq_length, seq_length))
