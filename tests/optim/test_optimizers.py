from pathlib import Path

import mindspore
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from src.config.training import OptimizerConfig
from src.kernels import native
from src.kernels.ops import make_update
from src.optim.base import decays
from src.optim.factory import make_optimizer, make_schedule

GOLDEN = np.load(Path(__file__).parent.parent / "golden" / "optimizers.npz")
NAMES = ("dense.weight", "zero.weight", "dense.bias")
RATE, DECAY, EPS, BETA1, BETA2 = 0.02, 0.01, 1e-6, 0.9, 0.999


def run_ours(name, native_library=None, **settings):
    """The golden file's parameters after 20 updates by its gradients."""
    config = OptimizerConfig(
        name=name, learning_rate=RATE, schedule="constant", warmup_proportion=0.0, weight_decay=DECAY, eps=EPS, **settings
    )
    parameters = [Parameter(Tensor(GOLDEN[f"start/{key}"].astype(np.float32)), name=key) for key in NAMES]
    optimizer = make_optimizer(config, parameters, total_steps=20, native_library=native_library)
    factors = mindspore.mutable(tuple(Tensor(0.5, mindspore.float32) for _ in NAMES))  # 1/2 undoes doubled gradients
    for step in range(20):
        gradients = tuple(Tensor(2 * GOLDEN[f"gradient/{key}"][step].astype(np.float32)) for key in NAMES)
        optimizer(mindspore.mutable(gradients), factors)  # a plain tuple would be a constant, compiled anew at every step
    assert optimizer.global_step.asnumpy() == 20
    return {parameter.name: parameter.asnumpy() for parameter in parameters}


def run_numpy(name, momentum=0.9):
    """The same in float64, by the formulas of the papers."""
    parameters = {key: GOLDEN[f"start/{key}"].astype(np.float32).astype(np.float64) for key in NAMES}
    m, v = ({key: np.zeros_like(value) for key, value in parameters.items()} for _ in range(2))
    for step in range(20):
        for key, p in parameters.items():
            g, decay = GOLDEN[f"gradient/{key}"][step].astype(np.float32).astype(np.float64), 0.0 if key.endswith("bias") else DECAY
            if name == "Momentum":
                m[key] = momentum * m[key] + g + decay * p
                parameters[key] = p - RATE * m[key]
                continue
            m[key], v[key] = BETA1 * m[key] + (1 - BETA1) * g, BETA2 * v[key] + (1 - BETA2) * g * g
            c1, c2 = (1.0, 1.0) if name == "AdamWeightDecay" else (1 - BETA1 ** (step + 1), 1 - BETA2 ** (step + 1))
            update = m[key] / c1 / (np.sqrt(v[key] / c2) + EPS) + decay * p
            if name == "Lamb" and decay:
                norms = np.linalg.norm(p), np.linalg.norm(update)
                update = update * (norms[0] / norms[1] if norms[0] > 0 and norms[1] > 0 else 1.0)
            parameters[key] = p - RATE * update
    return parameters


@pytest.mark.parametrize(
    ("name", "library"),
    [(name, None) for name in ("AdamWeightDecay", "AdamW", "Lamb", "Momentum")]
    + [
        pytest.param(name, native.build(), marks=pytest.mark.skipif(native.build() is None, reason="no C++ compiler"), id=f"{name}-native")
        for name in ("AdamWeightDecay", "AdamW", "Lamb")
    ],
)
def test_twenty_steps_equal_the_float64_formula(name, library):
    ours, expected = run_ours(name, native_library=library), run_numpy(name)
    for key in NAMES:
        assert np.linalg.norm(ours[key] - expected[key]) <= 1e-6 * np.linalg.norm(expected[key]), key


@pytest.mark.parametrize("name", ["AdamW", "Lamb"])
def test_twenty_steps_equal_the_public_implementation(name):
    ours = run_ours(name)
    for key in NAMES:
        expected = GOLDEN[f"{name}/{key}"]
        # 2e-6: the golden run started from float64, ours from float32
        assert np.linalg.norm(ours[key] - expected) <= 2e-6 * np.linalg.norm(expected), key


def test_biases_and_normalisation_do_not_decay():
    decayed = {"bert.encoder.layers.0.output.weight", "bert.embeddings.word.weight", "head.dense.weight"}
    kept = {"bert.encoder.layers.0.output.bias", "bert.embeddings.norm.weight", "bert.encoder.layers.3.output_norm.bias"}
    assert all(decays(name) for name in decayed)
    assert not any(decays(name) for name in kept)


def rates(total, **settings):
    schedule = make_schedule(OptimizerConfig(learning_rate=0.5, **settings), total)
    return np.array([schedule(Tensor(step, mindspore.int32)).asnumpy() for step in range(total + 3)])


def test_polynomial_counts_from_step_zero_as_the_model_zoo():
    steps = np.arange(43)
    expected = (0.5 - 0.1) * (1 - np.minimum(steps, 40) / 40) ** 2 + 0.1
    expected[:10] = 0.5 * steps[:10] / 10
    np.testing.assert_allclose(rates(40, end_learning_rate=0.1, power=2.0, warmup_steps=10), expected, rtol=2e-6)


def test_linear_counts_from_the_end_of_the_warm_up_as_hugging_face():
    steps = np.arange(43)
    expected = 0.5 * np.where(steps < 4, steps / 4, np.maximum(40 - steps, 0) / 36)
    np.testing.assert_allclose(rates(40, schedule="linear", warmup_proportion=0.1), expected, rtol=2e-6, atol=1e-9)


def test_constant_stays_after_the_warm_up():
    assert rates(8, schedule="constant", warmup_steps=2).tolist() == [0, 0.25, *[0.5] * 9]


def test_decay_steps_may_end_before_the_training():
    assert rates(20, schedule="polynomial", end_learning_rate=0.25, warmup_steps=0, decay_steps=10)[10:].tolist() == [0.25] * 13


def test_noam_rises_to_its_peak_and_falls_with_the_root_of_the_step():
    steps = np.arange(23)
    expected = 0.5 * np.minimum(steps / 4, np.sqrt(4 / np.maximum(steps, 1)))
    np.testing.assert_allclose(rates(20, schedule="noam", warmup_steps=4), expected, rtol=2e-6)


def test_a_warm_up_that_never_ends_is_told(capsys):
    make_schedule(OptimizerConfig(name="AdamW", warmup_steps=10), 10)
    assert "optimizer.warmup_steps=10: the learning rate rises through all 10 updates" in capsys.readouterr().out
    make_schedule(OptimizerConfig(name="AdamW", warmup_steps=9), 10)
    assert not capsys.readouterr().out


def test_a_lamb_that_can_hardly_move_is_told(capsys):
    make_schedule(OptimizerConfig(name="Lamb", learning_rate=2e-5), 499)
    assert "optimizer.name=Lamb moves a matrix by at most learning_rate=2e-05 of its norm" in capsys.readouterr().out
    make_schedule(OptimizerConfig(name="Lamb", learning_rate=2e-5), 500)
    make_schedule(OptimizerConfig(name="AdamW", learning_rate=2e-5), 10)
    assert not capsys.readouterr().out


@pytest.mark.skipif(native.build() is None, reason="no C++ compiler")
def test_a_parameter_is_read_as_it_is_before_an_update_in_place_and_after_it():
    class Reader(nn.Cell):
        def __init__(self):
            super().__init__()
            self.parameter = Parameter(Tensor(np.full((3, 2), 4.0, np.float32)), name="weight")
            self.moment1 = Parameter(Tensor(np.zeros((3, 2), np.float32)), name="moment1")
            self.moment2 = Parameter(Tensor(np.zeros((3, 2), np.float32)), name="moment2")
            self.update = make_update(native.build(), "adam", 3, 7)
            self.constants = Tensor([0.0, 1.0, 0.0, 1.0, 0.0], mindspore.float32)  # the step is the gradient's sign

        def construct(self, gradient, one, zero):
            before = (self.parameter * gradient).sum()
            self.update(self.parameter, self.moment1, self.moment2, gradient, one, one, one, one, zero, self.constants)
            return before, (self.parameter * gradient).sum()

    reader = Reader()
    numbers = [Tensor(value, mindspore.float32) for value in (1.0, 0.0)]
    for value in (4, 3):
        found = [float(total.asnumpy()) for total in reader(Tensor(np.full((3, 2), 2.0, np.float32)), *numbers)]
        assert found == [12 * value, 12 * (value - 1)]
