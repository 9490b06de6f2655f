import mindspore
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from src.config.training import OptimizerConfig, PrecisionConfig
from src.optim.factory import make_optimizer
from src.train.loss_scale import LossScale, make_loss_scale
from src.train.step import TrainStep


class Regression(nn.Cell):
    """Weighted squared error of x W + b: rows float32 [B, 3], targets [B, 2], weights [B]."""

    def __init__(self):
        super().__init__()
        self.weight = Parameter(Tensor(np.arange(6, dtype=np.float32).reshape(3, 2) / 10), name="dense.weight")
        self.bias = Parameter(Tensor(np.array([0.5, -0.5], np.float32)), name="dense.bias")

    def construct(self, dropout_key, x, y, weights):
        error = x.matmul(self.weight) + self.bias - y
        return ((error * error).sum(1) * weights).sum(), weights.sum()


def gradients_by_hand(x, y, weights):
    weight, bias = np.arange(6).reshape(3, 2) / 10, np.array([0.5, -0.5])
    error = (x.astype(np.float64) @ weight + bias - y) * weights[:, None]
    return 2 * x.T @ error / weights.sum(), 2 * error.sum(0) / weights.sum()


def make_step(optimizer="Momentum", rate=1.0, **settings):
    network = Regression()
    config = OptimizerConfig(name=optimizer, learning_rate=rate, schedule="constant", warmup_steps=0, weight_decay=0.0, momentum=0.0)
    return TrainStep(network, make_optimizer(config, network.trainable_params(), 10), **settings)


def make_batch(rows=8, seed=0):
    rng = np.random.default_rng(seed)
    weights = (rng.random(rows) > 0.3).astype(np.float32)
    weights[0] = 1.0
    return rng.standard_normal((rows, 3)).astype(np.float32), rng.standard_normal((rows, 2)).astype(np.float32), weights


def run(step, *batch):
    return [output.asnumpy() for output in step(*(Tensor(array) for array in batch))]


def state(step):
    return {name: parameter.asnumpy().copy() for name, parameter in step.parameters_dict().items()}


def test_a_step_descends_the_weighted_mean():
    step, batch = make_step(), make_batch()
    before = state(step)
    loss, rate, scale, skipped = run(step, *batch)
    after = state(step)
    for name, gradient in zip(("dense.weight", "dense.bias"), gradients_by_hand(*batch)):
        np.testing.assert_allclose(after[name], before[name] - gradient, atol=1e-6)
    assert (rate, scale, skipped) == (1.0, 1.0, 0)
    x, y, weights = batch
    error = x @ before["dense.weight"] + before["dense.bias"] - y
    np.testing.assert_allclose(loss, ((error**2).sum(1) * weights).sum() / weights.sum(), rtol=1e-6)


def test_filler_rows_change_nothing():
    step, batch = make_step(), make_batch()
    run(step, *batch)
    expected = state(step)
    step = make_step()
    x, y, weights = batch
    run(step, np.concatenate([x, x[:3] * 9]), np.concatenate([y, y[:3]]), np.concatenate([weights, np.zeros(3, np.float32)]))
    for name, value in state(step).items():
        np.testing.assert_allclose(value, expected[name], atol=1e-6, err_msg=name)


def test_global_norm_clipping_scales_all_gradients_alike():
    batch = make_batch()
    gradients = gradients_by_hand(*batch)
    norm = np.sqrt(sum((gradient**2).sum() for gradient in gradients))
    step = make_step(clip="global_norm", clip_norm=float(norm / 4))
    before = state(step)
    run(step, *batch)
    np.testing.assert_allclose(state(step)["dense.weight"], before["dense.weight"] - gradients[0] / 4, atol=1e-6)
    np.testing.assert_allclose(state(step)["dense.bias"], before["dense.bias"] - gradients[1] / 4, atol=1e-6)


def test_per_parameter_clipping_scales_each_gradient_by_itself():
    batch = make_batch()
    gradients = gradients_by_hand(*batch)
    norms = [np.linalg.norm(gradient) for gradient in gradients]
    limit = float(min(norms)) * 0.9
    step = make_step(clip="per_parameter", clip_norm=limit)
    before = state(step)
    run(step, *batch)
    for name, gradient, norm in zip(("dense.weight", "dense.bias"), gradients, norms):
        np.testing.assert_allclose(state(step)[name], before[name] - gradient * limit / norm, atol=1e-6)


def test_gradients_within_the_limit_are_left_alone():
    batch = make_batch()
    step = make_step(clip="global_norm", clip_norm=1e6)
    before = state(step)
    run(step, *batch)
    np.testing.assert_allclose(state(step)["dense.weight"], before["dense.weight"] - gradients_by_hand(*batch)[0], atol=1e-6)


@pytest.mark.parametrize("clip", ["global_norm", "none"])
def test_the_loss_scale_cancels_out(clip):
    plain, scaled = make_step(clip=clip), make_step(clip=clip, loss_scale=LossScale(1024.0))
    run(plain, *make_batch())
    assert run(scaled, *make_batch())[2] == 1024.0
    for name in ("dense.weight", "dense.bias"):
        np.testing.assert_allclose(state(scaled)[name], state(plain)[name], rtol=1e-6)


@pytest.mark.parametrize("optimizer", ["AdamWeightDecay", "AdamW", "Lamb", "Momentum"])
def test_an_overflow_changes_neither_parameter_nor_moment(optimizer):
    step = make_step(optimizer, 0.1, loss_scale=LossScale(8.0, factor=2.0, window=2, floor=1.0), clip="global_norm")
    run(step, *make_batch())
    before = state(step)
    x, y, weights = make_batch()
    x[0, 0] = np.inf
    _, rate, _, skipped = run(step, x, y, weights)
    after = state(step)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {"loss_scale", "good_steps", "skipped_steps", "overflowed"}
    assert (rate, skipped, after["loss_scale"]) == (0.0, 1, 4.0)
    run(step, *make_batch())
    assert state(step)["global_step"] == 2


def test_the_scale_grows_after_a_window_and_never_falls_below_its_floor():
    scale = LossScale(4.0, factor=2.0, window=3, floor=2.0)
    seen = []
    for finite in (1, 1, 1, 0, 1, 0, 0, 0, 1, 1, 1):
        scale(Tensor(bool(finite)))
        seen.append(float(scale.scale.asnumpy()))
    assert seen == [4, 4, 8, 4, 4, 2, 2, 2, 2, 2, 4]


def test_a_static_scale_stays():
    scale = LossScale(128.0)
    for finite in (True, False):
        scale(Tensor(finite))
    assert scale.scale.asnumpy() == 128.0


def test_scaling_is_for_float16_alone():
    assert make_loss_scale(PrecisionConfig(), "float32") is None
    assert make_loss_scale(PrecisionConfig(), "bfloat16") is None
    assert make_loss_scale(PrecisionConfig(loss_scale="none"), "float16") is None
    assert make_loss_scale(PrecisionConfig(loss_scale="static", loss_scale_value=64), "float16").factor == 1.0
    assert make_loss_scale(PrecisionConfig(), "float16").scale.asnumpy() == 2.0**32


@pytest.mark.parametrize("optimizer", ["AdamWeightDecay", "Lamb", "Momentum"])
@pytest.mark.parametrize("scaled", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["unscaled", "scaled"])
def test_micro_batches_equal_one_batch(optimizer, scaled):
    def scale():
        return LossScale(64.0, factor=2.0, window=100) if scaled else None

    whole = make_step(optimizer, 0.1, clip="global_norm", loss_scale=scale())
    parts = make_step(optimizer, 0.1, clip="global_norm", loss_scale=scale(), accumulation_steps=3)
    for seed in range(3):
        batch = make_batch(9, seed)  # micro-batches have different weights
        run(whole, *batch)
        rates = [run(parts, *(array[start : start + 3] for array in batch))[1] for start in (0, 3, 6)]
        assert [float(rate) > 0 for rate in rates] == [False, False, True]
        assert state(parts)["global_step"] == seed + 1
    for name in ("dense.weight", "dense.bias"):
        np.testing.assert_allclose(state(parts)[name], state(whole)[name], rtol=2e-6, atol=1e-6)


def test_an_overflow_in_one_micro_batch_skips_the_whole_update():
    step = make_step("AdamWeightDecay", 0.1, loss_scale=LossScale(8.0, factor=2.0), accumulation_steps=2)
    before = state(step)["dense.weight"]
    x, y, weights = make_batch()
    bad = x.copy()
    bad[0, 0] = np.inf
    run(step, bad, y, weights)
    run(step, x, y, weights)
    assert np.array_equal(state(step)["dense.weight"], before)
    run(step, x, y, weights)
    run(step, x, y, weights)
    assert np.isfinite(state(step)["dense.weight"]).all()
    assert not np.array_equal(state(step)["dense.weight"], before)
    assert mindspore.get_context("mode") == mindspore.GRAPH_MODE


class TellsKey(Regression):
    """Returns the dropout key as parts of its loss."""

    def construct(self, dropout_key, x, y, weights):
        loss, weight = super().construct(dropout_key, x, y, weights)
        seed = dropout_key[0].astype(mindspore.float32) * weight
        number = dropout_key[1].astype(mindspore.float32) * weight
        return loss, weight, seed, number


@pytest.mark.parametrize("accumulation_steps", [1, 2])
def test_every_micro_batch_has_a_key_of_its_own_also_after_an_overflow(accumulation_steps):
    network = TellsKey()
    config = OptimizerConfig(name="Momentum", learning_rate=0.1, schedule="constant", warmup_steps=0)
    optimizer = make_optimizer(config, network.trainable_params(), 10)
    step = TrainStep(network, optimizer, LossScale(8.0, 2.0, 100), accumulation_steps=accumulation_steps, seed=5)
    found = []
    for number in range(6):
        columns = make_batch(seed=number)
        if number == 2:
            columns[0][0] = np.inf  # this update is skipped
        found.append([part.item() for part in run(step, *columns)[-2:]])
    assert np.round(found, 3).tolist() == [[5, number] for number in range(6)]


LARGEST = 65504.0  # float16


class SaturatingRegression(Regression):
    """Computes like a chip that saturates: too large values become LARGEST, and a register remembers it."""

    def __init__(self, register):
        super().__init__()
        self.register = register

    def construct(self, dropout_key, x, y, weights):
        overflow = (ops.abs(x) > LARGEST).any().astype(mindspore.float32)
        x = ops.depend(ops.clamp(x, -LARGEST, LARGEST), ops.Assign()(self.register, ops.maximum(self.register, overflow)))
        return super().construct(dropout_key, x, y, weights)


class Register(nn.Cell):
    """A stand-in for OverflowStatus."""

    def __init__(self, register):
        super().__init__()
        self.register = register

    def clear(self, batch):
        return ops.depend(batch, ops.Assign()(self.register, Tensor(0.0, mindspore.float32)))

    def read(self, gradients):
        return ops.depend(self.register, gradients) * 1.0


def make_saturating_step(optimizer="AdamWeightDecay", **settings):
    register = Parameter(Tensor(1.0, mindspore.float32), name="accumulated_register", requires_grad=False)  # set by an evaluation
    network = SaturatingRegression(register)
    config = OptimizerConfig(name=optimizer, learning_rate=0.1, schedule="constant", warmup_steps=0)
    optimizer = make_optimizer(config, network.trainable_params(), 10)
    return TrainStep(network, optimizer, LossScale(8.0, 2.0, 100), status=Register(register), **settings)


def with_overflow(x, y, weights):
    x = x.copy()
    x[0, 0] = 1e30
    return x, y, weights


@pytest.mark.parametrize("clip", ["global_norm", "none"])
def test_an_update_that_saturates_is_skipped_by_the_status_of_the_chip(clip):
    step = make_saturating_step(clip=clip)
    run(step, *make_batch())
    before = state(step)
    assert (before["global_step"], before["skipped_steps"]) == (1, 0)
    _, rate, _, skipped = run(step, *with_overflow(*make_batch()))
    after = state(step)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {"loss_scale", "good_steps", "skipped_steps", "accumulated_register"}
    assert (rate, skipped, after["loss_scale"]) == (0.0, 1, 4.0)
    assert run(step, *make_batch())[1] > 0  # one overflow skips one update


@pytest.mark.parametrize("overflowing", [0, 1])
def test_the_status_of_every_micro_batch_counts_for_the_update(overflowing):
    step = make_saturating_step(accumulation_steps=2)
    before = state(step)["dense.weight"]
    for number in range(2):
        run(step, *(with_overflow(*make_batch()) if number == overflowing else make_batch()))
    assert np.array_equal(state(step)["dense.weight"], before) and state(step)["skipped_steps"] == 1
    for _ in range(2):
        run(step, *make_batch())
    assert not np.array_equal(state(step)["dense.weight"], before) and state(step)["skipped_steps"] == 1


class OtherRank(nn.Cell):
    """A stand-in for AllReduce of float32 scalars with another rank of the same weight and a status of its own."""

    def __init__(self, overflows):
        super().__init__()
        self.overflows = overflows

    def construct(self, value):
        return value + self.overflows


@pytest.mark.parametrize("overflows", [0.0, 1.0])
def test_an_update_is_skipped_where_another_rank_saturates(overflows):
    step = make_saturating_step()
    step.all_reduce, step.world_size = OtherRank(overflows), 2
    assert bool(step.is_finite((), Tensor(0.0, mindspore.float32)).asnumpy()) == (overflows == 0.0)


def test_without_a_loss_scale_no_status_is_asked_for():
    assert TrainStep(Regression(), make_step().optimizer, status=Register(None)).status is None
