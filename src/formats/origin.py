"""The record of a tensor that was read from a file."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Origin:
    """Where an array came from.

    name, shape, dtype: those in the file.
    target: our name of the array; None if it was left out.
    remark: what was done to it, or why it was left out; empty if it was taken unchanged.
    transposed: whether the file has it as [in, out].
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    target: str | None
    remark: str = ""
    transposed: bool = False

    @classmethod
    def of(cls, name: str, array: np.ndarray, target: str | None, remark: str = "", transposed: bool = False) -> "Origin":
        return cls(name, tuple(array.shape), str(array.dtype), target, remark, transposed)
