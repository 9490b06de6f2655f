"""The lifetimes of tensors: forward, backward and update of a Tape as steps, and the bytes that are live at each step.

A tensor lives from the step that makes it to the last step that reads it. The live bytes of a step are linear in the batch size:
a constant part, and a part per sequence. The peak is the maximum over all steps; the largest batch follows exactly.
"""

import dataclasses
import itertools
import math
from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from src.report.memory_tape import Op, Tape, Tensor

MOMENTS = {"Lamb": 2, "AdamWeightDecay": 2, "AdamW": 2, "Momentum": 1}  # `make_moments` of src/optim
# temporary arrays of a parameter's size in its update, besides gradient * factor and moments: `_update_one` of src/optim. LAMB's
# are both new moments, the step, its product with the rate, and the new parameter
_UPDATE_SCRATCH = {"Lamb": 5, "AdamWeightDecay": 0, "AdamW": 0, "Momentum": 3}
_GROUP_SCRATCH = 5  # temporary arrays of a group's size in its update: `_update_one` of src/optim/lamb.py
_CPU_PRODUCT_SCRATCH = 2  # temporary arrays of the result's size while the CPU multiplies by a factor that is a tensor; measured


@dataclasses.dataclass(frozen=True)
class Step:
    """One op as it runs in a training step.

    Attributes:
        phase: forward, backward or update.
        scratch: temporary bytes per sequence.
        scratch_fixed: temporary bytes whatever the batch size.
    """

    phase: str
    name: str
    reads: tuple[Tensor, ...]
    writes: tuple[Tensor, ...]
    scratch: int = 0
    scratch_fixed: int = 0


class _Backward:
    """The steps of the backward pass: the ops in reverse order, each layer preceded by its recomputation if `recompute`."""

    def __init__(self, tape: Tape, recompute: bool):
        self.steps: list[Step] = []
        self.aclnn = tape.form.aclnn
        self.gradients: dict[Tensor, Tensor] = {}
        for part, group in itertools.groupby(reversed(tape.ops), lambda op: op.part):
            ops = list(group)
            has_gradient = ops[0].result.learned  # that of a part's last op
            again = self.compute_again(reversed(ops)) if recompute and has_gradient and part.startswith("layer.") else {}
            for op in ops:
                self.differentiate(op, again)

    def compute_again(self, ops: Iterable[Op]) -> dict[Tensor, Tensor]:
        """Recompute a layer's ops; returns old tensor -> new tensor."""
        again: dict[Tensor, Tensor] = {}
        for op in ops:
            if self.aclnn and op.name == "cast of a weight":  # made outside the layer: Linear.weights of src/models/layers.py
                continue
            for tensor in (op.result, *op.saved):
                again[tensor] = dataclasses.replace(tensor, name=f"{tensor.name}, again")
            reads = tuple(again.get(x, x) for x in op.inputs)
            writes = tuple(again[x] for x in (op.result, *op.saved))
            self.steps.append(Step("backward", f"{op.name}, again", reads, writes, op.scratch))
        return again

    def differentiate(self, op: Op, again: dict[Tensor, Tensor]) -> None:
        """Make the gradients of an op's inputs from its result's; the loss itself has no gradient worth counting."""
        if not op.result.learned:
            return
        gradient = self.gradients.pop(op.result, None)
        made = [(x, self.new_gradient(x)) for x in op.inputs if x.learned and x not in op.passes]
        if op.is_product:
            groups = [[pair] for pair in reversed(made)]  # the CPU's runtime computes the weight's gradient first
        else:
            groups = [made] if made else []
        for group in groups:
            needs = [x for x in op.needs if not op.is_product or x != group[0][0]]
            reads = (*((gradient,) if gradient else ()), *(again.get(x, x) for x in needs))
            self.steps.append(Step("backward", f"{op.name}: gradient", reads, tuple(tensor for _, tensor in group)))
        for x, tensor in made:
            self.collect(x, tensor)
        for x in filter(lambda x: x.learned, op.passes):
            assert gradient is not None, f"{op.name} passes on a gradient that it does not get"
            self.collect(x, gradient)

    def new_gradient(self, x: Tensor) -> Tensor:
        return dataclasses.replace(x, name=f"{len(self.steps)} gradient of {x.name}")

    def collect(self, x: Tensor, gradient: Tensor) -> None:
        """Add a gradient to those of the other ops that read x."""
        if x in self.gradients:
            total = dataclasses.replace(gradient, name=f"{len(self.steps)} sum of gradients of {x.name}")
            self.steps.append(Step("backward", "sum of gradients", (self.gradients[x], gradient), (total,)))
            gradient = total
        self.gradients[x] = gradient


def make_steps(tape: Tape, optimizer: str) -> list[Step]:
    """The Steps of forward pass, backward pass and update."""
    steps = [Step("forward", op.name, op.inputs, (op.result, *op.saved), op.scratch) for op in tape.ops]
    backward = _Backward(tape, tape.form.recompute != "none")
    steps += backward.steps
    trained = [parameter for parameter in tape.parameters if parameter.learned]
    if tape.form.aclnn:
        steps += _update_groups(trained, backward.gradients)
        return steps if tape.form.compute_type == "float16" else _copy_parameters(trained, steps)
    for parameter in trained:  # `square_sums` of src/train/step.py
        steps.append(Step("update", "gradient squared", (backward.gradients[parameter],), (), 0, 0 if tape.native else parameter.bytes))
    if tape.native and optimizer != "Momentum":  # the kernels of src/kernels/optimizers.cpp
        return steps + [Step("update", "update", (backward.gradients[parameter],), (), 0, 0) for parameter in trained]
    scaled = {x: dataclasses.replace(x, name=f"{x.name}: gradient * factor") for x in trained}
    for parameter, tensor in scaled.items():  # the CPU runs all of these before the first update
        scratch = _CPU_PRODUCT_SCRATCH * parameter.bytes if tape.native else 0
        steps.append(Step("update", "gradient * factor", (backward.gradients[parameter],), (tensor,), 0, scratch))
    for parameter, tensor in scaled.items():
        steps.append(Step("update", "update", (tensor,), (), 0, _UPDATE_SCRATCH[optimizer] * parameter.bytes))
    return steps


def _update_groups(parameters: list[Tensor], gradients: dict[Tensor, Tensor]) -> list[Step]:
    """The update on Ascend: gradients of equal size are stacked, then new values of all groups are computed, then copied."""
    groups = defaultdict(list)
    steps = []
    for parameter in parameters:
        groups[math.prod(parameter.shape)].append(parameter)
    news = {}
    for size, members in groups.items():
        together = Tensor(f"gradients of {size} values", (len(members), size), per_row=False)
        steps.append(Step("update", "gradients together", tuple(gradients[x] for x in members), (together,), 0, 0))
        steps.append(Step("update", "gradients squared", (together,), (), 0, together.bytes))
        news[size] = together, dataclasses.replace(together, name=f"new parameters of {size} values")
    for together, new in news.values():
        steps.append(Step("update", "new values", (together,), (new,), 0, _GROUP_SCRATCH * new.bytes))
    for parameter in parameters:
        steps.append(Step("update", "update", (news[math.prod(parameter.shape)][1],), (), 0, parameter.bytes))
    return steps


def _copy_parameters(parameters: list[Tensor], steps: list[Step]) -> list[Step]:
    """Steps with a copy of the parameters: without a loss scale one graph reads and updates them, and the framework copies them first."""
    copies = tuple(dataclasses.replace(parameter, name=f"{parameter.name}, copied") for parameter in parameters)
    last = dataclasses.replace(steps[-1], reads=(*steps[-1].reads, *copies))
    return [Step("forward", "parameters copied", (), copies), *steps[:-1], last]


class Plan:
    """The memory of one training step.

    Args:
        accumulation_steps: micro-batches per update.
        averaged: whether there is a moving average of the weights.

    Attributes:
        parameters, trained, moments, buffers, averages: bytes; `trained` of the parameters that are, the buffers sum gradients over
            micro-batches.
        fixed, per_row: live bytes at each step: the constant part, and the part per sequence.
        bytes_per_row: bytes that a sequence adds to the peak, if activations determine it.
    """

    def __init__(self, tape: Tape, optimizer: str, accumulation_steps: int = 1, averaged: bool = False):
        self.tape = tape
        self.steps = make_steps(tape, optimizer)
        self.parameters = sum(tensor.bytes for tensor in tape.parameters)
        self.trained = sum(tensor.bytes for tensor in tape.parameters if tensor.learned)
        self.moments = MOMENTS[optimizer] * self.trained
        self.buffers = self.trained if accumulation_steps > 1 else 0
        self.averages = self.trained if averaged else 0
        self.fixed, self.per_row = self._count_live()
        self.fixed += self.parameters + self.moments + self.buffers + self.averages
        self.bytes_per_row = int(self.per_row.max())

    def _count_live(self) -> tuple[np.ndarray, np.ndarray]:
        first: dict[Tensor, int] = {}
        last: dict[Tensor, int] = {}
        for number, step in enumerate(self.steps):
            for tensor in step.writes:
                first[tensor] = last[tensor] = number
            for tensor in step.reads:
                if tensor in first:  # parameters and inputs are not made by a step and always live
                    last[tensor] = number
        changes = {per_row: np.zeros(len(self.steps) + 1, np.int64) for per_row in (False, True)}
        for tensor, number in first.items():
            changes[tensor.per_row][number] += tensor.bytes
            changes[tensor.per_row][last[tensor] + 1] -= tensor.bytes
        fixed, per_row = changes[False].cumsum()[:-1], changes[True].cumsum()[:-1]
        return fixed + [step.scratch_fixed for step in self.steps], per_row + [step.scratch for step in self.steps]

    def live(self, batch_size: int) -> np.ndarray:
        """Live bytes at each step."""
        return self.fixed + batch_size * self.per_row

    def peak(self, batch_size: int) -> int:
        return int(self.live(batch_size).max())

    def largest_batch(self, memory: int) -> int:
        """The largest number of sequences that fit into `memory` bytes."""
        if (self.fixed > memory).any():
            return 0
        return math.floor(min((memory - fixed) // row for fixed, row in zip(self.fixed, self.per_row) if row))
