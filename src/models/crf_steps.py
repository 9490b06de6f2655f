"""The CRF's sums and maxima without loops, for devices that wait for the host in each iteration of one.

Everything is float32 and covers every pair of tags, so that no path is lost as it would be in a matrix product: see _ProductRecursion of
crf.py.

Shapes: B batch, S sequence (of tagged positions), C tags, L steps, R rows.
"""

import mindspore
from mindspore import Tensor, nn, ops

_NEVER = -1e30  # added to the score of impossible moves


def make_moves(emissions: Tensor, mask: Tensor, transitions: Tensor) -> Tensor:
    """The score that each step adds to a path from one tag to another; after the end of a row every tag stays.

    Args:
        emissions: float32 [S, B, C]. mask: float32 [S, B, 1], 1 at tagged positions. transitions: float32 [C, C].

    Returns:
        float32 [S - 1, B, C, C].
    """
    num_tags = emissions.shape[2]
    real = mask[1:].expand_dims(3)
    stay = (1.0 - ops.eye(num_tags, num_tags, mindspore.float32)) * _NEVER
    return (emissions[1:].expand_dims(2) + transitions) * real + stay * (1.0 - real)


class _LogSums(nn.Cell):
    """v_t[j] = log sum_i exp(v_(t-1)[i] + moves_t[i, j]) for every step.

    Args of construct:
        start: float32 [R, C]. moves: float32 [L, R, C, C].

    Returns:
        float32 [R, C], after the last step; float32 [L + 1, R, C], after every step, for the backward pass only and without gradient.
    """

    def __init__(self):
        super().__init__()
        self.largest = ops.ReduceMax(keep_dims=True)

    def construct(self, start: Tensor, moves: Tensor) -> tuple[Tensor, Tensor]:
        value = start
        values = (start,)  # type: tuple[Tensor, ...]
        for move in ops.unstack(moves):
            ways = value.expand_dims(2) + move  # [R, C, C]
            largest = self.largest(ways, 1)
            value = ops.log(ops.exp(ways - largest).sum(1)) + largest.reshape(value.shape)
            values = (*values, value)
        return value, ops.stack(values)

    def bprop(self, start: Tensor, moves: Tensor, out: Tensor, dout: Tensor) -> tuple:
        shares = ops.softmax(out[1][:-1].expand_dims(3) + moves, 2)  # [L, R, C, C], of each path in the sum
        gradient = dout[0]
        gradients = ()  # type: tuple[Tensor, ...]
        for share in ops.unstack(shares)[::-1]:
            gradients = (gradient, *gradients)
            gradient = (share * gradient.expand_dims(1)).sum(2)
        return gradient, shares * ops.stack(gradients).expand_dims(2)


class Partition(nn.Cell):
    """Log of the sum over all paths, summed from both ends to the middle at once, in half as many steps.

    Args of construct:
        emissions: float32 [S, B, C], the first including the start scores. mask: float32 [S, B, 1]. transitions: [C, C]. end: [C].

    Returns:
        float32 [B].
    """

    def __init__(self):
        super().__init__()
        self.sums = _LogSums()

    def construct(self, emissions: Tensor, mask: Tensor, transitions: Tensor, end: Tensor) -> Tensor:
        seq_length, batch_size, num_tags = emissions.shape
        if seq_length % 2 == 0:  # an even number of steps
            emissions = ops.concat((emissions, ops.zeros_like(emissions[:1])))
            mask = ops.concat((mask, ops.zeros_like(mask[:1])))
        half = seq_length // 2
        moves = make_moves(emissions, mask, transitions)  # [2 L, B, C, C]
        backwards = ops.flip(moves[half:], (0,)).transpose((0, 1, 3, 2))
        starts = ops.concat((emissions[0], ops.tile(end, (batch_size, 1))))
        middle, _ = self.sums(starts, ops.concat((moves[:half], backwards), 1))  # [2 B, C]
        return ops.logsumexp(middle[:batch_size] + middle[batch_size:], -1)


class BestTags(nn.Cell):
    """The tags of the most probable path (Viterbi 1967): int32 [S, B], after the end of a row its last tag.

    The arguments are those of Partition. The backward search composes the pointers of neighbouring steps, then of pairs of
    steps, and so on, log2(steps) times.
    """

    def construct(self, emissions: Tensor, mask: Tensor, transitions: Tensor, end: Tensor) -> Tensor:
        score = emissions[0]
        steps = ()  # type: tuple[Tensor, ...]
        for move in ops.unstack(make_moves(emissions, mask, transitions)):
            score, origin = ops.max(score.expand_dims(2) + move, 1)
            steps = (*steps, origin.astype(mindspore.int32))
        last = (score + end).argmax(-1).astype(mindspore.int32).reshape((1, -1, 1))  # [1, B, 1]
        pointers = ops.stack(steps)  # [S - 1, B, C]: the tag at a position, given the tag at the next one
        num_steps, width = pointers.shape[0], 1
        while width < num_steps:  # pointers now start `width` positions later, or at the last one
            near = ops.gather_elements(pointers[:-width], 2, pointers[width:])
            pointers = ops.concat((near, pointers[-width:]))
            width = width * 2
        tags = ops.gather_elements(pointers, 2, ops.tile(last, (num_steps, 1, 1)))
        return ops.concat((tags, last)).reshape((num_steps + 1, -1))
