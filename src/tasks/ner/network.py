"""BERT that labels tokens: logits of every token, with or without a BiLSTM and a CRF; losses; tags for evaluation.

[CLS] and [SEP] are not tagged: the tags of a row are those of positions 1 to length - 2.

Shapes: B batch, S sequence, T = B * S tokens, H hidden, C tags.
"""

from typing import Any

import mindspore
from mindspore import Tensor, nn, ops

from src.config.model import ModelConfig
from src.config.training import DeviceSettings
from src.models.bert import HEAD_STREAM, Bert
from src.models.crf import BestPath, Crf, CrfLikelihood
from src.models.dropout import MultiSampleDropout
from src.models.layers import Linear
from src.models.losses import cross_entropy, divergence, make_soft_cross_entropy
from src.models.recurrent import BiLstm


class TokenHead(nn.Cell):
    """Dropout, a BiLSTM if asked for, and a dense layer on every token: float32 [B, S, H] -> float32 [B, S, C], and a CRF's scores."""

    def __init__(self, config: ModelConfig, device: DeviceSettings, num_tags: int, with_lstm: bool, crf: Crf | None, samples: int) -> None:
        super().__init__()
        size = config.hidden_size
        self.dropout = MultiSampleDropout(config.hidden_dropout_prob, HEAD_STREAM, device, samples)
        self.with_lstm = with_lstm
        if with_lstm:
            self.contexts = BiLstm(size, size // 2, device)
            size = size // 2 * 2
        self.dense = Linear(size, num_tags, config.initializer_range, device)
        self.crf = crf

    def construct(self, x: Tensor, input_mask: Tensor, dropout_key: Tensor | None = None) -> Any:
        x = self.dropout(x, dropout_key)
        batch_size, seq_length, _ = x.shape
        if self.with_lstm:
            x = self.contexts(x, self.dropout.repeat(input_mask, dropout_key))
        logits = self.dense(x.reshape((batch_size * seq_length, -1))).astype(mindspore.float32)  # [T, C]
        logits = logits.reshape((batch_size, seq_length, -1))
        if self.crf is None:
            return logits
        return logits, *self.crf()


class Tagger(nn.Cell):
    """A batch of token ids -> logits float32 [B, S, C]; with a CRF (logits, transitions [C, C], start [C], end [C]).

    Args:
        config: ModelConfig. device: DeviceSettings.
        num_tags: C.
        with_lstm: a BiLSTM of hidden_size // 2 units per direction between encoder and logits.
        use_crf: whether a CRF scores the tags of a row together.
        allowed: transitions that the CRF permits, see Crf.
        samples: predictions of each row in training, see MultiSampleDropout.
    """

    def __init__(
        self,
        config: ModelConfig,
        device: DeviceSettings,
        num_tags: int,
        with_lstm: bool = False,
        use_crf: bool = False,
        allowed: tuple | None = None,
        samples: int = 1,
    ) -> None:
        super().__init__()
        self.bert = Bert(config, device, pooled=False)
        self.head = TokenHead(config, device, num_tags, with_lstm, Crf(num_tags, allowed) if use_crf else None, samples)
        self.best_path = BestPath(device.unrolled) if use_crf else None

    def construct(
        self,
        input_ids: Tensor,
        input_mask: Tensor,
        token_type_ids: Tensor,
        dropout_key: Tensor | None = None,
        packing: tuple[Tensor, Tensor] | None = None,
    ) -> Any:
        return self.head(self.bert(input_ids, input_mask, token_type_ids, dropout_key, packing), input_mask, dropout_key)


class _RowLoss(nn.Cell):
    """A loss; subclasses define `rows(logits, label_ids)`, which returns loss and count of each row.

    Args of construct:
        logits: what the Tagger returns. label_ids: int32 [B, S], -1 where there is no label. weights: float32 [B], 0 for filler rows.

    Returns:
        float32 scalars: the sum of losses, and of counts.
    """

    def construct(self, logits: Tensor | tuple[Tensor, ...], label_ids: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        losses, counts = self.rows(logits, label_ids)
        return (losses * weights).sum(), (counts * weights).sum()


class TaggingLoss(_RowLoss):
    """Cross-entropy of every labelled token; counts are tokens.

    Args:
        smoothing, gamma: see SoftCrossEntropy.
    """

    def __init__(self, smoothing: float = 0.0, gamma: float = 0.0) -> None:
        super().__init__()
        self.soft = make_soft_cross_entropy(smoothing, gamma)

    def rows(self, logits: Tensor, label_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Loss sum and number of labelled tokens of each row: two of float32 [B]."""
        real = (label_ids >= 0).astype(mindspore.float32)
        labels = ops.maximum(label_ids, 0)
        losses = cross_entropy(logits, labels) if self.soft is None else self.soft(logits, labels)  # [B, S]
        return (losses * real).sum(1), real.sum(1)

    def compare(self, logits: Tensor, label_ids: Tensor, weights: Tensor) -> Tensor:
        """The weighted sum of divergences of labelled tokens, for RDrop."""
        real = (label_ids >= 0).astype(mindspore.float32)
        return ((divergence(logits) * real).sum(1) * weights).sum()


class CrfLoss(_RowLoss):
    """-log p of each row's labels, by a Tagger with a CRF; counts are rows.

    Args:
        unrolled: see CrfLikelihood.
    """

    def __init__(self, unrolled: bool = False) -> None:
        super().__init__()
        self.likelihood = CrfLikelihood(unrolled)

    def rows(self, logits: tuple[Tensor, ...], label_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each row, and 1 where the row has labels: two of float32 [B]."""
        emissions, transitions, start, end = logits
        label_ids = label_ids[:, 1:]  # the first label comes after [CLS]
        real = (label_ids[:, 0] >= 0).astype(mindspore.float32)
        losses = self.likelihood(emissions[:, 1:], ops.maximum(label_ids, 0), label_ids >= 0, transitions, start, end)
        return losses * real, real

    def compare(self, logits: tuple[Tensor, ...], label_ids: Tensor, weights: Tensor) -> Tensor:
        """The weighted sum over tokens of the divergence of emissions, without transitions, for RDrop."""
        real = (label_ids >= 0).astype(mindspore.float32)
        return ((divergence(logits[0]) * real).sum(1) * weights).sum()


class Emissions(nn.Cell):
    """A Tagger's logits without the CRF's scores, which belong to no row: float32 [B, S, C]."""

    def __init__(self, network: Tagger) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.use_crf = network.best_path is not None

    def construct(self, input_ids: Tensor, input_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        logits = self.network(input_ids, input_mask, token_type_ids)  # type: Any
        return logits[0] if self.use_crf else logits


class TaggerScores(nn.Cell):
    """Tags and losses of each row, so that no logits leave the device.

    Args:
        network: Tagger. loss: its TaggingLoss or CrfLoss.

    Returns:
        int32 [B, S] tags, of no meaning at positions that are not tagged; float32 [B] loss and what it counts, see `rows` of the loss.
    """

    def __init__(self, network: Tagger, loss: "TaggingLoss | CrfLoss") -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.loss = loss
        self.best_path: Any = network.best_path  # None without a CRF

    def construct(
        self,
        input_ids: Tensor,
        input_mask: Tensor,
        token_type_ids: Tensor,
        label_ids: Tensor,
        packing: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        logits = self.network(input_ids, input_mask, token_type_ids, packing=packing)  # type: Any
        losses, counts = self.loss.rows(logits, label_ids)
        if self.best_path is None:
            tags = logits.argmax(-1).astype(mindspore.int32)
        else:
            emissions, transitions, start, end = logits
            tags = self.decode(emissions, transitions, start, end, input_mask)
        return tags, losses, counts

    def decode(self, emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor, input_mask: Tensor) -> Tensor:
        """The best path over positions 1 to length - 2."""
        ends = ops.zeros_like(input_mask[:, :1])
        tagged = ops.concat((input_mask[:, 2:], ends), 1) > 0  # of positions 1 to S - 1; the next one is real too
        tags = self.best_path(emissions[:, 1:], tagged, transitions, start, end)
        return ops.concat((ends, tags), 1)
