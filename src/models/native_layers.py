"""Linear layers and attention in the compiled kernels of the CPU, float32.cpp, bfloat16.cpp and attention.cpp.

All tensors of a graph are float32, except for packed factors, which only the kernels of bfloat16.cpp make and read.

Shapes: T tokens, I features in, O features out, H hidden, B batch, S sequence.
"""

import mindspore
import numpy as np
from mindspore import Tensor, nn

from src.config.model import ModelConfig
from src.config.training import DeviceSettings
from src.kernels.ops import make_kernel, zeros_like


def native_linear(device: DeviceSettings) -> nn.Cell | None:
    """x W^T + b in compiled kernels: float32 [T, I] -> [T, O]; None if the device has none."""
    if device.bfloat16_library:
        return Bfloat16Linear(device.bfloat16_library)
    return Float32Linear(device.float32_library) if device.float32_library else None


def native_attention(config: ModelConfig, device: DeviceSettings, stream: int) -> nn.Cell | None:
    """Attention with absolute positions in compiled kernels; None if the device has none, or positions are relative."""
    library = device.bfloat16_library or device.float32_library
    if library is None or config.position_embedding_type != "absolute":
        return None
    return NativeAttention(library, device.product_type, config.num_attention_heads, config.attention_probs_dropout_prob, stream)


class Float32Linear(nn.Cell):
    """x W^T + b in compiled kernels: float32 [T, I] -> [T, O]."""

    def __init__(self, library: str):
        super().__init__()
        first_type = lambda first, *others: first  # noqa: E731
        self.linear = make_kernel(library, "float32_linear", lambda x, weight, bias: [x[0], weight[0]], first_type)
        self.input_gradient = make_kernel(library, "float32_input_gradient", lambda dout, weight: [dout[0], weight[1]], first_type)
        self.weight_gradient = make_kernel(
            library, "float32_weight_gradient", lambda dout, x: ([dout[1], x[1]], [dout[1]]), lambda dout, x: (dout, dout)
        )

    def construct(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return self.linear(x, weight, bias)

    def bprop(self, x: Tensor, weight: Tensor, bias: Tensor, out: Tensor, dout: Tensor) -> tuple:
        dweight, dbias = self.weight_gradient(dout, x)
        return self.input_gradient(dout, weight), dweight, dbias


class Bfloat16Linear(nn.Cell):
    """x W^T + b in compiled kernels that round x, W and the gradient to bfloat16 and sum in float32: float32 [T, I] -> [T, O].

    Both passes pack the same x and W; the framework merges equal kernels, so that each is packed once.
    """

    def __init__(self, library: str):
        super().__init__()
        bfloat16, float32 = mindspore.bfloat16, mindspore.float32
        both, gradient = (lambda x: (bfloat16, bfloat16)), (lambda x: (bfloat16, bfloat16, float32))
        self.pack_input = make_kernel(library, "pack_input", _packed, both)
        self.pack_weight = make_kernel(library, "pack_weight", _packed, both)
        self.pack_gradient = make_kernel(library, "pack_gradient", lambda dout: (*_packed(dout), dout[1:]), gradient)
        linear, float32_of = (lambda x, weight, bias, of: [of[0], bias[0]]), (lambda *types: float32)
        self.linear = make_kernel(library, "linear", linear, float32_of)
        self.input_gradient = make_kernel(library, "product", lambda dout, weight, of, to: [of[0], to[1]], float32_of)
        self.weight_gradient = make_kernel(library, "product", lambda dout, x, weight: weight, float32_of)

    def construct(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return self.linear(self.pack_input(x)[0], self.pack_weight(weight)[0], bias, x)

    def bprop(self, x: Tensor, weight: Tensor, bias: Tensor, out: Tensor, dout: Tensor) -> tuple:
        along, across, dbias = self.pack_gradient(dout)
        dx = self.input_gradient(along, self.pack_weight(weight)[1], dout, weight)
        return dx, self.weight_gradient(across, self.pack_input(x)[1], weight), dbias


def _packed(shape):
    """The shapes of the two packed factors of an array [T, I]: see bfloat16.cpp."""
    rows, columns = (-(-size // 32) * 32 for size in shape)
    return [rows, columns], [columns, rows]


class NativeAttention(nn.Cell):
    """softmax(Q K^T / sqrt D + mask) V for every head, with dropout of the probabilities: three float32 [T, H] -> [T, H].

    The backward pass computes the probabilities again, and Dropout drops the same ones.

    Args:
        library: a compiled library; product_type: float32 or bfloat16, the type of the factors of its products.
        rate, stream: see Dropout.
    """

    def __init__(self, library: str, product_type: str, num_heads: int, rate: float, stream: int):
        super().__init__()
        self.no_key = Tensor(np.zeros(2, np.int32))
        self.numbers = Tensor(np.array([stream, round(rate * 2**24), num_heads], np.int32))
        self.numbers_without_dropout = Tensor(np.array([stream, 0, num_heads], np.int32))
        self.kernels = _AttentionKernels(library, product_type)

    def construct(self, query: Tensor, key: Tensor, value: Tensor, mask_bias: Tensor, dropout_key: Tensor | None) -> Tensor:
        if dropout_key is None:
            return self.kernels(query, key, value, mask_bias, self.no_key, self.numbers_without_dropout)
        return self.kernels(query, key, value, mask_bias, dropout_key, self.numbers)


class _AttentionKernels(nn.Cell):
    """The kernels of attention.cpp; mask, dropout_key and numbers have no gradient."""

    def __init__(self, library: str, product_type: str):
        super().__init__()
        self.forward_kernel = make_kernel(library, f"{product_type}_attention", lambda query, *others: query)
        self.backward_kernel = make_kernel(library, f"{product_type}_attention_gradient", lambda query, *others: (query, query, query))

    def construct(self, query: Tensor, key: Tensor, value: Tensor, mask_bias: Tensor, dropout_key: Tensor, numbers: Tensor) -> Tensor:
        return self.forward_kernel(query, key, value, mask_bias, dropout_key, numbers)

    def bprop(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask_bias: Tensor,
        dropout_key: Tensor,
        numbers: Tensor,
        out: Tensor,
        dout: Tensor,
    ) -> tuple:
        dquery, dkey, dvalue = self.backward_kernel(query, key, value, mask_bias, dropout_key, numbers, dout)
        return dquery, dkey, dvalue, zeros_like(mask_bias), zeros_like(dropout_key), zeros_like(numbers)
