"""Sentence embeddings: a vector for each text, and the losses that compare the vectors of a row or of a batch.

Shapes: B rows, K texts of a row, S sequence, H hidden, C candidates.
"""

import mindspore
from mindspore import Tensor, nn, ops

from src.config.model import MASK_BIAS, ModelConfig
from src.config.training import DeviceSettings
from src.models.bert import Bert
from src.models.losses import cross_entropy

_SMALLEST = 1e-12  # a shorter vector is divided by this instead of its length


def scale_to_unit(x: Tensor) -> Tensor:
    """Vectors of length 1 in the same direction: float32 [..., H] -> [..., H]."""
    return x / ops.maximum(ops.sqrt((x * x).sum(-1, keepdims=True)), _SMALLEST)


class Embedder(nn.Cell):
    """BERT with pooling over the last layer, whose vectors have length 1 if `normalize`.

    Args:
        config: ModelConfig. device: DeviceSettings.
        pooling: mean, of the hidden states of all tokens, [CLS] and [SEP] included; or cls, the hidden state of [CLS].
    """

    def __init__(self, config: ModelConfig, device: DeviceSettings, pooling: str, normalize: bool) -> None:
        super().__init__()
        self.bert = Bert(config, device, pooled=False)
        self.takes_mean, self.normalize = pooling == "mean", normalize
        self.product = ops.BatchMatMul()

    def construct(
        self,
        input_ids: Tensor,
        input_mask: Tensor,
        token_type_ids: Tensor,
        dropout_key: Tensor | None = None,
        packing: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Vectors of texts: int32 [B, S] -> float32 [B, H], or of rows of several texts: int32 [B, K, S] -> float32 [B, K, H]."""
        shape = input_ids.shape
        if len(shape) == 3:  # the encoder sees a batch of B K texts
            texts = (shape[0] * shape[1], shape[2])
            input_ids, input_mask, token_type_ids = input_ids.reshape(texts), input_mask.reshape(texts), token_type_ids.reshape(texts)
        x = self.bert(input_ids, input_mask, token_type_ids, dropout_key, packing).astype(mindspore.float32)  # [B K, S, H]
        x = self.average_tokens(x, input_mask) if self.takes_mean else x[:, 0]  # [B K, H]
        if self.normalize:
            x = scale_to_unit(x)
        return x.reshape((shape[0], shape[1], -1)) if len(shape) == 3 else x

    def average_tokens(self, x: Tensor, input_mask: Tensor) -> Tensor:
        """The mean over the tokens of each text, as a product with their shares: float32 [B, S, H] -> [B, H]."""
        mask = input_mask.astype(mindspore.float32)
        shares = mask / mask.sum(-1, keepdims=True)  # [B, S]
        return self.product(shares.expand_dims(1), x).squeeze(1)


class CosineLoss(nn.Cell):
    """Squared difference of the cosine of a row's two texts and its score.

    Args of construct:
        vectors: float32 [B, 2, H]. scores: float32 [B], -1 to 1. weights: float32 [B], 0 for filler rows.

    Returns:
        float32 scalars: sum over rows of weight * difference^2, and the sum of weights.
    """

    def construct(self, vectors: Tensor, scores: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        x = scale_to_unit(vectors)
        difference = (x[:, 0] * x[:, 1]).sum(-1) - scores  # [B]
        return (difference * difference * weights).sum(), weights.sum()


class ContrastiveLoss(nn.Cell):
    """Cross-entropy of a text's own partner among all partners and negatives of the batch, by cosine / temperature.

    The first text of a row is compared with the C = B (K - 1) other texts of the batch; the second text of its own row is the right one.
    Those of filler rows, which repeat a row, are left out.

    Args of construct:
        vectors: float32 [B, K, H]. scores: float32 [B], unused. weights: float32 [B], 0 for filler rows.

    Returns:
        float32 scalars: sum over rows of weight * -log p(partner), and the sum of weights.

    Source: Gao et al. 2021, "SimCSE", equations 1 and 5 (with the partner of equation 1 the same text under other dropout); Henderson et
    al. 2017, "Efficient Natural Language Response Suggestion for Smart Reply", section 4.4.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.product = ops.MatMul(transpose_b=True)

    def construct(self, vectors: Tensor, scores: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        num_rows, num_texts, size = vectors.shape
        x = scale_to_unit(vectors).swapaxes(0, 1)  # [K, B, H]: partners come before negatives
        cosines = self.product(x[0], x[1:].reshape((-1, size)))  # [B, C]
        fillers = ops.concat(((1.0 - weights) * MASK_BIAS,) * (num_texts - 1))  # [C]
        partners = ops.arange(num_rows).astype(mindspore.int32)
        losses = cross_entropy(cosines / self.temperature + fillers, partners, from_log_softmax=True)  # [B]
        return (losses * weights).sum(), weights.sum()
