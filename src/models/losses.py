"""Losses: each returns a weighted sum and the sum of weights, so that parts of a batch add up exactly.

The training step divides by the global weight: one device and many, one batch and N micro-batches then agree.

Shapes: B batch, C classes.
"""

from collections.abc import Sequence

import mindspore
import numpy as np
from mindspore import Tensor, nn, ops

from src.config.model import MASK_BIAS

_SMALLEST = 1e-6  # value of 1 - p in the focal loss below which its power, whose gradient may be infinite at 0, stays the same


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


def repeat_rows(x: Tensor, count: int) -> Tensor:
    """All rows of a batch `count` times: [B, ...] -> [count B, ...], one copy of the batch behind the other."""
    return ops.concat((x,) * count)


def halve(x: Tensor) -> tuple[Tensor, Tensor]:
    """The first and the second half of the rows: [2 B, ...] -> two of [B, ...]."""
    count = x.shape[0] // 2
    return x[:count], x[count:]


class SoftCrossEntropy(nn.Cell):
    """Cross-entropy with smoothed labels, or the focal loss: float32 [..., C], int32 [...] -> float32 [...].

    With smoothing e: -(1 - e) log p(label) - e mean_c log p(c), where the share e of each label is spread over all classes.
    With gamma g: -(1 - p(label))^g log p(label), where a row weighs less the better it is predicted.

    Args:
        smoothing, gamma: one of them is 0.

    Source: Szegedy et al. 2015, "Rethinking the Inception Architecture for Computer Vision", section 7; Lin et al. 2017, "Focal Loss for
    Dense Object Detection", section 3.2.
    """

    def __init__(self, smoothing: float, gamma: float):
        super().__init__()
        self.smoothing, self.gamma = smoothing, gamma

    def construct(self, logits: Tensor, labels: Tensor) -> Tensor:
        losses = cross_entropy(logits, labels, from_log_softmax=True)
        if self.gamma == 0.0:
            return losses * (1.0 - self.smoothing) - ops.log_softmax(logits, -1).mean(-1) * self.smoothing
        probs = ops.gather_elements(ops.softmax(logits, -1), labels.ndim, labels.expand_dims(-1)).reshape(labels.shape)
        return ops.pow(ops.maximum(1.0 - probs, _SMALLEST), self.gamma) * losses


def make_soft_cross_entropy(smoothing: float, gamma: float) -> SoftCrossEntropy | None:
    """A SoftCrossEntropy; None if plain cross-entropy is wanted."""
    return SoftCrossEntropy(smoothing, gamma) if smoothing or gamma else None


def divergence(logits: Tensor) -> Tensor:
    """The divergence of two predictions of each row, all first ones before all second ones: float32 [2 B, ..., C] -> [B, ...].

    (KL(p || q) + KL(q || p)) / 2 = sum_c (p - q) (log p - log q) / 2, where p and q are the softmax of the logits.
    """
    p, q = halve(ops.softmax(logits, -1))
    log_p, log_q = halve(ops.log_softmax(logits, -1))
    return ((p - q) * (log_p - log_q)).sum(-1) * 0.5


class ClassificationLoss(nn.Cell):
    """Cross-entropy of single-label classification.

    Args:
        class_weights: C floats, or none for equal weights. In both sums a row has the weight of its class.
        smoothing, gamma: see SoftCrossEntropy.

    Args of construct:
        logits: float [B, C]. label_ids: int32 [B]. weights: float32 [B], 0 for filler rows.

    Returns:
        float32 scalars: sum over rows of weight * -log p(label), and the sum of weights.
    """

    def __init__(self, class_weights: Sequence[float] = (), smoothing: float = 0.0, gamma: float = 0.0):
        super().__init__()
        self.class_weights = Tensor(np.array(class_weights, np.float32)) if len(class_weights) else None
        self.soft = make_soft_cross_entropy(smoothing, gamma)

    def construct(self, logits: Tensor, label_ids: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        logits, weights = logits.astype(mindspore.float32), self.weigh(label_ids, weights)
        losses = cross_entropy(logits, label_ids, from_log_softmax=True) if self.soft is None else self.soft(logits, label_ids)  # [B]
        return (losses * weights).sum(), weights.sum()

    def weigh(self, label_ids: Tensor, weights: Tensor) -> Tensor:
        """The weights of rows, times those of their classes."""
        return weights if self.class_weights is None else weights * ops.gather(self.class_weights, label_ids, 0)

    def compare(self, logits: Tensor, label_ids: Tensor, weights: Tensor) -> Tensor:
        """The weighted sum of divergences, for RDrop."""
        return (divergence(logits) * self.weigh(label_ids, weights)).sum()


class MultiLabelLoss(nn.Cell):
    """Binary cross-entropy of each label of a text, for texts that may have several.

    With y 1 where a text has a label, x its logit and p = sigmoid(x): -(w y log p + (1 - y) log(1 - p)), the mean over labels. Smoothing e
    makes y (1 - e) + e / 2 of y; gamma g multiplies by (1 - p)^g where y is 1, by p^g where it is 0.

    Args:
        class_weights: w of each label, or none for 1.
        smoothing, gamma: one of them is 0.

    Args of construct:
        logits: float [B, C]. label_ids: int8 [B, C], 0 or 1. weights: float32 [B], 0 for filler rows.

    Returns:
        float32 scalars: sum over rows of weight * loss, and the sum of weights.

    Source: torch.nn.BCEWithLogitsLoss with `pos_weight`, which Hugging Face's multi_label_classification uses without weights; Lin et al.
    2017, "Focal Loss for Dense Object Detection", section 3.
    """

    def __init__(self, class_weights: Sequence[float] = (), smoothing: float = 0.0, gamma: float = 0.0):
        super().__init__()
        self.class_weights = Tensor(np.array(class_weights, np.float32)) if len(class_weights) else None
        self.smoothing, self.gamma = smoothing, gamma

    def construct(self, logits: Tensor, label_ids: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        logits, labels = logits.astype(mindspore.float32), label_ids.astype(mindspore.float32)  # [B, C]
        smooth = labels * (1.0 - self.smoothing) + 0.5 * self.smoothing
        # log(1 + exp(-|x|)) does not overflow; -log p = that + max(-x, 0), and -log(1 - p) = -log p + x
        of_present = ops.log1p(ops.exp(-ops.abs(logits))) + ops.relu(-logits)
        of_absent = of_present + logits
        if self.class_weights is not None:
            of_present = of_present * self.class_weights
        losses = smooth * of_present + (1.0 - smooth) * of_absent
        if self.gamma != 0.0:
            wrong = ops.sigmoid(logits * (1.0 - 2.0 * labels))  # 1 - p where the label is there, else p
            losses = losses * ops.pow(ops.maximum(wrong, _SMALLEST), self.gamma)
        return (losses.mean(-1) * weights).sum(), weights.sum()

    def compare(self, logits: Tensor, label_ids: Tensor, weights: Tensor) -> Tensor:
        """The weighted sum of divergences, for RDrop: (KL(p || q) + KL(q || p)) / 2 = (p - q) (x_p - x_q) / 2, the mean over labels."""
        first, second = halve(logits)
        divergences = (ops.sigmoid(first) - ops.sigmoid(second)) * (first - second) * 0.5
        return (divergences.mean(-1) * weights).sum()


class ChoiceLoss(nn.Cell):
    """Cross-entropy of the choices of each question, N or fewer.

    Args of construct:
        logits: float [B * N, 1], one for each choice, those of a question one after the other. label_ids: int8 [B, N], 1 for the right
            choice, 0 for others, -1 for missing ones. weights: float32 [B], 0 for filler rows.

    Returns:
        float32 scalars: sum over questions of weight * -log p(right choice), and the sum of weights.
    """

    def construct(self, logits: Tensor, label_ids: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        is_right = ops.relu(label_ids.astype(mindspore.float32))  # [B, N]
        scores = logits.astype(mindspore.float32).reshape(label_ids.shape) + self.bias(label_ids)
        return -((ops.log_softmax(scores, -1) * is_right).sum(-1) * weights).sum(), weights.sum()

    def bias(self, label_ids: Tensor) -> Tensor:
        """What is added to the scores of missing choices, whose probability is then 0; 0 for others."""
        return ops.relu(-label_ids.astype(mindspore.float32)) * MASK_BIAS

    def compare(self, logits: Tensor, label_ids: Tensor, weights: Tensor) -> Tensor:
        """The weighted sum of divergences, for RDrop."""
        scores = logits.astype(mindspore.float32).reshape((-1, label_ids.shape[1])) + repeat_rows(self.bias(label_ids), 2)
        return (divergence(scores) * weights).sum()


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

    def compare(self, logits: Tensor, label_ids: Tensor, weights: Tensor) -> Tensor:
        """The weighted sum of squared differences of each row's two scores, for RDrop."""
        first, second = halve(logits.reshape((-1,)))
        return ((first - second) * (first - second) * weights).sum()


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


class RDrop(nn.Cell):
    """WithLoss of two predictions of each row by different dropout: (loss + loss') / 2 + alpha (KL(p || p') + KL(p' || p)) / 2.

    Both copies of the batch run as one batch, in which no two values share a dropout decision.

    Args:
        loss: has also `compare(outputs, *targets)`, the weighted sum of divergences between the first and the second copy.
        alpha: weight of the divergence.

    Source: Liang et al. 2021, "R-Drop: Regularized Dropout for Neural Networks", section 2.2; the mean of both losses, as in the authors'
    code, instead of their sum, so that the learning rate keeps its meaning.
    """

    def __init__(self, network: nn.Cell, loss: nn.Cell, num_inputs: int, alpha: float):
        super().__init__(auto_prefix=False)
        self.network = network
        self.loss = loss
        self.num_inputs, self.alpha = num_inputs, alpha

    def construct(self, dropout_key: Tensor, *batch: Tensor) -> tuple[Tensor, ...]:
        twice = ()  # type: tuple[Tensor, ...]
        for column in batch:
            twice += (repeat_rows(column, 2),)
        outputs = self.network(*twice[: self.num_inputs], dropout_key)
        loss, weight = self.loss(outputs, *twice[self.num_inputs :])
        penalty = self.loss.compare(outputs, *batch[self.num_inputs :])
        return loss * 0.5 + penalty * self.alpha, weight * 0.5


class MultiSampleLoss(nn.Cell):
    """The mean loss of the predictions of a head with MultiSampleDropout.

    Args of construct:
        outputs: for `samples` copies of the batch. targets: columns of the batch.
    """

    def __init__(self, loss: nn.Cell, samples: int):
        super().__init__()
        self.loss, self.samples = loss, samples

    def construct(self, outputs: Tensor, *targets: Tensor) -> tuple[Tensor, Tensor]:
        copies = ()  # type: tuple[Tensor, ...]
        for column in targets:
            copies += (repeat_rows(column, self.samples),)
        loss, weight = self.loss(outputs, *copies)
        return loss / self.samples, weight / self.samples


def of_samples(loss: nn.Cell, samples: int) -> nn.Cell:
    """The loss of a head that makes `samples` predictions of each row."""
    return loss if samples == 1 else MultiSampleLoss(loss, samples)
