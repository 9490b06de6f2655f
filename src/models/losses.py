"""Losses: each returns a weighted sum and the sum of weights, so that parts of a batch add up exactly.

The training step divides by the global weight: one device and many, one batch and N micro-batches then agree.

Shapes: B batch, C classes.
"""

from collections.abc import Sequence

import mindspore
import numpy as np
from mindspore import Tensor, nn, ops


def cross_entropy(logits: Tensor, labels: Tensor, from_log_softmax: bool = False) -> Tensor:
    """-log p(label): float32 [..., C], int32 [...] -> float32 [...].

    Args:
        from_log_softmax: pick from log_softmax instead of subtracting from logsumexp. The result is then the same to the last bit in
            every batch of a run (the CPU's `log` splits its work differently in its first calls); on Ascend it takes one kernel
            forward and one backward, where the other form takes six and keeps more.
    """
    scores = ops.log_softmax(logits, -1) if from_log_softmax else logits
    picked = ops.gather_elements(scores, labels.ndim, labels.expand_dims(-1)).reshape(labels.shape)
    return -picked if from_log_softmax else ops.logsumexp(logits, -1) - picked


class ClassificationLoss(nn.Cell):
    """Cross-entropy of single-label classification.

    Args:
        class_weights: C floats, or none for equal weights. In both sums a row has the weight of its class.

    Args of construct:
        logits: float [B, C]. label_ids: int32 [B]. weights: float32 [B], 0 for filler rows.

    Returns:
        float32 scalars: sum over rows of weight * -log p(label), and the sum of weights.
    """

    def __init__(self, class_weights: Sequence[float] = ()):
        super().__init__()
        self.class_weights = Tensor(np.array(class_weights, np.float32)) if len(class_weights) else None

    def construct(self, logits: Tensor, label_ids: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        if self.class_weights is not None:
            weights = weights * ops.gather(self.class_weights, label_ids, 0)
        losses = cross_entropy(logits.astype(mindspore.float32), label_ids, from_log_softmax=True)  # [B]
        return (losses * weights).sum(), weights.sum()


class RegressionLoss(nn.Cell):
    """Squared error of one score per row.

    Args of construct:
        logits: float [B, 1]. label_ids: float32 [B], the true scores. weights: float32 [B], 0 for filler rows.

    Returns:
        float32 scalars: sum over rows of weight * error^2, and the sum of weights.
    """

    def construct(self, logits: Tensor, label_ids: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        error = logits.astype(mindspore.float32).reshape((-1,)) - label_ids
        return (error * error * weights).sum(), weights.sum()


class WithLoss(nn.Cell):
    """Network and loss as one cell: the first `num_inputs` columns of the batch feed the network, the others the loss.

    Args:
        packed: whether the last two columns are the packing, which also feeds the network.
    """

    def __init__(self, network: nn.Cell, loss: nn.Cell, num_inputs: int, packed: bool = False):
        super().__init__(auto_prefix=False)
        self.network = network
        self.loss = loss
        self.num_inputs, self.packed = num_inputs, packed

    def construct(self, dropout_key: Tensor, *batch: Tensor) -> tuple[Tensor, ...]:
        if self.packed:
            logits = self.network(*batch[: self.num_inputs], dropout_key, packing=batch[-2:])
            return self.loss(logits, *batch[self.num_inputs : -2])
        return self.loss(self.network(*batch[: self.num_inputs], dropout_key), *batch[self.num_inputs :])
