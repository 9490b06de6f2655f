"""Linear layers in float32 on the CPU, in the kernels of float32.cpp.

Shapes: T tokens, I features in, O features out.
"""

from mindspore import Tensor, nn

from src.models.kernels import make_kernel


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
