import functools
from pathlib import Path

import mindspore
import numpy as np
import pytest
from mindspore import Tensor, nn, ops
from reference import TINY, tensors, waves

from src.config.model import ModelConfig
from src.config.training import DeviceSettings
from src.tasks.classifier.network import Classifier, CnnHead, RcnnHead

GOLDEN = Path(__file__).parent.parent / "golden" / "heads.npz"
CONFIG = ModelConfig(**{**TINY, "hidden_size": 4})
HEADS = {
    "cnn": functools.partial(CnnHead, batch_norm=False),
    "cnn_norm": functools.partial(CnnHead, batch_norm=True),
    "rcnn": RcnnHead,
}


def from_pytorch(name, values):
    """A head's parameters by our names from {PyTorch's name: array}."""
    if name != "rcnn":
        # their convolutions are [filters, in, width], ours [filters, width * in]
        return {key: a.transpose(0, 2, 1).reshape(len(a), -1) if a.ndim == 3 else a for key, a in values.items()}
    lstm = {key.removeprefix("contexts."): values.pop(key) for key in list(values) if key.startswith("contexts.")}
    both = ("_l0", "_l0_reverse")
    values["contexts.input_weight"] = np.stack([lstm[f"weight_ih{direction}"] for direction in both])
    values["contexts.hidden_weight"] = np.stack([lstm[f"weight_hh{direction}"] for direction in both])
    values["contexts.bias"] = np.stack([lstm[f"bias_ih{direction}"] for direction in both])[:, None]
    other_bias = np.stack([lstm[f"bias_hh{direction}"] for direction in both])[:, None]
    return values, other_bias


def of_kind(golden, name, kind):
    start = f"{name}/{kind}/"
    return {key.removeprefix(start): golden[key] for key in golden.files if key.startswith(start)}


class Objective(nn.Cell):
    def __init__(self, head):
        super().__init__()
        self.head = head

    def construct(self, x, mask, wave):
        return (self.head(x, x[:, 0], mask) * wave).sum()


def make_mask(lengths, seq_length):
    return (np.arange(seq_length)[None, :] < lengths[:, None]).astype(np.int32)


@pytest.mark.parametrize(("name", "unrolled"), [*((name, False) for name in HEADS), ("rcnn", True)])
def test_logits_and_gradients_equal_pytorch(name, unrolled):
    golden = np.load(GOLDEN)
    head = HEADS[name](CONFIG, DeviceSettings(unrolled=unrolled), 3)
    weights, gradients = from_pytorch(name, of_kind(golden, name, "weight")), from_pytorch(name, of_kind(golden, name, "gradient"))
    if name == "rcnn":
        (weights, other_bias), (gradients, _) = weights, gradients
        weights["contexts.bias"] = weights["contexts.bias"] + other_bias  # ours is the sum of their two
    objective = Objective(head).set_train()
    parameters = {parameter.name.removeprefix("head."): parameter for parameter in objective.trainable_params()}
    assert parameters.keys() == weights.keys()
    for key, parameter in parameters.items():
        parameter.set_data(Tensor(weights[key]))
    x, mask = golden["x"], make_mask(golden["lengths"], 7)
    logits = head(*tensors(x, x[:, 0], mask)).asnumpy()
    np.testing.assert_allclose(logits, golden[f"{name}/logits"], atol=2e-6)  # float32 rounding
    differentiate = ops.GradOperation(get_all=True, get_by_list=True)(objective, mindspore.ParameterTuple(list(parameters.values())))
    (by_x, *_), by_weights = differentiate(*tensors(x, mask, waves(logits.shape)))
    np.testing.assert_allclose(by_x.asnumpy(), golden[f"{name}/gradient_x"], atol=1e-5)
    for key, gradient in zip(parameters, by_weights):
        np.testing.assert_allclose(gradient.asnumpy(), gradients[key], atol=1e-5, err_msg=key)


def test_batch_norm_evaluates_with_the_running_values():
    golden = np.load(GOLDEN)
    head = HEADS["cnn_norm"](CONFIG, DeviceSettings(), 3)
    for key, array in from_pytorch("cnn_norm", of_kind(golden, "cnn_norm", "weight")).items():
        dict(head.parameters_and_names())[key].set_data(Tensor(array))
    x, mask = golden["x"], make_mask(golden["lengths"], 7)
    head.set_train()(*tensors(x, x[:, 0], mask))
    evaluated = head.set_train(False)(*tensors(x, x[:, 0], mask)).asnumpy()
    np.testing.assert_allclose(evaluated, golden["cnn_norm/evaluated"], atol=2e-6)
    assert np.array_equal(head(*tensors(x, x[:, 0], mask)).asnumpy(), evaluated)


@pytest.mark.parametrize(
    ("head", "batch_norm"),
    [
        pytest.param("cnn", False, marks=pytest.mark.slow),
        pytest.param("cnn", True, marks=pytest.mark.slow),
        pytest.param("rcnn", False, marks=pytest.mark.slow),
    ],
)
def test_padding_does_not_change_logits(head, batch_norm):  # nor with the linear head: test_bert.py
    network = Classifier(ModelConfig(**TINY), DeviceSettings(), 3, head, batch_norm).set_train(False)
    ids = np.arange(10, dtype=np.int32).reshape(2, 5)
    mask, types = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]], np.int32), np.zeros_like(ids)
    padded = [np.pad(array, ((0, 0), (0, 6)), constant_values=fill) for array, fill in ((ids, 7), (mask, 0), (types, 1))]
    np.testing.assert_allclose(network(*tensors(*padded)).asnumpy(), network(*tensors(ids, mask, types)).asnumpy(), atol=1e-6)
    assert network(*tensors(ids, mask, types)).shape == (2, 3)


def test_padding_never_wins_the_maximum():
    mindspore.set_seed(1)
    x, mask = np.random.default_rng(1).standard_normal((2, 5, 4)).astype(np.float32), make_mask(np.array([5, 2]), 5)
    loud = np.where(mask[:, :, None] == 1, x, 1e3).astype(np.float32)
    for name, make in HEADS.items():
        head = make(CONFIG, DeviceSettings(), 3).set_train(False)
        np.testing.assert_allclose(
            head(*tensors(loud, x[:, 0], mask)).asnumpy(), head(*tensors(x, x[:, 0], mask)).asnumpy(), atol=1e-6, err_msg=name
        )
