"""The record of a tensor that was read from a file."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Origin:
    """Where an array came from.

    name, shape, dtype: in the file.
    target: our name of it; None where it was left out.
    remark: what was done to it, or why it was left out; empty if it was taken as it is.
    transposed: whether it stands there as [in, out].
    """

    name: str
    shape: tuple
    dtype: str
    target: str | None
    remark: str = ""
    transposed: bool = False

    @classmethod
    def of(cls, name, array, target, remark="", transposed=False):
        return cls(name, tuple(array.shape), str(array.dtype), target, remark, transposed)
