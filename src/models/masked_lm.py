"""The head of the masked language model.

Source: Devlin et al. 2018, section 3.1.

Shapes: B batch, S sequence, P masked positions per row, M = B * P, H hidden, V vocabulary.
"""

import mindspore
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src.config.model import ModelConfig
from src.config.training import DeviceSettings
from src.models.activations import Activation
from src.models.layers import LayerNorm, Linear, take_rows
from src.models.native_layers import native_linear


class MaskedLmHead(nn.Cell):
    """Dense, activation, normalisation, and the product with the word embeddings (tied), at the masked positions only.

    Args of construct:
        x: [B, S, H], the last layer. positions: int32 [B, P]. word_embeddings: [V, H].

    Returns:
        float32 [M, V] logits.
    """

    def __init__(self, config: ModelConfig, device: DeviceSettings) -> None:
        super().__init__()
        size = config.hidden_size
        self.compute_type = getattr(mindspore, device.compute_type)
        self.dense = Linear(size, size, config.initializer_range, device)
        self.activation = Activation(config.hidden_act, device)
        self.norm = LayerNorm(config.hidden_size, config.layer_norm_eps, device)
        self.bias = Parameter(Tensor(np.zeros(config.vocab_size, np.float32)), name="bias")
        self.matmul = ops.MatMul(transpose_b=True)
        self.add_bias = ops.Add() if device.aclnn else ops.BiasAdd()
        self.native = native_linear(device)
        self.aclnn = device.aclnn

    def construct(self, x: Tensor, positions: Tensor, word_embeddings: Tensor) -> Tensor:
        batch_size, seq_length, _ = x.shape
        rows = positions + ops.arange(batch_size).astype(mindspore.int32).reshape((-1, 1)) * seq_length
        x = take_rows(x.reshape((batch_size * seq_length, -1)), rows.reshape((-1,)), self.aclnn)  # [M, H]
        x = self.norm(self.activation(self.dense(x))).astype(self.compute_type)  # [M, H]
        if self.native is not None:
            return self.native(x, word_embeddings, self.bias)  # [M, V]
        logits = self.matmul(x, word_embeddings.astype(self.compute_type)).astype(mindspore.float32)  # [M, V]
        return self.add_bias(logits, self.bias)
