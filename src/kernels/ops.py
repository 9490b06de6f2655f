"""The kernels that native.py compiles, as ops."""

from collections.abc import Callable

from mindspore import nn, ops
from mindspore.ops import signature

zeros_like = ops.ZerosLike()  # ops.zeros_like cannot be differentiated twice


def make_kernel(library: str, name: str, infer: Callable, infer_type: Callable | None = None) -> nn.Cell:
    """A kernel of `library`; `infer` maps the inputs' shapes to the outputs', and likewise types unless `infer_type` does."""
    return ops.Custom(f"{library}:{name}", infer, infer_type or infer, func_type="aot")


def make_update(library: str, name: str, written: int, read: int) -> nn.Cell:
    """A kernel that changes parameters in place; it returns a float32 scalar to depend on.

    Args:
        written: number of its first inputs, which are float32 parameters that it changes.
        read: number of the tensors that follow and that it only reads.
    """
    kernel = make_kernel(library, name, lambda *shapes: [], lambda *types: types[0])
    kernel.add_prim_attr("side_effect_mem", True)  # the framework keeps it in order with other reads and writes of these parameters
    kinds = [signature.sig_rw.RW_WRITE] * written + [signature.sig_rw.RW_READ] * read
    kernel.set_signatures(tuple(signature.make_sig(f"input{number}", kind) for number, kind in enumerate(kinds)))
    return kernel
