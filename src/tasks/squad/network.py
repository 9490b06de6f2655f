"""BERT with a head that finds the answer in a row: logits of its first and of its last token, and the loss.

Shapes: B batch, S sequence, T = B * S tokens, H hidden.
"""

import mindspore
from mindspore import Tensor, nn

from src.config.model import MASK_BIAS, ModelConfig
from src.config.training import DeviceSettings
from src.models.bert import Bert
from src.models.layers import Linear
from src.models.losses import cross_entropy, divergence


class SpanHead(nn.Cell):
    """A dense layer on every token, with padding excluded: float32 [B, S, H] -> start and end logits, float32 [B, S] each."""

    def __init__(self, config: ModelConfig, device: DeviceSettings) -> None:
        super().__init__()
        self.span = Linear(config.hidden_size, 2, config.initializer_range, device)

    def construct(self, x: Tensor, input_mask: Tensor) -> tuple[Tensor, Tensor]:
        batch_size, seq_length, hidden_size = x.shape
        logits = self.span(x.reshape((-1, hidden_size))).astype(mindspore.float32)  # [T, 2]
        logits = logits.reshape((batch_size, seq_length, 2))
        bias = (1.0 - input_mask.astype(mindspore.float32)) * MASK_BIAS  # [B, S]; no answer contains padding
        return logits[:, :, 0] + bias, logits[:, :, 1] + bias


class SpanFinder(nn.Cell):
    """BERT and a SpanHead: a batch of token ids -> (start logits, end logits), float32 [B, S] each.

    Source: Devlin et al. 2018, section 4.2.
    """

    def __init__(self, config: ModelConfig, device: DeviceSettings) -> None:
        super().__init__()
        self.bert = Bert(config, device, pooled=False)
        self.head = SpanHead(config, device)

    def construct(
        self,
        input_ids: Tensor,
        input_mask: Tensor,
        token_type_ids: Tensor,
        dropout_key: Tensor | None = None,
        packing: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        return self.head(self.bert(input_ids, input_mask, token_type_ids, dropout_key, packing), input_mask)


class SpanLoss(nn.Cell):
    """The mean of the cross-entropies of first and last token, each over the positions of the row.

    Args of construct:
        logits: the output of SpanFinder. start_positions, end_positions: int32 [B]. weights: float32 [B], 0 for filler rows.

    Returns:
        float32 scalars: sum over rows of weight * loss, and the sum of weights.
    """

    def construct(
        self, logits: tuple[Tensor, Tensor], start_positions: Tensor, end_positions: Tensor, weights: Tensor
    ) -> tuple[Tensor, Tensor]:
        start_logits, end_logits = logits
        losses = cross_entropy(start_logits, start_positions) + cross_entropy(end_logits, end_positions)  # [B]
        return (losses * 0.5 * weights).sum(), weights.sum()

    def compare(self, logits: tuple[Tensor, Tensor], start_positions: Tensor, end_positions: Tensor, weights: Tensor) -> Tensor:
        """The weighted sum of the mean divergences of first and last token, for RDrop."""
        start_logits, end_logits = logits
        return ((divergence(start_logits) + divergence(end_logits)) * 0.5 * weights).sum()
