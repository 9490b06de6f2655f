import numpy as np
from mindspore import Tensor

from src.models.losses import ClassificationLoss, RegressionLoss


def test_loss_is_the_weighted_sum_of_negative_log_likelihoods():
    logits = np.array([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0], [9.0, -9.0, 1.0]], np.float32)
    labels, weights = np.array([0, 2, 1], np.int32), np.array([1.0, 1.0, 0.0], np.float32)
    total, weight = ClassificationLoss()(Tensor(logits), Tensor(labels), Tensor(weights))
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(total.asnumpy(), -np.log(probs[0, 0]) - np.log(probs[1, 2]), rtol=1e-5)
    assert weight.asnumpy() == 2.0


def test_class_weights_count_in_both_sums():
    logits = np.array([[2.0, -1.0], [0.5, 0.0], [9.0, -9.0]], np.float32)
    labels, weights = np.array([0, 1, 1], np.int32), np.array([1.0, 1.0, 0.0], np.float32)
    total, weight = ClassificationLoss((0.5, 3.0))(Tensor(logits), Tensor(labels), Tensor(weights))
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(total.asnumpy(), -0.5 * np.log(probs[0, 0]) - 3.0 * np.log(probs[1, 1]), rtol=1e-5)
    assert weight.asnumpy() == 3.5


def test_regression_loss_is_the_weighted_sum_of_squared_errors():
    scores, truth, weights = (
        np.array([[2.0], [0.5], [7.0]], np.float32),
        np.array([1.0, 2.0, 0.0], np.float32),
        np.array([1.0, 1.0, 0.0], np.float32),
    )
    total, weight = RegressionLoss()(Tensor(scores), Tensor(truth), Tensor(weights))
    np.testing.assert_allclose(total.asnumpy(), 1.0 + 2.25, rtol=1e-6)
    assert weight.asnumpy() == 2.0
