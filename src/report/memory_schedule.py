"""Which tensors live when: forward, backward and update of a Tape as steps, and the bytes that live at each of them.

A tensor lives from the step that makes it to the last one that reads it. The bytes at a step are a line over the batch size: what
does not grow, and what a sequence adds. The peak is the highest of these lines, and the largest batch follows exactly.
"""

import dataclasses
import itertools
import math
from collections import defaultdict

import numpy as np

from src.report.memory_tape import Tensor

MOMENTS = {"Lamb": 2, "AdamWeightDecay": 2, "AdamW": 2, "Momentum": 1}  # `make_moments` of src/optim
# arrays of a parameter's size that its update has in hand besides gradient * factor and moments: `_update_one` of src/optim. LAMB's
# are both new moments, the step, its product with the rate, the new parameter
_UPDATE_SCRATCH = {"Lamb": 5, "AdamWeightDecay": 0, "AdamW": 0, "Momentum": 3}
_GROUP_SCRATCH = 5  # arrays of a group's size that its update has in hand: `_update_one` of src/optim/lamb.py
_CPU_PRODUCT_SCRATCH = 2  # arrays of the result's size, in hand while the CPU multiplies by a factor that is a tensor: measured


@dataclasses.dataclass(frozen=True)
class Step:
    """One op of a training step as it runs.

    Args:
        phase: forward, backward or update.
        reads, writes: Tensors.
        scratch: bytes a sequence, scratch_fixed: bytes, while it runs.
    """

    phase: str
    name: str
    reads: tuple
    writes: tuple
    scratch: int = 0
    scratch_fixed: int = 0


class _Backward:
    """The steps of the backward pass: the ops in reverse, each layer computed again before if `recompute`."""

    def __init__(self, tape, recompute):
        self.steps, self.aclnn = [], tape.form.aclnn
        self.gradients = {}
        for part, ops in itertools.groupby(reversed(tape.ops), lambda op: op.part):
            ops = list(ops)
            again = self.compute_again(reversed(ops)) if recompute and part.startswith("layer.") else {}
            for op in ops:
                self.differentiate(op, again)

    def compute_again(self, ops):
        """Run a layer's ops once more; returns their old tensors -> the new ones."""
        again = {}
        for op in ops:
            if self.aclnn and op.name == "cast of a weight":  # made outside the layer: Linear.weights of src/models/layers.py
                continue
            for tensor in (op.result, *op.saved):
                again[tensor] = dataclasses.replace(tensor, name=f"{tensor.name}, again")
            reads, writes = (tuple(again.get(x, x) for x in tensors) for tensors in (op.inputs, (op.result, *op.saved)))
            self.steps.append(Step("backward", f"{op.name}, again", reads, writes, op.scratch))
        return again

    def differentiate(self, op, again):
        """Make the gradients of an op's inputs from that of its result; the loss, which is no tensor to speak of, has none."""
        if not op.result.learned:
            return
        gradient = self.gradients.pop(op.result, None)
        made = [(x, self.new_gradient(x)) for x in op.inputs if x.learned and x not in op.passes]
        groups = [[pair] for pair in reversed(made)] if op.is_product else [made] if made else []  # the CPU's runtime: the weight's first
        for group in groups:
            needs = [x for x in op.needs if not op.is_product or x != group[0][0]]
            reads = (*((gradient,) if gradient else ()), *(again.get(x, x) for x in needs))
            self.steps.append(Step("backward", f"{op.name}: gradient", reads, tuple(tensor for _, tensor in group)))
        for x, tensor in [*made, *((x, gradient) for x in op.passes)]:
            self.collect(x, tensor)

    def new_gradient(self, x):
        return dataclasses.replace(x, name=f"{len(self.steps)} gradient of {x.name}")

    def collect(self, x, gradient):
        """A tensor that several ops read has the sum of their gradients, added as they come."""
        if x in self.gradients:
            total = dataclasses.replace(gradient, name=f"{len(self.steps)} sum of gradients of {x.name}")
            self.steps.append(Step("backward", "sum of gradients", (self.gradients[x], gradient), (total,)))
            gradient = total
        self.gradients[x] = gradient


def make_steps(tape, optimizer):
    """All Steps of a training step: forward, backward, update.

    Args:
        tape: Tape. optimizer: name of the optimiser.
    """
    steps = [Step("forward", op.name, op.inputs, (op.result, *op.saved), op.scratch) for op in tape.ops]
    backward = _Backward(tape, tape.form.recompute)
    steps += backward.steps
    if tape.form.aclnn:
        steps += _update_groups(tape.parameters, backward.gradients)
        return steps if tape.form.compute_type == "float16" else _copy_parameters(tape.parameters, steps)
    for parameter in tape.parameters:  # `_square_sum` of src/train/step.py
        steps.append(Step("update", "gradient squared", (backward.gradients[parameter],), (), 0, parameter.bytes))
    scaled = {x: dataclasses.replace(x, name=f"{x.name}: gradient * factor") for x in tape.parameters}
    for parameter, tensor in scaled.items():  # all of them before the first update, in the CPU's order of ops
        scratch = _CPU_PRODUCT_SCRATCH * parameter.bytes if tape.form.native else 0
        steps.append(Step("update", "gradient * factor", (backward.gradients[parameter],), (tensor,), 0, scratch))
    for parameter, tensor in scaled.items():
        steps.append(Step("update", "update", (tensor,), (), 0, _UPDATE_SCRATCH[optimizer] * parameter.bytes))
    return steps


def _update_groups(parameters, gradients):
    """The update on Ascend: gradients of one size are put together, then new values of all groups are made, then copied."""
    groups, steps = defaultdict(list), []
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


def _copy_parameters(parameters, steps):
    """Without a loss scale the update is in the graph of the forward pass, and the framework copies the parameters that it changes."""
    copies = tuple(dataclasses.replace(parameter, name=f"{parameter.name}, copied") for parameter in parameters)
    last = dataclasses.replace(steps[-1], reads=(*steps[-1].reads, *copies))
    return [Step("forward", "parameters copied", (), copies), *steps[:-1], last]


class Plan:
    """The memory of one training step.

    Args:
        tape: Tape. optimizer: name of the optimiser. accumulation_steps: micro-batches of an update.
    """

    def __init__(self, tape, optimizer, accumulation_steps=1):
        self.tape = tape
        self.steps = make_steps(tape, optimizer)
        self.parameters = sum(tensor.bytes for tensor in tape.parameters)
        self.moments = MOMENTS[optimizer] * self.parameters
        self.buffers = self.parameters if accumulation_steps > 1 else 0
        self.fixed, self.per_row = self._count_live()  # bytes at each step: constant ones, and those of a sequence
        self.fixed += self.parameters + self.moments + self.buffers
        self.bytes_per_row = int(self.per_row.max())  # what a sequence adds to the peak where activations make it

    def _count_live(self):
        first, last = {}, {}
        for number, step in enumerate(self.steps):
            for tensor in step.writes:
                first[tensor] = last[tensor] = number
            for tensor in step.reads:
                if tensor in first:  # parameters and inputs are always there
                    last[tensor] = number
        changes = defaultdict(lambda: np.zeros(len(self.steps) + 1, np.int64))
        for tensor, number in first.items():
            changes[tensor.per_row][number] += tensor.bytes
            changes[tensor.per_row][last[tensor] + 1] -= tensor.bytes
        fixed, per_row = changes[False].cumsum()[:-1], changes[True].cumsum()[:-1]
        return fixed + [step.scratch_fixed for step in self.steps], per_row + [step.scratch for step in self.steps]

    def live(self, batch_size):
        """Bytes at each step."""
        return self.fixed + batch_size * self.per_row

    def peak(self, batch_size):
        return int(self.live(batch_size).max())

    def largest_batch(self, memory):
        """The most sequences that fit into `memory` bytes; 0 where not one does."""
        if (self.fixed > memory).any():
            return 0
        return math.floor(min((memory - fixed) // row for fixed, row in zip(self.fixed, self.per_row) if row))
