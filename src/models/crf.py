"""A linear-chain conditional random field (Lafferty et al. 2001) over the emissions of a network: likelihood and best path.

score(tags) = start[tag_1] + sum_t emissions[t, tag_t] + sum_t transitions[tag_(t-1), tag_t] + end[tag_last]
-log p(tags) = log sum over all paths of exp(score) - score(tags)

Both loop over tensors and compile in about a second at any length; src/models/crf_steps.py unrolls the loops. The mask is True at the
first positions of a row, which are tagged; at least one is.

Shapes: B batch, S sequence (of tagged positions), C tags.
"""

from collections.abc import Sequence

import mindspore
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src.config.model import MASK_BIAS
from src.models.crf_steps import BestTags, Partition

_TINY = 1e-300  # keeps the logarithm finite where no path leads to a tag
_INITIAL_RANGE = 0.1


class Crf(nn.Cell):
    """The parameters; returns transitions [C, C] (from, to), start [C] and end [C], all float32.

    Args:
        num_tags: C.
        allowed: bool arrays start [C], transitions [C, C], end [C]; what is False is neither learned nor decoded. None allows everything.
    """

    def __init__(self, num_tags: int, allowed: Sequence[np.ndarray] | None = None):
        super().__init__()
        self.start = self._make("start", (num_tags,))
        self.transitions = self._make("transitions", (num_tags, num_tags))
        self.end = self._make("end", (num_tags,))
        if allowed is None:
            allowed = [np.ones(parameter.shape, bool) for parameter in (self.start, self.transitions, self.end)]
        allowed_start, allowed_transitions, allowed_end = allowed
        self.start_bias = self._make_bias(allowed_start)
        self.transition_bias = self._make_bias(allowed_transitions)
        self.end_bias = self._make_bias(allowed_end)

    def _make(self, name, shape):
        return Parameter(Tensor(np.random.uniform(-_INITIAL_RANGE, _INITIAL_RANGE, shape).astype(np.float32)), name=name)

    def _make_bias(self, allowed):
        return Tensor(np.where(allowed, 0.0, MASK_BIAS).astype(np.float32))

    def construct(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.transitions + self.transition_bias, self.start + self.start_bias, self.end + self.end_bias


class _ProductRecursion(nn.Cell):
    """alpha_t = log(exp(alpha_(t-1)) exp(T)) + e_t for every step, each one matrix product: float64 [S, B, C].

    The gradient has its own loop. The largest alpha of a row is subtracted before exp. Where transitions are forbidden, others may be
    lower by as much as the emissions of three steps differ: float64 allows 700; float32 would lose paths at 87.

    Args of construct:
        emissions: float64 [S, B, C], the first including the start scores. mask: float64 [S, B, 1], 1 at tagged positions.
        transitions: float64 [C, C].
    """

    def __init__(self):
        super().__init__()
        self.tiny = Tensor(_TINY, mindspore.float64)
        self.largest = ops.ReduceMax(keep_dims=True)
        self.advance, self.retreat, self.count = ops.MatMul(), ops.MatMul(transpose_b=True), ops.MatMul(transpose_a=True)
        # primitives, because after a run without gradients the framework loses the graphs of functions that both passes call
        self.exp, self.zeros_like = ops.Exp(), ops.ZerosLike()

    def construct(self, emissions: Tensor, mask: Tensor, transitions: Tensor) -> Tensor:
        factors = self.exp(transitions)
        alpha = emissions[0]
        record = self.zeros_like(emissions)
        record[0] = alpha
        position, end = Tensor(1, mindspore.int32), Tensor(emissions.shape[0], mindspore.int32)
        while position < end:
            largest = self.largest(alpha, -1)
            ways = self.advance(self.exp(alpha - largest), factors)
            now = largest + ops.log(ops.maximum(ways, self.tiny)) + emissions[position]
            alpha = now * mask[position] + alpha * (1.0 - mask[position])
            record[position] = alpha
            position = position + 1
        return record

    def bprop(self, emissions: Tensor, mask: Tensor, transitions: Tensor, out: Tensor, dout: Tensor) -> tuple:
        seq_length, _, num_tags = emissions.shape
        factors = self.exp(transitions)
        largest = self.largest(out[:-1], -1)
        earlier = self.exp(out[:-1] - largest)  # [S - 1, B, C]
        demissions, weighed = self.zeros_like(emissions), self.zeros_like(earlier)
        later = self.exp((largest + emissions[1:] - out[1:]) * mask[1:]) * mask[1:]
        dalpha = dout[seq_length - 1]
        position, first = Tensor(seq_length - 1, mindspore.int32), Tensor(0, mindspore.int32)
        while position > first:
            now = dalpha * later[position - 1]
            weighed[position - 1] = now
            demissions[position] = dalpha * mask[position]
            dalpha = dout[position - 1] + earlier[position - 1] * self.retreat(now, factors) + dalpha * (1.0 - mask[position])
            position = position - 1
        demissions[0] = dalpha
        dtransitions = factors * self.count(earlier.reshape((-1, num_tags)), weighed.reshape((-1, num_tags)))
        return demissions, self.zeros_like(mask), dtransitions


class _LoopedPartition(nn.Cell):
    """Log of the sum over all paths, from _ProductRecursion: float64 [B]. The arguments are those of crf_steps.Partition, in float64."""

    def __init__(self):
        super().__init__()
        self.recursion = _ProductRecursion()

    def construct(self, emissions: Tensor, mask: Tensor, transitions: Tensor, end: Tensor) -> Tensor:
        alpha = self.recursion(emissions, mask, transitions)[emissions.shape[0] - 1]
        return ops.logsumexp(alpha + end, -1)


def _by_position(emissions, mask, start):
    """Position first, start scores added to the first: [B, S, C] and [B, S] -> [S, B, C] and [S, B, 1]."""
    emissions = emissions.transpose((1, 0, 2))
    return ops.concat((emissions[:1] + start, emissions[1:])), mask.transpose((1, 0)).expand_dims(2)


class CrfLikelihood(nn.Cell):
    """-log p(tags) of each row.

    Args:
        unrolled: whether the loop is unrolled, in float32 (crf_steps.py); otherwise it is a loop in float64.

    Args of construct:
        emissions: float32 [B, S, C]. tags: int32 [B, S]. mask: bool [B, S].
        transitions: float32 [C, C] (from, to). start, end: float32 [C].

    Returns:
        float32 [B]; meaningless for a row without tagged positions.
    """

    def __init__(self, unrolled: bool = False):
        super().__init__()
        self.dtype = mindspore.float32 if unrolled else mindspore.float64
        self.all_paths = Partition() if unrolled else _LoopedPartition()

    def construct(self, emissions: Tensor, tags: Tensor, mask: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
        emissions, transitions = emissions.astype(self.dtype), transitions.astype(self.dtype)
        start, end = start.astype(self.dtype), end.astype(self.dtype)
        partition = self.partition(emissions, mask, transitions, start, end)
        return (partition - self.score(emissions, tags, mask, transitions, start, end)).astype(mindspore.float32)

    def partition(self, emissions: Tensor, mask: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
        """Log of the sum over all paths: [B]."""
        return self.all_paths(*_by_position(emissions, mask.astype(self.dtype), start), transitions, end)

    def score(self, emissions: Tensor, tags: Tensor, mask: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
        """The score of one path per row: [B]."""
        batch_size, seq_length, num_tags = emissions.shape
        real = mask.astype(self.dtype)
        picked = ops.gather_elements(emissions, 2, tags.expand_dims(2)).reshape((batch_size, seq_length)) * real
        pairs = (tags[:, :-1] * num_tags + tags[:, 1:]).reshape((-1,))
        moves = ops.gather(transitions.reshape((-1,)), pairs, 0).reshape((batch_size, seq_length - 1)) * real[:, 1:]
        last = ops.gather_elements(tags, 1, mask.astype(mindspore.int32).sum(1, keepdims=True) - 1).reshape((-1,))
        return picked.sum(1) + moves.sum(1) + ops.gather(start, tags[:, 0], 0) + ops.gather(end, last, 0)


class _LoopedTags(nn.Cell):
    """The function of crf_steps.BestTags, with a tensor loop in each direction."""

    def construct(self, emissions: Tensor, mask: Tensor, transitions: Tensor, end: Tensor) -> Tensor:
        seq_length, batch_size, num_tags = emissions.shape
        tagged = ops.tile(mask > 0.0, (1, 1, num_tags))
        stay = ops.tile(ops.arange(num_tags).astype(mindspore.int32), (batch_size, 1))
        score = emissions[0]
        pointers = ops.zeros((seq_length, batch_size, num_tags), mindspore.int32)
        position, length = Tensor(1, mindspore.int32), Tensor(seq_length, mindspore.int32)
        while position < length:
            best, origin = ops.max(score.expand_dims(2) + transitions, 1)
            pointers[position] = ops.select(tagged[position], origin.astype(mindspore.int32), stay)
            score = ops.select(tagged[position], best + emissions[position], score)
            position = position + 1
        tag = (score + end).argmax(-1).astype(mindspore.int32).expand_dims(1)  # [B, 1]
        tags = ops.zeros((seq_length, batch_size, 1), mindspore.int32)
        while position > 0:
            position = position - 1
            tags[position] = tag
            tag = ops.gather_elements(pointers[position], 1, tag)
        return tags.reshape((seq_length, batch_size))


class BestPath(nn.Cell):
    """The most probable tags of each row (Viterbi 1967), all rows at once: int32 [B, S], 0 at positions that are not tagged.

    The arguments are those of CrfLikelihood without tags.
    """

    def __init__(self, unrolled: bool = False):
        super().__init__()
        self.best_tags = BestTags() if unrolled else _LoopedTags()

    def construct(self, emissions: Tensor, mask: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
        tags = self.best_tags(*_by_position(emissions, mask.astype(mindspore.float32), start), transitions, end)
        return tags.transpose((1, 0)) * mask.astype(mindspore.int32)
