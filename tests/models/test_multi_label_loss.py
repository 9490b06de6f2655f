"""Binary cross-entropy of several labels a text: Hugging Face's loss and network, PyTorch's weights, and the formulas in NumPy."""

from pathlib import Path

import mindspore
import numpy as np
import pytest
from mindspore import Tensor, nn, ops
from reference import TINY, tensors
from scipy.special import expit

from src.config.model import ModelConfig
from src.config.training import DeviceSettings
from src.formats import names
from src.models.losses import MultiLabelLoss, WithLoss
from src.tasks.classifier.network import Classifier

GOLDEN = Path(__file__).parent.parent / "golden" / "label_heads.npz"
ROUNDING = 2e-6  # relative, of float32
ROWS = np.ones(6, np.float32)


class Mean(nn.Cell):
    """The loss divided by the weight, as the training step does."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def construct(self, *columns):
        total, weight = self.loss(*columns)
        return total / weight


def differentiate(loss, *columns):
    """A loss and its gradient by the logits."""
    value, gradient = mindspore.value_and_grad(Mean(loss), 0)(*tensors(*columns))
    return float(value.asnumpy()), gradient.asnumpy()


def compute(logits, labels, weights=1.0, smoothing=0.0, gamma=0.0):
    """The loss of each row in float64."""
    logits = logits.astype(np.float64)
    smooth = labels * (1 - smoothing) + smoothing / 2
    losses = -(smooth * weights * np.log(expit(logits)) + (1 - smooth) * np.log(expit(-logits)))
    return (losses * np.where(labels == 1, expit(-logits), expit(logits)) ** gamma).mean(1)


def test_loss_equals_hugging_faces_and_pytorchs_with_weights():
    golden = np.load(GOLDEN)
    logits, labels = golden["labels/logits"], golden["labels/targets"].astype(np.int8)
    value, _ = differentiate(MultiLabelLoss(), logits, labels, ROWS)
    assert value == pytest.approx(float(golden["labels/loss"]), rel=ROUNDING)
    value, gradient = differentiate(MultiLabelLoss(golden["weighted/weights"]), logits, labels, ROWS)
    assert value == pytest.approx(float(golden["weighted/loss"]), rel=ROUNDING)
    np.testing.assert_allclose(gradient, golden["weighted/gradient"], atol=1e-7)


def check_network(kind, loss, num_class, labels, weights):
    """Compare logits and gradients of a network with the golden file's of this kind."""
    golden = np.load(GOLDEN)
    network = Classifier(ModelConfig(**TINY), DeviceSettings(), num_class)
    parameters = {parameter.name: parameter for parameter in network.trainable_params()}  # before others hold it and change the names
    given = {key.removeprefix(f"{kind}/weight/"): golden[key] for key in golden.files if key.startswith(f"{kind}/weight/")}
    assert {names.from_huggingface(name) for name in given} == parameters.keys()
    for name, array in given.items():
        parameters[names.from_huggingface(name)].set_data(Tensor(array))
    inputs = tensors(golden["ids"], golden["mask"], golden["types"])
    np.testing.assert_allclose(network(*inputs).asnumpy(), golden[f"{kind}/logits"].reshape(-1, num_class), atol=5e-6)
    cell, trained = Mean(WithLoss(network, loss, 3)).set_train(), mindspore.ParameterTuple(list(parameters.values()))
    key = Tensor(np.zeros(2, np.int32))
    gradients = ops.GradOperation(get_by_list=True)(cell, trained)(key, *inputs, *tensors(labels, weights))
    for name, gradient in zip(parameters, gradients):
        expected = golden[f"{kind}/gradient/{names.to_huggingface(name)}"]
        assert np.linalg.norm(gradient.asnumpy() - expected) <= 1e-4 * np.linalg.norm(expected) + 1e-6, name


@pytest.mark.slow
def test_network_and_gradients_equal_hugging_faces():
    check_network("labels", MultiLabelLoss(), 4, np.load(GOLDEN)["labels/targets"].astype(np.int8), ROWS)


@pytest.mark.parametrize("settings", [{"smoothing": 0.2}, {"gamma": 2.0}, {"gamma": 0.5}])
def test_smoothing_and_focus_follow_their_formulas(settings):
    random = np.random.default_rng(1)
    logits, labels = random.normal(size=(6, 4)).astype(np.float32) * 3, random.integers(0, 2, (6, 4)).astype(np.int8)
    class_weights, rows = np.array([1, 2, 0.5, 4], np.float32), np.array([1, 1, 1, 1, 1, 0], np.float32)
    total, weight = MultiLabelLoss(class_weights, **settings)(*tensors(logits, labels, rows))
    assert weight.asnumpy() == 5
    assert float(total.asnumpy()) == pytest.approx((compute(logits, labels, class_weights, **settings) * rows).sum(), rel=1e-5)


def test_certain_logits_have_finite_losses_and_gradients():
    logits, labels = np.array([[200.0, -200.0, 200.0, -200.0]], np.float32), np.array([[1, 0, 0, 1]], np.int8)
    value, gradient = differentiate(MultiLabelLoss(gamma=0.5), logits, labels, ROWS[:1])
    assert value == pytest.approx(100, rel=1e-6) and np.isfinite(gradient).all()


def test_divergence_is_that_of_bernoulli_variables():
    random = np.random.default_rng(2)
    logits, rows = random.normal(size=(4, 3)).astype(np.float32), np.array([1, 0], np.float32)
    found = MultiLabelLoss().compare(*tensors(logits, np.zeros((2, 3), np.int8), rows))
    p, q = expit(logits[0].astype(np.float64)), expit(logits[2].astype(np.float64))
    both = [(p, q), (q, p)]
    expected = sum((a * np.log(a / b) + (1 - a) * np.log((1 - a) / (1 - b))).mean() for a, b in both) / 2
    assert float(found.asnumpy()) == pytest.approx(expected, rel=1e-5)
