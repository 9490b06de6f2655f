"""BERT that marks an answer in a row: logits of its first and of its last token, and the loss.

Shapes: B batch, S sequence, T = B * S tokens, H hidden.
"""

import mindspore
from mindspore import nn

from src.config.model import MASK_BIAS
from src.models.bert import Bert
from src.models.layers import Linear
from src.models.losses import cross_entropy


class SpanHead(nn.Cell):
    """A dense layer on every token, and padding taken out: float32 [B, S, H] -> start and end logits, float32 [B, S] each."""

    def __init__(self, config, device):
        super().__init__()
        self.span = Linear(config.hidden_size, 2, config.initializer_range, getattr(mindspore, device.compute_type))

    def construct(self, x, input_mask):
        batch_size, seq_length, hidden_size = x.shape
        logits = self.span(x.reshape((-1, hidden_size))).astype(mindspore.float32)  # [T, 2]
        logits = logits.reshape((batch_size, seq_length, 2))
        bias = (1.0 - input_mask.astype(mindspore.float32)) * MASK_BIAS  # [B, S]; no answer holds padding
        return logits[:, :, 0] + bias, logits[:, :, 1] + bias


class SpanFinder(nn.Cell):
    """A batch of token ids -> (start logits, end logits), float32 [B, S] each.

    Args:
        config: ModelConfig. device: DeviceSettings.

    Source: Devlin et al. 2018, section 4.2.
    """

    def __init__(self, config, device):
        super().__init__()
        self.bert = Bert(config, device, pooled=False)
        self.head = SpanHead(config, device)

    def construct(self, input_ids, input_mask, token_type_ids, dropout_key=None):
        return self.head(self.bert(input_ids, input_mask, token_type_ids, dropout_key), input_mask)


class SpanLoss(nn.Cell):
    """The mean of the cross-entropies of first and last token, each over the places of the row.

    Args of construct:
        logits: what the SpanFinder returns. start_positions, end_positions: int32 [B]. weights: float32 [B], 0 for filler rows.

    Returns:
        float32 scalars: sum over rows of weight * loss, and the sum of weights.
    """

    def construct(self, logits, start_positions, end_positions, weights):
        start_logits, end_logits = logits
        losses = cross_entropy(start_logits, start_positions) + cross_entropy(end_logits, end_positions)  # [B]
        return (losses * 0.5 * weights).sum(), weights.sum()
