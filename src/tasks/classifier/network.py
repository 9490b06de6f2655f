"""Heads of classifiers on the encoder: they return logits and see no labels.

Shapes: B batch, S sequence, T = B * S tokens, H hidden, F filters, C classes.
"""

import mindspore
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src.config.model import ModelConfig
from src.config.training import DeviceSettings
from src.models.activations import tanh
from src.models.bert import HEAD_STREAM, Bert
from src.models.dropout import MultiSampleDropout
from src.models.layers import Linear
from src.models.recurrent import BiLstm
from src.tasks.classifier.options import NORM_EPS

_WIDTHS, _FILTERS = (1, 2, 3, 4), 256


class LinearHead(nn.Cell):
    """Dropout and one dense layer on the pooled [CLS]: float32 [B, H] -> float32 [B, C]."""

    def __init__(self, config: ModelConfig, device: DeviceSettings, num_class: int, samples: int = 1) -> None:
        super().__init__()
        self.dropout = MultiSampleDropout(config.hidden_dropout_prob, HEAD_STREAM, device, samples)
        self.dense = Linear(config.hidden_size, num_class, config.initializer_range, device)

    def construct(self, sequence_output: Tensor, pooled_output: Tensor, input_mask: Tensor, dropout_key: Tensor | None = None) -> Tensor:
        return self.dense(self.dropout(pooled_output, dropout_key)).astype(mindspore.float32)


class MaskedBatchNorm(nn.Cell):
    """Batch normalisation of real tokens by their own mean and variance: float32 [T, F], mask [T, 1] -> [T, F].

    Evaluation takes running means of both. Source: Ioffe and Szegedy 2015.
    """

    def __init__(self, size: int, momentum: float = 0.9, eps: float = NORM_EPS) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        zeros, ones = np.zeros(size, np.float32), np.ones(size, np.float32)
        self.weight, self.bias = Parameter(Tensor(ones), name="weight"), Parameter(Tensor(zeros), name="bias")
        self.mean = Parameter(Tensor(zeros), name="mean", requires_grad=False)
        self.variance = Parameter(Tensor(ones), name="variance", requires_grad=False)

    def construct(self, x: Tensor, mask: Tensor) -> Tensor:
        mean, variance = self.mean * 1.0, self.variance * 1.0
        if self.training:
            count = mask.sum()
            mean = (x * mask).sum(0) / count
            centred = (x - mean) * mask
            variance = (centred * centred).sum(0) / count
            unbiased = variance * (count / ops.maximum(count - 1.0, 1.0))
            kept = self.keep(ops.stop_gradient(mean), ops.stop_gradient(unbiased))
            x = ops.depend(x, kept)
        return (x - mean) * ops.rsqrt(variance + self.eps) * self.weight + self.bias

    def keep(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Move the running values towards those of this batch."""
        first = ops.Assign()(self.mean, self.mean * self.momentum + mean * (1.0 - self.momentum))
        return first, ops.Assign()(self.variance, self.variance * self.momentum + variance * (1.0 - self.momentum))


class CnnHead(nn.Cell):
    """Filters over 1 to 4 neighbouring tokens, ReLU, the maximum over the text, dropout, dense (Kim 2014).

    A window starts at every real token; after the last one it sees zeros. Padding cannot win the maximum: its windows
    count as 0, the minimum of ReLU. Each width is one matrix product: the CPU's convolution is 70 times slower.
    """

    def __init__(self, config: ModelConfig, device: DeviceSettings, num_class: int, batch_norm: bool, samples: int = 1) -> None:
        super().__init__()
        spread = config.initializer_range
        sizes = [width * config.hidden_size for width in _WIDTHS]
        self.filters = nn.CellList([Linear(size, _FILTERS, spread, device) for size in sizes])
        self.batch_norm = batch_norm
        if batch_norm:
            self.norms = nn.CellList([MaskedBatchNorm(_FILTERS) for _ in _WIDTHS])
        self.dropout = MultiSampleDropout(config.hidden_dropout_prob, HEAD_STREAM, device, samples)
        self.dense = Linear(len(_WIDTHS) * _FILTERS, num_class, spread, device)

    def construct(self, sequence_output: Tensor, pooled_output: Tensor, input_mask: Tensor, dropout_key: Tensor | None = None) -> Tensor:
        batch_size, seq_length, hidden_size = sequence_output.shape
        mask = input_mask.astype(mindspore.float32).reshape((-1, 1))  # [T, 1]
        x = sequence_output * mask.reshape((batch_size, seq_length, 1))
        behind = ops.zeros((batch_size, _WIDTHS[-1] - 1, hidden_size), x.dtype)
        x = ops.concat((x, behind), 1)  # [B, S + 3, H]
        strongest = ()  # type: tuple[Tensor, ...]
        for number, width in enumerate(_WIDTHS):
            windows = ops.concat([x[:, start : start + seq_length] for start in range(width)], -1)  # [B, S, width * H]
            y = self.filters[number](windows.reshape((-1, width * hidden_size))).astype(mindspore.float32)  # [T, F]
            if self.batch_norm:
                y = self.norms[number](y, mask)
            y = ops.relu(y) * mask
            strongest += (y.reshape((batch_size, seq_length, _FILTERS)).max(1),)  # [B, F]
        return self.dense(self.dropout(ops.concat(strongest, -1), dropout_key)).astype(mindspore.float32)


class RcnnHead(nn.Cell):
    """Each token between its left and its right context, tanh, the maximum over real tokens, dense (Lai et al. 2015)."""

    def __init__(self, config: ModelConfig, device: DeviceSettings, num_class: int, samples: int = 1) -> None:
        super().__init__()
        size, spread = config.hidden_size, config.initializer_range
        self.contexts = BiLstm(size, size // 2, device)
        self.joined = Linear(size + size // 2 * 2, size, spread, device)
        self.dropout = MultiSampleDropout(config.hidden_dropout_prob, HEAD_STREAM, device, samples)
        self.dense = Linear(size, num_class, spread, device)
        self.composed = device.composed_ops

    def construct(self, sequence_output: Tensor, pooled_output: Tensor, input_mask: Tensor, dropout_key: Tensor | None = None) -> Tensor:
        batch_size, seq_length, hidden_size = sequence_output.shape
        contexts = self.contexts(sequence_output, input_mask)  # [B, S, H]
        x = ops.concat((sequence_output, contexts), -1).reshape((batch_size * seq_length, -1))
        x = tanh(self.joined(x).astype(mindspore.float32), self.composed).reshape((batch_size, seq_length, hidden_size))
        padding = 1.0 - input_mask.astype(mindspore.float32).reshape((batch_size, seq_length, 1))
        x = (x - 2.0 * padding).max(1)  # [B, H]; tanh is above -1
        return self.dense(self.dropout(x, dropout_key)).astype(mindspore.float32)


class Classifier(nn.Cell):
    """BERT with a classification head: a batch of token ids -> logits float32 [B, C]; C = 1 is a regression's score.

    Args:
        config: ModelConfig. device: DeviceSettings.
        num_class: C.
        head: linear, cnn or rcnn.
        batch_norm: between filters and ReLU of cnn.
        samples: predictions of each row in training, see MultiSampleDropout.
    """

    def __init__(
        self,
        config: ModelConfig,
        device: DeviceSettings,
        num_class: int,
        head: str = "linear",
        batch_norm: bool = False,
        samples: int = 1,
    ) -> None:
        super().__init__()
        self.bert = Bert(config, device)
        if head == "cnn":
            self.head = CnnHead(config, device, num_class, batch_norm, samples)
        else:
            self.head = (RcnnHead if head == "rcnn" else LinearHead)(config, device, num_class, samples)

    def construct(
        self,
        input_ids: Tensor,
        input_mask: Tensor,
        token_type_ids: Tensor,
        dropout_key: Tensor | None = None,
        packing: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        sequence_output, pooled_output = self.bert(input_ids, input_mask, token_type_ids, dropout_key, packing)
        return self.head(sequence_output, pooled_output, input_mask, dropout_key)
