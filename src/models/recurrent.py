"""A bidirectional LSTM over the real tokens of each row: padding changes nothing, in either direction.

One loop over time runs both directions at once: it compiles in about a second at any length, and a training step takes a fifth
of the time of the framework's own LSTM on the CPU. For a device that waits for the host in each iteration, the loop is unrolled.

Shapes: B batch, S sequence, I features in, U units per direction.
"""

import math

import mindspore
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src.config.training import DeviceSettings
from src.models.activations import tanh


class _Recurrence(nn.Cell):
    """The loop over time, both directions at once: gates float32 [S, 2, B, 4U], weight [2, 4U, U] -> [S, 2, B, 2U].

    The backward pass has its own loop, so that the weight's gradient is one matrix product after it instead of one per step.
    """

    def __init__(self, units: int, device: DeviceSettings):
        super().__init__()
        self.units, self.composed, self.unrolled = units, device.composed_ops, device.unrolled
        self.advance = ops.BatchMatMul(transpose_b=True)
        self.retreat = ops.BatchMatMul()
        self.weight_gradient = ops.BatchMatMul(transpose_a=True)

    def construct(self, gates: Tensor, weight: Tensor) -> Tensor:
        """State and cell after every step, concatenated: [S, 2, B, 2U]."""
        seq_length, _, batch_size, _ = gates.shape
        units = self.units
        hidden = ops.zeros((2, batch_size, units), mindspore.float32)
        cell = hidden
        if self.unrolled:
            states = ()  # type: tuple[Tensor, ...]
            cells = ()  # type: tuple[Tensor, ...]
            for now in ops.unstack(gates):
                hidden, cell = self.step(now, hidden, cell, weight)
                states = (*states, hidden)
                cells = (*cells, cell)
            return ops.concat((ops.stack(states), ops.stack(cells)), -1)
        record = ops.zeros((seq_length, 2, batch_size, 2 * units), mindspore.float32)
        position = Tensor(0, mindspore.int32)
        end = ops.scalar_to_tensor(seq_length, mindspore.int32)  # the length may be dynamic
        while position < end:
            hidden, cell = self.step(gates[position], hidden, cell, weight)
            record[position] = ops.concat((hidden, cell), -1)
            position = position + 1
        return record

    def step(self, now: Tensor, hidden: Tensor, cell: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """State and cell after one step, [2, B, U] each."""
        i, f, g, o = self.open(now + self.advance(hidden, weight))  # of [2, B, 4U]
        cell = f * cell + i * g
        return o * tanh(cell, self.composed), cell

    def open(self, gates: Tensor) -> tuple[Tensor, ...]:
        """Input, forget, candidate and output gate after sigmoid or tanh: [..., 4U] -> four of [..., U]."""
        i, f, g, o = gates.split(self.units, -1)
        return ops.sigmoid(i), ops.sigmoid(f), tanh(g, self.composed), ops.sigmoid(o)

    def bprop(self, gates: Tensor, weight: Tensor, out: Tensor, dout: Tensor) -> tuple:
        units = self.units
        seq_length, _, batch_size, _ = gates.shape
        states, cells = out.split(units, -1)
        zero = ops.zeros_like(states[:1])
        earlier_cells = ops.concat((zero, cells[:-1]))
        earlier = ops.concat((zero, states[:-1])).transpose((1, 0, 2, 3)).reshape((2, -1, units))
        again = self.advance(earlier, weight).reshape((2, seq_length, batch_size, -1)).transpose((1, 0, 2, 3))
        i, f, g, o = self.open(gates + again)
        outside = tanh(cells, self.composed)
        # the gradient of each gate without the factor that comes from later steps
        slopes = ops.concat((g * i * (1.0 - i), earlier_cells * f * (1.0 - f), i * (1.0 - g * g), outside * o * (1.0 - o)), -1)
        cell_by_hidden = o * (1.0 - outside * outside)
        dstates = dout[:, :, :, :units]
        dhidden, dcell = zero[0], zero[0]
        if self.unrolled:
            steps = ()  # type: tuple[Tensor, ...]
            backwards = [ops.unstack(part)[::-1] for part in (dstates, cell_by_hidden, slopes, f)]
            for parts in zip(*backwards):
                now, dhidden, dcell = self.step_back(dhidden, dcell, weight, *parts)
                steps = (now, *steps)
            dgates = ops.stack(steps)
        else:
            dgates = ops.zeros_like(gates)
            position, first = Tensor(gates.shape[0] - 1, mindspore.int32), Tensor(0, mindspore.int32)
            while position >= first:
                parts = (dstates[position], cell_by_hidden[position], slopes[position], f[position])
                now, dhidden, dcell = self.step_back(dhidden, dcell, weight, *parts)
                dgates[position] = now
                position = position - 1
        return dgates, self.weight_gradient(dgates.transpose((1, 0, 2, 3)).reshape((2, -1, 4 * units)), earlier)

    def step_back(
        self, dhidden: Tensor, dcell: Tensor, weight: Tensor, dstate: Tensor, cell_by_hidden: Tensor, slopes: Tensor, f: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of one step's gates, [2, B, 4U], and of the state and the cell before it, [2, B, U] each."""
        dhidden = dhidden + dstate
        dcell = dcell + dhidden * cell_by_hidden
        now = ops.concat((dcell, dcell, dcell, dhidden), -1) * slopes
        return now, self.retreat(now, weight), dcell * f


class BiLstm(nn.Cell):
    """Hidden states of a left-to-right and a right-to-left LSTM, concatenated: [B, S, I] -> float32 [B, S, 2U].

    i, f, g, o = W x_t + R h_(t-1) + b;  c_t = sigmoid(f) c_(t-1) + sigmoid(i) tanh(g);  h_t = sigmoid(o) tanh(c_t)
    The weights hold the four gates in this order, as in PyTorch and MindSpore; their two biases are one here, the sum.
    Source: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000; initial weights are uniform within 1/sqrt U.
    """

    def __init__(self, size_in: int, units: int, device: DeviceSettings):
        super().__init__()
        self.units = units
        self.input_weight = self._make("input_weight", (2, 4 * units, size_in))
        self.hidden_weight = self._make("hidden_weight", (2, 4 * units, units))
        self.bias = self._make("bias", (2, 1, 4 * units))
        self.project = ops.BatchMatMul(transpose_b=True)
        self.recurrence = _Recurrence(units, device)

    def _make(self, name, shape):
        bound = 1.0 / math.sqrt(self.units)
        return Parameter(Tensor(np.random.uniform(-bound, bound, shape).astype(np.float32)), name=name)

    def construct(self, x: Tensor, input_mask: Tensor) -> Tensor:
        batch_size, seq_length, size_in = x.shape
        lengths = input_mask.sum(1)
        both = ops.stack((x, self.reverse(x, lengths)))  # [2, B, S, I]; the second starts at the last real token
        gates = self.project(both.reshape((2, batch_size * seq_length, size_in)), self.input_weight) + self.bias
        gates = gates.reshape((2, batch_size, seq_length, -1)).transpose((2, 0, 1, 3))  # [S, 2, B, 4U]
        states = self.recurrence(gates, self.hidden_weight)[:, :, :, : self.units].transpose((1, 2, 0, 3))  # [2, B, S, U]
        return ops.concat((states[0], self.reverse(states[1], lengths)), -1)

    def reverse(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Each row with its first lengths[b] positions reversed and the rest unchanged: [B, S, I]."""
        return ops.ReverseSequence(1, 0)(x, lengths)
