"""Losses: each returns a weighted sum and the sum of weights, so that parts of a batch add up exactly.

The training step divides by the global weight: one device and many, one batch and N micro-batches then agree.
"""

import mindspore
import numpy as np
from mindspore import Tensor, nn, ops


def cross_entropy(logits, labels):
    """-log p(label) of each row: float32 [R, K], int32 [R] -> float32 [R]."""
    picked = ops.gather_elements(logits, 1, labels.reshape((-1, 1))).reshape((-1,))
    return ops.logsumexp(logits, -1) - picked


class ClassificationLoss(nn.Cell):
    """Cross-entropy of single-label classification.

    Args:
        class_weights: C floats, or none for equal weights. A row weighs as much as its class, in both sums.

    Args of construct:
        logits: float32 [B, C]. label_ids: int32 [B]. weights: float32 [B], 0 for filler rows.

    Returns:
        float32 scalars: sum over rows of weight * -log p(label), and the sum of weights.
    """

    def __init__(self, class_weights=()):
        super().__init__()
        self.class_weights = Tensor(np.array(class_weights, np.float32)) if len(class_weights) else None

    def construct(self, logits, label_ids, weights):
        if self.class_weights is not None:
            weights = weights * ops.gather(self.class_weights, label_ids, 0)
        log_probs = ops.log_softmax(logits.astype(mindspore.float32), -1)  # [B, C]
        picked = ops.gather_elements(log_probs, 1, label_ids.reshape((-1, 1))).reshape((-1,))  # [B]
        return -(picked * weights).sum(), weights.sum()


class RegressionLoss(nn.Cell):
    """Squared error of one score a row.

    Args of construct:
        logits: float32 [B, 1]. label_ids: float32 [B], the true scores. weights: float32 [B], 0 for filler rows.

    Returns:
        float32 scalars: sum over rows of weight * error^2, and the sum of weights.
    """

    def construct(self, logits, label_ids, weights):
        error = logits.astype(mindspore.float32).reshape((-1,)) - label_ids
        return (error * error * weights).sum(), weights.sum()


class WithLoss(nn.Cell):
    """Network and loss as one cell: the batch's first `num_inputs` columns feed the network, the rest the loss; `draw` is Dropout's."""

    def __init__(self, network, loss, num_inputs):
        super().__init__(auto_prefix=False)
        self.network = network
        self.loss = loss
        self.num_inputs = num_inputs

    def construct(self, draw, *batch):
        return self.loss(self.network(*batch[: self.num_inputs], draw), *batch[self.num_inputs :])
