"""Several rows of a batch in one row of the encoder, a pack: the tokens of a row see each other, and count their own positions.

Outside the encoder a batch keeps its form [B, S]. Two index arrays, each the inverse of the other, lead in and out:
packed_tokens int32 [K, L], the token in each slot as b * S + s, -1 in an empty slot; token_slots int32 [B, S], the slot of each token as
k * L + l, and at padding that of the row's first token.

Shapes: B batch, S sequence, K packs, L slots of a pack, H hidden.
"""

import mindspore
from mindspore import Tensor, nn, ops

from src.config.model import MASK_BIAS
from src.kernels.ops import zeros_like
from src.models.layers import take_rows


def pack(ids: Tensor, packed_tokens: Tensor) -> Tensor:
    """The values of the tokens in all slots: int32 [B, S] -> [K, L]; an empty slot has some token's value."""
    return ops.gather(ids.reshape((-1,)), ops.maximum(packed_tokens, 0), 0)


def find_rows(packed_tokens: Tensor, seq_length: int) -> tuple[Tensor, Tensor]:
    """The row of the token in each slot, and its position there: two of int32 [K, L]; -1 and 0 in an empty slot."""
    rows = ops.floor_div(packed_tokens, seq_length)
    return rows, ops.maximum(packed_tokens, 0) - ops.maximum(rows, 0) * seq_length


def make_pack_mask(rows: Tensor) -> Tensor:
    """True where query and key are of different rows: int32 [K, L] -> bool [K, 1, L, L]."""
    num_packs, num_slots = rows.shape
    return rows.reshape((num_packs, 1, num_slots, 1)) != rows.reshape((num_packs, 1, 1, num_slots))


def make_pack_bias(rows: Tensor) -> Tensor:
    """The bias to add to scores, 0 within a row and -10000 between rows: int32 [K, L] -> float32 [K, 1, L, L]."""
    return make_pack_mask(rows).astype(mindspore.float32) * MASK_BIAS


class Unpack(nn.Cell):
    """Hidden states of slots to those of tokens; padding gets the state of the row's first token: [K * L, H] -> [B * S, H].

    The gradient is a gather by the inverse indices, instead of a scatter: the loss must not depend on padding.
    """

    def __init__(self, aclnn: bool):
        super().__init__()
        self.aclnn = aclnn

    def construct(self, x: Tensor, packed_tokens: Tensor, token_slots: Tensor) -> Tensor:
        return take_rows(x, token_slots.reshape((-1,)), self.aclnn)

    def bprop(self, x: Tensor, packed_tokens: Tensor, token_slots: Tensor, out: Tensor, dout: Tensor) -> tuple:
        tokens = packed_tokens.reshape((-1,))
        is_token = (tokens >= 0).astype(dout.dtype).expand_dims(1)
        dx = take_rows(dout, ops.maximum(tokens, 0), self.aclnn) * is_token
        return dx, zeros_like(packed_tokens), zeros_like(token_slots)


class WithPacking(nn.Cell):
    """A network that is fed the columns of a packed batch, the last two of which are packed_tokens and token_slots."""

    def __init__(self, network: nn.Cell):
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, *batch: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.network(*batch[:-2], packing=batch[-2:])
