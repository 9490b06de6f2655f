"""Five steps with each regulariser, against its formula in float64 with gradients from differences."""

import functools

import mindspore
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from src.config.training import DeviceSettings, OptimizerConfig
from src.models.dropout import Dropout, MultiSampleDropout
from src.models.losses import ClassificationLoss, MultiSampleLoss, RDrop, RegressionLoss, WithLoss
from src.optim.factory import make_optimizer
from src.tasks.ner.network import TaggingLoss
from src.tasks.squad.network import SpanLoss
from src.train import checkpoint
from src.train.adversary import Attack
from src.train.loss_scale import LossScale
from src.train.step import TrainStep
from src.train.weight_average import WeightAverage

TABLE, WEIGHT = "bert.embeddings.word.weight", "head.dense.weight"
RATE, DROPPED, STREAM, SEED = 0.2, 0.25, 1, 5
STEPS, ROWS, LENGTH, CLASSES = 5, 4, 3, 3
TOLERANCE = 1e-6  # of the norm of a parameter: float32 rounding in five steps
LOSS_TOLERANCE = 5e-6  # relative; the logarithm in the framework's log_softmax is no better on a CPU
START = {TABLE: np.random.default_rng(1).standard_normal((7, 4)), WEIGHT: np.random.default_rng(2).standard_normal((CLASSES, 4))}
START = {name: value.astype(np.float32) for name, value in START.items()}


class Network(nn.Cell):
    """The mean of word embeddings, dropout, a dense layer: int32 [B, S] -> float32 [B, C]."""

    def __init__(self, samples=1):
        super().__init__()
        self.table, self.weight = (Parameter(Tensor(value), name=name) for name, value in START.items())
        self.dropout = MultiSampleDropout(DROPPED, STREAM, DeviceSettings(), samples)

    def construct(self, ids, dropout_key):
        x = ops.gather(self.table, ids, 0).mean(1)
        return ops.matmul(self.dropout(x, dropout_key), self.weight.T)


def make_batches(count=STEPS):
    """Columns ids, labels and weights of each micro-batch; one row is filler."""
    random = np.random.default_rng(3)
    weights = np.array([1, 1, 1, 0], np.float32)
    return [
        (random.integers(0, 7, (ROWS, LENGTH)).astype(np.int32), random.integers(0, CLASSES, ROWS).astype(np.int32), weights)
        for _ in range(count)
    ]


def make_step(cell, average=None, **settings):
    network = cell.network
    config = OptimizerConfig(
        name="Momentum", learning_rate=RATE, schedule="constant", warmup_steps=0, weight_decay=0.0, momentum=0.0, clip="none"
    )
    optimizer = make_optimizer(config, network.trainable_params(), 10)
    return TrainStep(cell, optimizer, seed=SEED, average=WeightAverage(optimizer, average) if average else None, **settings)


def train(step, batches):
    return [float(step(*map(Tensor, batch))[0].asnumpy()) for batch in batches]


@functools.cache
def mask_of(number, rows):
    """Factors of the values that dropout keeps in step `number`, 0 for the others."""
    key = Tensor(np.array([SEED, number], np.int32))
    return Dropout(DROPPED, STREAM, DeviceSettings())(Tensor(np.ones((rows, 4), np.float32)), key).asnumpy().astype(np.float64)


def predict(parameters, ids, mask, samples=1):
    """Log-probabilities of Network in float64."""
    x = np.tile(parameters[TABLE][ids].mean(1), (samples, 1)) * mask
    logits = x @ parameters[WEIGHT].T
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


def plain_loss(parameters, batch, number):
    ids, labels, weights = batch
    picked = predict(parameters, ids, mask_of(number, ROWS))[np.arange(ROWS), labels]
    return -(picked * weights).sum() / weights.sum()


def differentiate(loss, parameters, batch, number):
    """Gradients from central differences, exact to about 1e-9."""
    found = {}
    for name, value in parameters.items():
        found[name] = np.zeros_like(value)
        for place in np.ndindex(value.shape):
            ends = []
            for change in (1e-5, -1e-5):
                moved = {**parameters, name: value.copy()}
                moved[name][place] += change
                ends.append(loss(moved, batch, number))
            found[name][place] = (ends[0] - ends[1]) / 2e-5
    return found


def descend(loss, batches, gradients=None):
    """Parameters after a step for each batch, and the losses before them."""
    gradients = gradients or functools.partial(differentiate, loss)
    parameters = {name: value.astype(np.float64) for name, value in START.items()}
    losses = []
    for number, batch in enumerate(batches):
        losses.append(loss(parameters, batch, number))
        found = gradients(parameters, batch, number)
        parameters = {name: value - RATE * found[name] for name, value in parameters.items()}
    return parameters, losses


def assert_same(step, expected):
    for parameter in step.optimizer.parameters:
        wanted = expected[parameter.name]
        assert np.linalg.norm(parameter.asnumpy() - wanted) <= TOLERANCE * np.linalg.norm(wanted), parameter.name


def attack_of(epsilon, steps, size):
    """A function that adds adversarial gradients to those of the plain loss: the formula of Adversary."""

    def gradients(parameters, batch, number):
        found = differentiate(plain_loss, parameters, batch, number)
        moved, there = np.zeros_like(parameters[TABLE]), found
        for _ in range(steps):
            moved = moved + size * there[TABLE] / np.linalg.norm(there[TABLE])
            moved = moved * min(1.0, epsilon / np.linalg.norm(moved))
            there = differentiate(plain_loss, {**parameters, TABLE: parameters[TABLE] + moved}, batch, number)
        return {name: found[name] + there[name] for name in found}

    return gradients


@pytest.mark.parametrize(
    ("attack", "scale"),
    [
        (Attack(0.7, 1, 0.7), None),
        (Attack(0.5, 3, 0.3), 1024.0),  # the second step would leave the ball
        pytest.param(Attack(0.5, 2, 0.1), None, marks=pytest.mark.slow),
    ],
    ids=["fgm", "pgd", "pgd-inside"],
)
def test_five_adversarial_steps_equal_the_formula(attack, scale):
    step = make_step(WithLoss(Network(), ClassificationLoss(), 1), attack=attack, loss_scale=scale and LossScale(scale))
    batches = make_batches()
    expected, losses = descend(plain_loss, batches, attack_of(attack.epsilon, attack.steps, attack.step_size))
    assert train(step, batches) == pytest.approx(losses, rel=LOSS_TOLERANCE)
    assert_same(step, expected)


@pytest.mark.slow
def test_each_micro_batch_is_attacked_by_itself():
    step = make_step(WithLoss(Network(), ClassificationLoss(), 1), attack=Attack(0.7, 1, 0.7), accumulation_steps=2)
    batches = make_batches(2 * STEPS)
    attacked = attack_of(0.7, 1, 0.7)

    def mean_of_pair(parameters, pair, number):
        first, second = (attacked(parameters, batch, 2 * number + part) for part, batch in enumerate(pair))
        return {name: (first[name] + second[name]) / 2 for name in parameters}

    def loss_of_first(parameters, pair, number):
        return plain_loss(parameters, pair[0], 2 * number)

    expected, _ = descend(loss_of_first, list(zip(batches[::2], batches[1::2])), mean_of_pair)
    train(step, batches)
    assert_same(step, expected)


def test_an_attack_that_overflows_leaves_the_table_as_it_was():
    step = make_step(WithLoss(Network(), ClassificationLoss(), 1), attack=Attack(1e38, 1, 1e38), loss_scale=LossScale(8.0))
    ids, labels, weights = make_batches()[0]
    train(step, [(ids, labels, weights * np.float32(1e30))])
    assert step.skipped.asnumpy() == 1
    np.testing.assert_array_equal(step.network.network.table.asnumpy(), START[TABLE])


ALPHA = 0.8


def r_drop_loss(parameters, batch, number):
    ids, labels, weights = batch
    first, second = (predict(parameters, ids, mask) for mask in np.split(mask_of(number, 2 * ROWS), 2))
    divergence = (np.exp(first) * (first - second)).sum(1) + (np.exp(second) * (second - first)).sum(1)
    losses = -(first + second)[np.arange(ROWS), labels] / 2 + ALPHA * divergence / 2
    return (losses * weights).sum() / weights.sum()


def test_five_steps_of_r_drop_equal_the_formula():
    step, batches = make_step(RDrop(Network(), ClassificationLoss(), 1, ALPHA)), make_batches()
    expected, losses = descend(r_drop_loss, batches)
    assert train(step, batches) == pytest.approx(losses, rel=LOSS_TOLERANCE)
    assert_same(step, expected)


SAMPLES = 3


def multi_sample_loss(parameters, batch, number):
    ids, labels, weights = batch
    found = predict(parameters, ids, mask_of(number, SAMPLES * ROWS), SAMPLES)
    picked = found[np.arange(SAMPLES * ROWS), np.tile(labels, SAMPLES)].reshape(SAMPLES, ROWS).mean(0)
    return -(picked * weights).sum() / weights.sum()


def test_five_steps_of_multi_sample_dropout_equal_the_formula():
    step, batches = make_step(WithLoss(Network(SAMPLES), MultiSampleLoss(ClassificationLoss(), SAMPLES), 1)), make_batches()
    expected, losses = descend(multi_sample_loss, batches)
    assert train(step, batches) == pytest.approx(losses, rel=LOSS_TOLERANCE)
    assert_same(step, expected)


SMOOTHING, GAMMA = 0.2, 1.5


def smoothed_loss(parameters, batch, number):
    ids, labels, weights = batch
    found = predict(parameters, ids, mask_of(number, ROWS))
    losses = -(1 - SMOOTHING) * found[np.arange(ROWS), labels] - SMOOTHING * found.mean(1)
    return (losses * weights).sum() / weights.sum()


def focal_loss(parameters, batch, number):
    ids, labels, weights = batch
    picked = predict(parameters, ids, mask_of(number, ROWS))[np.arange(ROWS), labels]
    return (-((1 - np.exp(picked)) ** GAMMA) * picked * weights).sum() / weights.sum()


@pytest.mark.parametrize(
    ("loss", "formula"),
    [(ClassificationLoss(smoothing=SMOOTHING), smoothed_loss), (ClassificationLoss(gamma=GAMMA), focal_loss)],
    ids=["smoothing", "focal"],
)
def test_five_steps_of_a_soft_loss_equal_the_formula(loss, formula):
    step, batches = make_step(WithLoss(Network(), loss, 1)), make_batches()
    expected, losses = descend(formula, batches)
    assert train(step, batches) == pytest.approx(losses, rel=LOSS_TOLERANCE)
    assert_same(step, expected)


def test_a_certain_prediction_has_a_finite_focal_gradient():
    loss = ClassificationLoss(gamma=0.5)
    found = mindspore.grad(loss)(Tensor([[200.0, -200.0]]), Tensor(np.zeros(1, np.int32)), Tensor([1.0]))
    np.testing.assert_array_equal(found.asnumpy(), 0.0)


DECAY = 0.9


@pytest.fixture(scope="module")
def averaged():
    """A step with averages that has seen five batches, of which the fourth overflowed; and what the averages should be."""
    step = make_step(WithLoss(Network(), ClassificationLoss(), 1), average=DECAY, loss_scale=LossScale(8.0))
    averages = {name: value.astype(np.float64) for name, value in START.items()}
    for number, (ids, labels, weights) in enumerate(make_batches()):
        train(step, [(ids, labels, weights * np.float32(np.nan if number == 3 else 1))])
        if number != 3:
            now = {parameter.name: parameter.asnumpy().astype(np.float64) for parameter in step.optimizer.parameters}
            averages = {name: DECAY * value + (1 - DECAY) * now[name] for name, value in averages.items()}
    return step, averages


def test_averages_equal_the_formula_and_wait_for_updates(averaged):
    step, expected = averaged
    assert step.skipped.asnumpy() == 1
    for average, parameter in zip(step.average.averages, step.optimizer.parameters):
        wanted = expected[parameter.name]
        assert np.linalg.norm(average.asnumpy() - wanted) <= TOLERANCE * np.linalg.norm(wanted)


def test_averages_are_the_weights_of_evaluation_and_of_files(averaged, tmp_path):
    step, expected = averaged
    before = {name: value.asnumpy().copy() for name, value in step.parameters_dict().items()}
    with step.averages_used():
        for parameter in step.optimizer.parameters:
            np.testing.assert_array_equal(parameter.asnumpy(), before[f"average.{parameter.name}"])
    assert all(np.array_equal(value.asnumpy(), before[name]) for name, value in step.parameters_dict().items())
    path = checkpoint.save(tmp_path, "t", step, 0, 4, checkpoint.Position(0, 4, 1, 1), {}, 1)
    arrays = checkpoint.read(path)
    for name in START:
        np.testing.assert_allclose(arrays[name], expected[name], rtol=1e-5)
        np.testing.assert_array_equal(arrays[f"trained.{name}"], before[name])
    other = make_step(WithLoss(Network(), ClassificationLoss(), 1), average=DECAY, loss_scale=LossScale(8.0))
    checkpoint.restore(path, other, checkpoint.read_state(path, {})[1])
    assert all(np.array_equal(value.asnumpy(), before[name]) for name, value in other.parameters_dict().items())


def test_a_checkpoint_with_averages_does_not_go_on_without(averaged, tmp_path):
    path = checkpoint.save(tmp_path, "t", averaged[0], 0, 4, checkpoint.Position(0, 4, 1, 1), {}, 1)
    plain = make_step(WithLoss(Network(), ClassificationLoss(), 1), loss_scale=LossScale(8.0))
    with pytest.raises(ValueError, match=r"of another network or optimiser: trained\."):
        checkpoint.restore(path, plain, checkpoint.read_state(path, {})[1])


def two_predictions(shape):
    """Random logits of two predictions of each row, and the divergence of each position."""
    logits = np.random.default_rng(4).standard_normal((2, *shape))
    p, q = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    divergence = (p * np.log(p / q) + q * np.log(q / p)).sum(-1) / 2
    return Tensor(logits.reshape(-1, *shape[1:]).astype(np.float32)), divergence


def test_divergence_of_tags_counts_labelled_tokens():
    logits, divergence = two_predictions((2, 3, 4))
    labels, weights = np.array([[-1, 2, 0], [-1, 1, -1]], np.int32), np.array([1.0, 0.5], np.float32)
    expected = divergence[0, 1] + divergence[0, 2] + 0.5 * divergence[1, 1]
    assert TaggingLoss().compare(logits, Tensor(labels), Tensor(weights)).asnumpy() == pytest.approx(expected, rel=1e-5)


def test_divergence_of_spans_is_the_mean_of_both_ends():
    (start, first), (end, last) = two_predictions((2, 5)), two_predictions((2, 5))
    places, weights = Tensor(np.array([0, 1], np.int32)), np.array([1.0, 0.0], np.float32)
    found = SpanLoss().compare((start, end), places, places, Tensor(weights))
    assert found.asnumpy() == pytest.approx((first[0] + last[0]) / 2, rel=1e-5)


def test_divergence_of_scores_is_their_squared_difference():
    scores, weights = Tensor(np.array([[1.0], [2.0], [1.5], [4.0]], np.float32)), Tensor(np.array([1.0, 0.5], np.float32))
    assert RegressionLoss().compare(scores, weights, weights).asnumpy() == pytest.approx(0.25 + 0.5 * 4.0)


def test_classes_weigh_divergences_as_losses():
    logits, divergence = two_predictions((2, 3))
    labels, weights = Tensor(np.array([2, 0], np.int32)), Tensor(np.ones(2, np.float32))
    found = ClassificationLoss((1.0, 2.0, 4.0)).compare(logits, labels, weights)
    assert found.asnumpy() == pytest.approx(4 * divergence[0] + divergence[1], rel=1e-5)
