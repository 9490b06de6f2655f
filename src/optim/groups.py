"""Parameters of like size that are updated as one tensor: a kernel for all of them where there would be one for each.

A group's tensors are stacked, [n, size], n parameters of so many values. What is of one parameter, such as a norm or a factor, is
of a row, [n].
"""

from collections import Counter

import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from mindspore.ops import auto_generate

copy = auto_generate.InplaceCopy()  # in place of Assign, which on Ascend is an aclop kernel
stack = auto_generate.StackExt()  # and of ops.stack
split = auto_generate.SplitWithSize()
_assign = ops.MultitypeFuncGraph("assign_row")
_square_sum = ops.MultitypeFuncGraph("square_sum_rows")


@_assign.register("Tensor", "Tensor")
def _assign_one(parameter, row):
    return copy(parameter, row.reshape(parameter.shape))


@_square_sum.register("Tensor")
def _square_sum_one(rows):
    return sum_squares(rows)


def sum_squares(rows):
    """Of each row: [n, size] -> [n]."""
    return (rows * rows).sum(1)


def order(parameters, kind):
    """The parameters in the order of their groups: those of one size and one `kind(parameter)`, those of one shape together."""
    groups = {}
    for parameter in parameters:
        shapes = groups.setdefault((parameter.size, kind(parameter)), {})
        shapes.setdefault(parameter.shape, []).append(parameter)
    return [[parameter for same in shapes.values() for parameter in same] for shapes in groups.values()]


class Groups(nn.Cell):
    """Stacks and unstacks.

    Args:
        groups: list of lists of Parameters.
    """

    def __init__(self, groups):
        super().__init__(auto_prefix=False)
        self.sizes = tuple((len(group), int(group[0].size)) for group in groups)
        self.names = [[parameter.name for parameter in group] for group in groups]
        self.shapes = [[parameter.shape for parameter in group] for group in groups]
        self.shape_counts = tuple(tuple(Counter(shapes).values()) for shapes in self.shapes)
        self.hyper_map = ops.HyperMap()

    def zeros(self, prefix):
        """A Parameter for each group, by the name of its first."""
        return ParameterTuple(
            Parameter(Tensor(np.zeros(shape, np.float32)), name=f"{prefix}.{names[0]}", requires_grad=False)
            for shape, names in zip(self.sizes, self.names)
        )

    def stack(self, tensors):
        """One tensor each, in the order of the groups -> a tuple of the groups'."""
        stacked, start = (), 0
        for count, size in self.sizes:
            rows = ()
            for tensor in tensors[start : start + count]:
                rows += (tensor.reshape((1, size)),)
            stacked += ((rows[0] if count == 1 else ops.concat(rows)),)
            start += count
        return stacked

    def stack_parameters(self, parameters):
        """The same of parameters, which are stacked in their own shapes: to reshape a parameter is to copy it."""
        stacked, start = (), 0
        for (_, size), counts in zip(self.sizes, self.shape_counts):
            rows = ()
            for count in counts:
                rows += (stack(parameters[start : start + count]).reshape((count, size)),)
                start += count
            stacked += ((rows[0] if len(rows) == 1 else ops.concat(rows)),)
        return stacked

    def write_back(self, parameters, stacked):
        """Give each parameter its row."""
        rows = ()
        for (count, size), group in zip(self.sizes, stacked):
            flat = group.reshape((count * size,))
            rows += (flat,) if count == 1 else split(flat, (size,) * count, 0)
        return self.hyper_map(_assign, parameters, rows)

    def square_sums(self, stacked):
        """The sum of squares of each parameter, in the order of the groups: float32 [P]."""
        return ops.concat(self.hyper_map(_square_sum, stacked))

    def spread(self, factors):
        """A number each, [P], or one for all -> a tuple of [n, 1] a group, or of that one."""
        if factors.ndim == 0:
            return (factors,) * len(self.sizes)
        counts = [count for count, _ in self.sizes]
        parts = ()
        for part in split(factors, tuple(counts), 0):
            parts += (part.reshape((-1, 1)),)
        return parts

    def split(self, arrays, prefixes):
        """The stacked NumPy arrays of these prefixes as one array a parameter, as they stand in a checkpoint."""
        arrays = dict(arrays)
        for prefix in prefixes:
            for names, shapes in zip(self.names, self.shapes):
                rows = arrays.pop(f"{prefix}.{names[0]}")
                arrays |= {f"{prefix}.{name}": row.reshape(shape) for name, shape, row in zip(names, shapes, rows)}
        return arrays

    def join(self, arrays, prefixes):
        """The other way round; arrays that are not all there stay as they are."""
        arrays = dict(arrays)
        for prefix in prefixes:
            for names in self.names:
                members = [f"{prefix}.{name}" for name in names]
                if all(member in arrays for member in members):
                    arrays[members[0]] = np.stack([arrays.pop(member).reshape(-1) for member in members])
        return arrays
