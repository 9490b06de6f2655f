"""The order of tokens: absolute embeddings, NEZHA's relative positions (Wei et al. 2019), or rotary ones in a head that scores spans.

Relative positions enter attention twice, by one vector a_ij for each pair of positions, the same for every head:
    score_ij = (q_i . k_j + q_i . a_ij) / sqrt D        context_i = sum_j p_ij (v_j + a_ij)
where a_ij is the row of a table for the distance j - i, clipped to +-M. Absolute positions add 0 to both.

Rotary positions (Su et al. 2021) turn query and key by angles that grow with the position, so that their product knows the distance.

Shapes: B batch, S sequence, N heads, D head size, M max_relative_position.
"""

import mindspore
from mindspore import Parameter, Tensor, nn, ops

from src.config.model import ModelConfig
from src.config.training import DeviceSettings
from src.formats.positions import make_rotations, make_sinusoids
from src.models.layers import SwapMiddle, make_weight, take_rows


class AbsolutePositions(nn.Cell):
    """Nothing is added in attention: the embeddings contain the positions."""

    def weights(self) -> tuple[Tensor, ...]:
        return ()

    def key_scores(self, query: Tensor) -> float:
        return 0.0

    def value_context(self, probs: Tensor) -> float:
        return 0.0


class RelativePositions(nn.Cell):
    """The terms of a_ij in scores and context.

    Args:
        table: float32 [2M + 1, D], row M + d for the distance d. A Parameter is learned, and passed to the other methods as their
            last argument; a Tensor is fixed.
        max_relative_position: M.
    """

    def __init__(self, table: Tensor, max_relative_position: int, device: DeviceSettings):
        super().__init__()
        self.table = table
        self.learned = isinstance(table, Parameter)
        self.max_distance = max_relative_position
        self.compute_type, self.aclnn = getattr(mindspore, device.compute_type), device.aclnn
        self.swap = SwapMiddle(device)
        self.scores = ops.BatchMatMul(transpose_b=True)
        self.context = ops.BatchMatMul()

    def weights(self) -> tuple[Tensor, ...]:
        """The parameters as the methods below take them: the table if it is learned."""
        return (self.table,) if self.learned else ()

    def relations(self, seq_length: int, table: Tensor) -> Tensor:
        """The vectors a_ij: [S, S, D]."""
        positions = ops.arange(seq_length)
        distances = positions.reshape((1, -1)) - positions.reshape((-1, 1))
        rows = ops.clamp(distances, -self.max_distance, self.max_distance) + self.max_distance
        return take_rows(table[0] if self.learned else self.table, rows, self.aclnn).astype(self.compute_type)

    def key_scores(self, query: Tensor, *table: Tensor) -> Tensor:
        """q_i . a_ij: [B, N, S, D] -> [B, N, S, S]."""
        batch_size, num_heads, seq_length, head_size = query.shape
        query = self.swap(query.reshape((1, batch_size * num_heads, seq_length, head_size)))
        query = query.reshape((seq_length, -1, head_size))  # [S, B * N, D]
        scores = self.scores(query, self.relations(seq_length, table))  # [S, B * N, S]
        return self.swap(scores.reshape((1, seq_length, -1, seq_length))).reshape((batch_size, num_heads, seq_length, seq_length))

    def value_context(self, probs: Tensor, *table: Tensor) -> Tensor:
        """sum_j p_ij a_ij: [B, N, S, S] -> [B, N, S, D]."""
        batch_size, num_heads, seq_length, _ = probs.shape
        probs = self.swap(probs.reshape((1, batch_size * num_heads, seq_length, seq_length)))
        probs = probs.reshape((seq_length, -1, seq_length))  # [S, B * N, S]
        context = self.context(probs, self.relations(seq_length, table)).expand_dims(0)  # [1, S, B * N, D]
        return self.swap(context).reshape((batch_size, num_heads, seq_length, -1))


class RotaryPositions(nn.Cell):
    """Values 2i and 2i + 1 of each vector, turned by the angle p / 10000^(2i / D) at position p: float32 [B, S, D] -> [B, S, D].

    Args:
        num_positions: at least S. size: D, even.
    """

    def __init__(self, num_positions: int, size: int):
        super().__init__()
        cos, sin, turned = make_rotations(num_positions, size)
        self.cos, self.sin, self.turned = Tensor(cos), Tensor(sin), Tensor(turned)
        self.turn = ops.MatMul()

    def construct(self, x: Tensor) -> Tensor:
        length = x.shape[1]
        turned = self.turn(x.reshape((-1, x.shape[2])), self.turned).reshape(x.shape)
        return x * self.cos[:length] + turned * self.sin[:length]


def make_positions(config: ModelConfig, device: DeviceSettings) -> AbsolutePositions | RelativePositions:
    """What one attention layer adds for `config.position_embedding_type`.

    With `learned`, every layer has its own table, shared by keys and values, as in the model zoo's NEZHA.
    """
    distance, head_size = config.max_relative_position, config.hidden_size // config.num_attention_heads
    if config.position_embedding_type == "absolute" or distance is None:
        return AbsolutePositions()
    if config.position_embedding_type == "learned":
        table = make_weight((2 * distance + 1, head_size), config.initializer_range, "table")
    else:
        table = Tensor(make_sinusoids(distance, head_size))
    return RelativePositions(table, distance, device)
