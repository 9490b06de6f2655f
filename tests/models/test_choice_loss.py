"""Cross-entropy of the choices of a question: Hugging Face's loss and network, and questions with fewer choices than others."""

import numpy as np
import pytest
from reference import tensors
from scipy.special import log_softmax, softmax
from test_multi_label_loss import GOLDEN, check_network

from src.models.losses import ChoiceLoss, of_samples

LOG = 5e-6  # relative; the logarithm in the framework's log_softmax is no better on a CPU
LABELS = np.array([[0, 0, 1], [1, 0, 0]], np.int8)


def test_loss_equals_hugging_faces():
    golden = np.load(GOLDEN)
    assert golden["choices/targets"].tolist() == LABELS.argmax(1).tolist()
    total, weight = ChoiceLoss()(*tensors(golden["choices/logits"].reshape(-1, 1), LABELS, np.ones(2, np.float32)))
    assert float((total / weight).asnumpy()) == pytest.approx(float(golden["choices/loss"]), rel=LOG)


@pytest.mark.slow
def test_network_and_gradients_equal_hugging_faces():
    check_network("choices", ChoiceLoss(), 1, LABELS, np.ones(2, np.float32))


def test_missing_choices_and_filler_questions_count_nothing():
    logits = np.array([1.0, 2.0, 9.0, 0.5, 3.0, 1.0], np.float32)
    labels, weights = np.array([[1, 0, -1], [0, 1, 0]], np.int8), np.array([1, 0], np.float32)
    total, weight = ChoiceLoss()(*tensors(logits[:, None], labels, weights))
    assert weight.asnumpy() == 1
    assert float(total.asnumpy()) == pytest.approx(-log_softmax([1.0, 2.0])[0], rel=LOG)


def test_divergence_is_that_of_the_choices_that_are_there():
    logits = np.array([1.0, 2.0, 9.0, 0.5, -0.5, 4.0], np.float32)  # two predictions of one question
    found = ChoiceLoss().compare(*tensors(logits[:, None], np.array([[1, 0, -1]], np.int8), np.ones(1, np.float32)))
    p, q = softmax([1.0, 2.0]), softmax([0.5, -0.5])
    assert float(found.asnumpy()) == pytest.approx(((p - q) * np.log(p / q)).sum() / 2, rel=1e-5)


def test_the_loss_of_several_samples_is_the_mean_of_theirs():
    logits = np.random.default_rng(1).standard_normal((3, 6, 1)).astype(np.float32)  # three predictions of two questions
    labels, weights = np.array([[1, 0, -1], [0, 1, 0]], np.int8), np.array([1, 0.5], np.float32)
    alone = [ChoiceLoss()(*tensors(each, labels, weights)) for each in logits]
    total, weight = of_samples(ChoiceLoss(), 3)(*tensors(logits.reshape(-1, 1), labels, weights))
    assert float(total.asnumpy()) == pytest.approx(np.mean([float(each.asnumpy()) for each, _ in alone]), rel=LOG)
    assert float(weight.asnumpy()) == pytest.approx(1.5)
