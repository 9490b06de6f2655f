"""A bidirectional LSTM over the real tokens of each row: padding changes nothing, in either direction.

Written as one loop over time that runs both directions side by side: it compiles in about a second at any length, and
a training step of the framework's own LSTM takes five times as long on the CPU. Where the device would wait for the host at each turn
of a loop, every step stands in the graph.

Shapes: B batch, S sequence, I features in, U units of one direction.
"""

import math

import mindspore
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src.models.activations import tanh


class _Recurrence(nn.Cell):
    """The loop over time, both directions at once: gates float32 [S, 2, B, 4U], weight [2, 4U, U] -> [S, 2, B, 2U].

    The backward pass is a loop of its own, so that the weight's gradient is one matrix product after it, not one a step.
    """

    def __init__(self, units, device):
        super().__init__()
        self.units, self.composed, self.unrolled = units, device.composed_ops, device.unrolled
        self.advance = ops.BatchMatMul(transpose_b=True)
        self.retreat = ops.BatchMatMul()
        self.weight_gradient = ops.BatchMatMul(transpose_a=True)

    def construct(self, gates, weight):
        """Returns state and cell of every step, [S, 2, B, 2U]."""
        seq_length, _, batch_size, _ = gates.shape
        units = self.units
        hidden = ops.zeros((2, batch_size, units), mindspore.float32)
        cell = hidden
        if self.unrolled:
            states, cells = (), ()
            for now in ops.unstack(gates):
                hidden, cell = self.step(now, hidden, cell, weight)
                states, cells = (*states, hidden), (*cells, cell)
            return ops.concat((ops.stack(states), ops.stack(cells)), -1)
        record = ops.zeros((seq_length, 2, batch_size, 2 * units), mindspore.float32)
        place, end = Tensor(0, mindspore.int32), ops.scalar_to_tensor(seq_length, mindspore.int32)  # it may be dynamic
        while place < end:
            hidden, cell = self.step(gates[place], hidden, cell, weight)
            record[place] = ops.concat((hidden, cell), -1)
            place = place + 1
        return record

    def step(self, now, hidden, cell, weight):
        """State and cell behind one step: two of [2, B, U]."""
        i, f, g, o = self.open(now + self.advance(hidden, weight))  # of [2, B, 4U]
        cell = f * cell + i * g
        return o * tanh(cell, self.composed), cell

    def open(self, gates):
        """Input, forget, candidate and output gate after their sigmoid or tanh: [..., 4U] -> four of [..., U]."""
        i, f, g, o = gates.split(self.units, -1)
        return ops.sigmoid(i), ops.sigmoid(f), tanh(g, self.composed), ops.sigmoid(o)

    def bprop(self, gates, weight, out, dout):
        units = self.units
        seq_length, _, batch_size, _ = gates.shape
        states, cells = out.split(units, -1)
        zero = ops.zeros_like(states[:1])
        earlier_cells = ops.concat((zero, cells[:-1]))
        earlier = ops.concat((zero, states[:-1])).transpose((1, 0, 2, 3)).reshape((2, -1, units))
        again = self.advance(earlier, weight).reshape((2, seq_length, batch_size, -1)).transpose((1, 0, 2, 3))
        i, f, g, o = self.open(gates + again)
        outside = tanh(cells, self.composed)
        # each gate's gradient but for the factor that comes from later steps
        slopes = ops.concat((g * i * (1.0 - i), earlier_cells * f * (1.0 - f), i * (1.0 - g * g), outside * o * (1.0 - o)), -1)
        cell_by_hidden = o * (1.0 - outside * outside)
        dstates = dout[:, :, :, :units]
        dhidden, dcell = zero[0], zero[0]
        if self.unrolled:
            steps = ()
            for parts in zip(*(ops.unstack(part)[::-1] for part in (dstates, cell_by_hidden, slopes, f))):
                now, dhidden, dcell = self.step_back(dhidden, dcell, weight, *parts)
                steps = (now, *steps)
            dgates = ops.stack(steps)
        else:
            dgates = ops.zeros_like(gates)
            place, end = Tensor(gates.shape[0] - 1, mindspore.int32), Tensor(0, mindspore.int32)
            while place >= end:
                parts = (dstates[place], cell_by_hidden[place], slopes[place], f[place])
                now, dhidden, dcell = self.step_back(dhidden, dcell, weight, *parts)
                dgates[place] = now
                place = place - 1
        return dgates, self.weight_gradient(dgates.transpose((1, 0, 2, 3)).reshape((2, -1, 4 * units)), earlier)

    def step_back(self, dhidden, dcell, weight, dstate, cell_by_hidden, slopes, f):
        """Gradients of one step's gates [2, B, 4U], and of the state and the cell before it, two of [2, B, U]."""
        dhidden = dhidden + dstate
        dcell = dcell + dhidden * cell_by_hidden
        now = ops.concat((dcell, dcell, dcell, dhidden), -1) * slopes
        return now, self.retreat(now, weight), dcell * f


class BiLstm(nn.Cell):
    """Hidden states of an LSTM from the left and of one from the right, joined: [B, S, I] -> float32 [B, S, 2U].

    i, f, g, o = W x_t + R h_(t-1) + b;  c_t = sigmoid(f) c_(t-1) + sigmoid(i) tanh(g);  h_t = sigmoid(o) tanh(c_t)
    The weights hold the four gates in this order, PyTorch's and MindSpore's; their two biases are one sum here.
    Source: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000; weights start uniform in 1/sqrt U.
    """

    def __init__(self, size_in, units, device):
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

    def construct(self, x, input_mask):
        batch_size, seq_length, size_in = x.shape
        lengths = input_mask.sum(1)
        both = ops.stack((x, self.reverse(x, lengths)))  # [2, B, S, I]; the second from the last real token backwards
        gates = self.project(both.reshape((2, batch_size * seq_length, size_in)), self.input_weight) + self.bias
        gates = gates.reshape((2, batch_size, seq_length, -1)).transpose((2, 0, 1, 3))  # [S, 2, B, 4U]
        states = self.recurrence(gates, self.hidden_weight)[:, :, :, : self.units].transpose((1, 2, 0, 3))  # [2, B, S, U]
        return ops.concat((states[0], self.reverse(states[1], lengths)), -1)

    def reverse(self, x, lengths):
        """The first lengths[b] of each row in reverse order, the rest as it is: [B, S, I]."""
        return ops.ReverseSequence(1, 0)(x, lengths)
