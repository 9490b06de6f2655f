"""The kernels that native.py compiles, as ops."""

from collections.abc import Callable

from mindspore import nn, ops

zeros_like = ops.ZerosLike()  # ops.zeros_like cannot be differentiated twice


def make_kernel(library: str, name: str, infer: Callable, infer_type: Callable | None = None) -> nn.Cell:
    """A kernel of `library`; `infer` maps the inputs' shapes to the outputs', and likewise types unless `infer_type` does."""
    return ops.Custom(f"{library}:{name}", infer, infer_type or infer, func_type="aot")
