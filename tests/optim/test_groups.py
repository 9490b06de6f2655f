"""Updates of parameters in groups (the form on Ascend) compared with updates of single parameters.

The ops that stack parameters, split a group and write a row back have no CPU kernel (the second in MindSpore 2.7): others replace them.
"""

import mindspore
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from src.config.training import OptimizerConfig, PrecisionConfig
from src.optim import groups
from src.optim.factory import make_optimizer
from src.train import checkpoint
from src.train.loss_scale import make_loss_scale
from src.train.step import TrainStep

SHAPES = {"a.weight": (3, 2), "a.bias": (2,), "b.weight": (2, 3), "zero.weight": (6,), "b.bias": (2,), "norm.weight": (3,)}


class Sums(nn.Cell):
    """A loss whose gradient for each parameter is the mean of `x` over rows, times the parameter's index and its values."""

    def __init__(self):
        super().__init__()
        rng = np.random.default_rng(0)
        values = {name: rng.standard_normal(shape).astype(np.float32) * (name != "zero.weight") for name, shape in SHAPES.items()}
        self.values = mindspore.ParameterTuple([Parameter(Tensor(value), name=name) for name, value in values.items()])

    def construct(self, dropout_key, x, weights):
        loss = ops.zeros_like(x)
        for number, parameter in enumerate(self.values):
            loss = loss + x * (number + 1.0) * ((parameter * parameter).sum() + parameter.sum())
        return (loss * weights).sum(), weights.sum()


def cut(x, sizes, axis):
    parts, start = (), 0
    for size in sizes:
        parts += (x[start : start + size],)
        start += size
    return parts


@pytest.fixture(autouse=True)
def ops_of_the_cpu(monkeypatch):
    monkeypatch.setattr(groups, "copy", ops.Assign())
    monkeypatch.setattr(groups, "stack", ops.stack)
    monkeypatch.setattr(groups, "split", cut)


def make_step(name, grouped, **settings):
    network = Sums()
    config = OptimizerConfig(name=name, learning_rate=0.01, schedule="constant", warmup_steps=0, weight_decay=0.1)
    loss_scale = make_loss_scale(PrecisionConfig(loss_scale_value=1024.0), "float16")
    return TrainStep(network, make_optimizer(config, network.trainable_params(), 10, grouped), loss_scale, **settings)


def train(step, batches):
    for x in batches:
        outputs = step(Tensor(np.array(x, np.float32)), Tensor(np.array([1.0, 1.0, 0.0], np.float32)))
    return [output.asnumpy() for output in outputs]


def state(step):
    return step.split_state({name: value.asnumpy() for name, value in checkpoint.lasting_parameters(step).items()})


BATCHES = ([1.0, 2.0, 3.0], [-0.5, 0.25, 9.0], [0.125, 3.0, 0.0], [2.0, -2.5, 1.0])


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("Lamb", {"clip": "global_norm", "clip_norm": 0.5}),
        pytest.param("AdamWeightDecay", {"clip": "per_parameter", "clip_norm": 0.5}, marks=pytest.mark.slow),
        pytest.param("AdamW", {"clip": "none", "accumulation_steps": 2}, marks=pytest.mark.slow),
        pytest.param("Momentum", {"clip": "global_norm", "clip_norm": 0.5}, marks=pytest.mark.slow),
    ],
)
def test_groups_are_updated_as_their_parameters(name, settings):
    single, grouped = make_step(name, False, **settings), make_step(name, True, **settings)
    np.testing.assert_allclose(train(single, BATCHES), train(grouped, BATCHES), rtol=1e-6)
    expected, found = state(single), state(grouped)
    names = [parameter.name for parameter in grouped.optimizer.parameters]
    assert set(found) == set(expected) and names != list(SHAPES)
    for key in set(expected) - {"overflowed"}:
        # sums in another order, and a primitive whose 1 - 0.999 is off by 1e-5
        np.testing.assert_allclose(found[key], expected[key], rtol=2e-5, atol=1e-6, err_msg=key)


def test_an_overflow_in_a_group_is_told_by_the_parameters_number():
    step = make_step("Lamb", True, clip="global_norm")
    names = [parameter.name for parameter in step.optimizer.parameters]
    step.optimizer.parameters[names.index("b.bias")].set_data(Tensor(np.array([np.inf, 0.0], np.float32)))
    before = state(step)
    _, rate, _, skipped = train(step, [[1.0, 1.0, 1.0]])
    assert (rate, skipped) == (0.0, 1)
    assert [name for name, flag in zip(names, step.overflowed.asnumpy()) if flag] == ["b.bias"]
    for name in SHAPES:
        np.testing.assert_array_equal(state(step)[name], before[name])


def test_a_training_in_groups_goes_on_from_a_checkpoint_without_groups(tmp_path):
    single, grouped = make_step("Lamb", False), make_step("Lamb", True)
    train(single, BATCHES[:2])
    position = checkpoint.Position(0, 2, 1, 1)
    path = checkpoint.save(tmp_path, "t", single, 0, 2, position, {}, 1)
    checkpoint.restore(path, grouped, checkpoint.read_state(path, {})[1])
    train(single, BATCHES[2:])
    train(grouped, BATCHES[2:])
    path = checkpoint.save(tmp_path, "t", grouped, 0, 4, position, {}, 1)
    found = checkpoint.read(path)
    for name, value in state(single).items():
        if name != "overflowed":
            np.testing.assert_allclose(found[name], value, rtol=2e-5, atol=1e-7, err_msg=name)


def test_arrays_of_another_optimiser_are_refused_by_their_names(tmp_path):
    single, grouped = make_step("AdamW", False), make_step("Lamb", True)
    path = checkpoint.save(tmp_path, "t", single, 0, 0, checkpoint.Position(0, 0, 1, 1), {}, 1)
    with pytest.raises(ValueError, match="another network or optimiser: adamw_m"):
        checkpoint.restore(path, grouped, checkpoint.read_state(path, {})[1])
