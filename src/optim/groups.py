"""Parameters of one size that are updated as one tensor: one kernel instead of one for each.

The n parameters of a group, of `size` values each, are stacked to [n, size]. A row belongs to one parameter, and so do its norm and
its factor, [n].

Shapes: G groups, P parameters.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from mindspore.ops import auto_generate

copy = auto_generate.InplaceCopy()  # not Assign, which on Ascend is an aclop kernel
stack = auto_generate.StackExt()  # not ops.stack, for the same reason
split = auto_generate.SplitWithSize()
_assign = ops.MultitypeFuncGraph("assign_row")
_square_sum = ops.MultitypeFuncGraph("square_sum_rows")


@_assign.register("Tensor", "Tensor")
def _assign_one(parameter, row):
    return copy(parameter, row.reshape(parameter.shape))


@_square_sum.register("Tensor")
def _square_sum_one(rows):
    return sum_squares(rows)


def sum_squares(rows: Tensor) -> Tensor:
    """The sum of squares of each row: [n, size] -> [n]."""
    return (rows * rows).sum(1)


def find_groups(parameters: Sequence[Parameter], kind: Callable[[Parameter], Any]) -> list[list[Parameter]]:
    """Groups of the parameters with one size and one `kind(parameter)`, those of one shape together, ordered by their first members."""
    groups: dict[tuple[int, Any], dict[tuple, list[Parameter]]] = {}
    for parameter in parameters:
        shapes = groups.setdefault((parameter.size, kind(parameter)), {})
        shapes.setdefault(parameter.shape, []).append(parameter)
    return [[parameter for same in shapes.values() for parameter in same] for shapes in groups.values()]


class Groups(nn.Cell):
    """Stacks the tensors of each group, and splits them again."""

    def __init__(self, groups: list[list[Parameter]]):
        super().__init__(auto_prefix=False)
        self.sizes = tuple((len(group), int(group[0].size)) for group in groups)
        self.names = [[parameter.name for parameter in group] for group in groups]
        self.shapes = [[parameter.shape for parameter in group] for group in groups]
        self.shape_counts = tuple(tuple(Counter(shapes).values()) for shapes in self.shapes)
        self.copy = copy
        self.hyper_map = ops.HyperMap()

    def zeros(self, prefix: str) -> ParameterTuple:
        """Zeros, a Parameter for each group, named `{prefix}.` and the name of its first member."""
        return ParameterTuple(
            Parameter(Tensor(np.zeros(shape, np.float32)), name=f"{prefix}.{names[0]}", requires_grad=False)
            for shape, names in zip(self.sizes, self.names)
        )

    def stack(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """P tensors, one a parameter, in the order of the groups -> G stacked tensors."""
        start = 0
        stacked = ()  # type: tuple[Tensor, ...]
        for count, size in self.sizes:
            rows = ()  # type: tuple[Tensor, ...]
            for tensor in tensors[start : start + count]:
                rows += (tensor.reshape((1, size)),)
            stacked += (ops.concat(rows) if count > 1 else rows[0],)
            start += count
        return stacked

    def stack_parameters(self, parameters: Sequence[Parameter]) -> tuple[Tensor, ...]:
        """The parameters of each group as `stack` does, each in its own shape: to reshape a parameter is to copy it."""
        stacked = ()  # type: tuple[Tensor, ...]
        start = 0
        for (_, size), counts in zip(self.sizes, self.shape_counts):
            rows = ()  # type: tuple[Tensor, ...]
            for count in counts:
                rows += (stack(parameters[start : start + count]).reshape((count, size)),)
                start += count
            stacked += ((rows[0] if len(rows) == 1 else ops.concat(rows)),)
        return stacked

    def write_back(self, parameters: Sequence[Parameter], stacked: tuple[Tensor, ...]) -> tuple:
        """Assign its row to each parameter."""
        rows = ()  # type: tuple[Tensor, ...]
        for (count, size), group in zip(self.sizes, stacked):
            flat = group.reshape((count * size,))
            rows += (flat,) if count == 1 else split(flat, (size,) * count, 0)
        return self.hyper_map(_assign, parameters, rows)

    def square_sums(self, stacked: tuple[Tensor, ...]) -> Tensor:
        """The sum of squares of each parameter, in the order of the groups: float32 [P]."""
        return ops.concat(self.hyper_map(_square_sum, stacked))

    def spread(self, factors: Tensor) -> tuple[Tensor, ...]:
        """Factors of the parameters, [P] -> G of [n, 1]; one factor for all, [] -> G times that one."""
        if factors.ndim == 0:
            return (factors,) * len(self.sizes)
        counts = [count for count, _ in self.sizes]
        parts = ()  # type: tuple[Tensor, ...]
        for part in split(factors, tuple(counts), 0):
            parts += (part.reshape((-1, 1)),)
        return parts

    def split(self, arrays: dict[str, np.ndarray], prefixes: Iterable[str]) -> dict[str, np.ndarray]:
        """NumPy arrays with those of these prefixes split from one a group into one a parameter, as in a checkpoint."""
        arrays = dict(arrays)
        for prefix in prefixes:
            for names, shapes in zip(self.names, self.shapes):
                rows = arrays.pop(f"{prefix}.{names[0]}")
                arrays |= {f"{prefix}.{name}": row.reshape(shape) for name, shape, row in zip(names, shapes, rows)}
        return arrays

    def join(self, arrays: dict[str, np.ndarray], prefixes: Iterable[str]) -> dict[str, np.ndarray]:
        """The inverse of `split`; a group of which an array is missing stays split."""
        arrays = dict(arrays)
        for prefix in prefixes:
            for names in self.names:
                members = [f"{prefix}.{name}" for name in names]
                if all(member in arrays for member in members):
                    arrays[members[0]] = np.stack([arrays.pop(member).reshape(-1) for member in members])
        return arrays
