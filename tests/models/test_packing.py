"""Packed rows give what rows that stand alone give: logits, losses and gradients, in all tasks and heads."""

import functools
import itertools

import mindspore
import numpy as np
import pytest
from mindspore import Tensor
from reference import TINY, tensors

from src.config.model import ModelConfig
from src.models.losses import ClassificationLoss, RegressionLoss, WithLoss
from src.models.packing import Unpack, WithPacking
from src.records.packing import Packing, make_columns
from src.tasks.classifier.network import Classifier
from src.tasks.ner.network import CrfLoss, Tagger, TaggerScores, TaggingLoss
from src.tasks.pretrain.network import Pretraining, PretrainingLoss, PretrainingScores
from src.tasks.squad.network import SpanFinder, SpanLoss
from src.train import runtime

POSITIONS = {
    "bert": {},
    "sinusoidal": {"position_embedding_type": "sinusoidal", "max_relative_position": 4},
    "learned": {"position_embedding_type": "learned", "max_relative_position": 3},
}
NATIVE = runtime.settings("CPU")
PLAIN = runtime.dataclasses.replace(NATIVE, native_library=None, float32_library=None)
LENGTHS = np.array([9, 4, 7, 3, 6], np.int32)
PACKING = Packing(3, 13)  # of 29 tokens in 39 slots; packs of several rows, and empty slots
ROWS, LENGTH = len(LENGTHS), 9
RANDOM = np.random.default_rng(1)
MASK = (np.arange(LENGTH) < LENGTHS[:, None]).astype(np.int32)
IDS = RANDOM.integers(1, 30, (ROWS, LENGTH)).astype(np.int32) * MASK
TYPES = RANDOM.integers(0, 2, (ROWS, LENGTH)).astype(np.int32) * MASK
INPUTS = (IDS, MASK, TYPES)
COLUMNS = tuple(make_columns(LENGTHS, LENGTH, PACKING).values())
WEIGHTS = np.array([1, 1, 1, 1, 0], np.float32)
TAGS = np.where(np.pad(MASK[:, 2:], ((0, 0), (1, 1))) > 0, RANDOM.integers(0, 3, (ROWS, LENGTH)), -1).astype(np.int32)
CLASSES = RANDOM.integers(0, 3, ROWS).astype(np.int32)
MASKED = np.stack([RANDOM.choice(length, 2, replace=False) for length in LENGTHS]).astype(np.int32)
MASKED_TARGETS = (RANDOM.integers(1, 30, (ROWS, 2)).astype(np.int32), np.array([[1, 1], [1, 0], [1, 1], [1, 1], [1, 1]], np.float32))
CASES = {  # network, loss, inputs after the first three, targets
    "linear": (functools.partial(Classifier, num_class=3), ClassificationLoss, (), (CLASSES, WEIGHTS)),
    "cnn": (functools.partial(Classifier, num_class=3, head="cnn", batch_norm=True), ClassificationLoss, (), (CLASSES, WEIGHTS)),
    "rcnn": (functools.partial(Classifier, num_class=3, head="rcnn"), ClassificationLoss, (), (CLASSES, WEIGHTS)),
    "regression": (functools.partial(Classifier, num_class=1), RegressionLoss, (), (CLASSES.astype(np.float32), WEIGHTS)),
    "softmax": (functools.partial(Tagger, num_tags=3), TaggingLoss, (), (TAGS, WEIGHTS)),
    "crf": (functools.partial(Tagger, num_tags=3, use_crf=True), CrfLoss, (), (TAGS, WEIGHTS)),
    "lstm_crf": (functools.partial(Tagger, num_tags=3, with_lstm=True, use_crf=True), CrfLoss, (), (TAGS, WEIGHTS)),
    "span": (SpanFinder, SpanLoss, (), (MASKED[:, 0], MASKED[:, 1], WEIGHTS)),
    "pretrain": (Pretraining, PretrainingLoss, (MASKED,), (*MASKED_TARGETS, CLASSES % 2, np.float32(0.6), WEIGHTS)),
}


def make(case, positions="bert", device=NATIVE):
    """The network of a case, in which no parameter is 0, its loss, inputs and targets."""
    make_network, make_loss, more, targets = CASES[case]
    layers = {"num_hidden_layers": 2 if case == "linear" else 1}  # one case tells that every layer is packed
    network = make_network(ModelConfig(**{**TINY, **layers}, **POSITIONS[positions]), device)
    random = np.random.default_rng(3)
    for parameter in network.trainable_params():
        parameter.set_data(Tensor((random.standard_normal(parameter.shape) * 0.3).astype(np.float32)))
    return network, make_loss(), tensors(*INPUTS, *more), tensors(*targets)


def differentiate(case, positions, device, packed):
    """Loss sums, and the gradient of each parameter by name."""
    network, loss, inputs, targets = make(case, positions, device)
    cell = WithLoss(network, loss, len(inputs), packed).set_train()
    parameters = mindspore.ParameterTuple(network.trainable_params())
    columns = tensors(*COLUMNS) if packed else []
    sums, gradients = mindspore.value_and_grad(cell, None, parameters, has_aux=True)(None, *inputs, *targets, *columns)
    return [part.asnumpy() for part in sums], {p.name: gradient.asnumpy() for p, gradient in zip(parameters, gradients)}


# positions are the encoder's and cases the head's affair: each case meets one kind of positions, each kind several cases
GRID = [(case, positions, NATIVE) for case, positions in zip(CASES, itertools.cycle(POSITIONS))]
GRID += [("linear", "bert", PLAIN), ("softmax", "sinusoidal", PLAIN), ("span", "learned", PLAIN)]


@pytest.mark.parametrize(
    ("case", "positions", "device"),
    [pytest.param(*values, marks=() if values == ("linear", "bert", NATIVE) else pytest.mark.slow) for values in GRID],
    ids=lambda value: value if isinstance(value, str) else "native" if value.native_library else "plain",
)
def test_losses_and_gradients_equal_those_of_rows_alone(case, positions, device):
    (sums, gradients), (packed_sums, packed_gradients) = (differentiate(case, positions, device, packed) for packed in (False, True))
    np.testing.assert_allclose(packed_sums, sums, rtol=1e-5)
    scale = max(np.linalg.norm(gradient) for gradient in gradients.values())
    for name, gradient in gradients.items():
        # float32 rounding, also of sums whose terms cancel, such as the gradient of the keys' bias, which is 0
        error = np.linalg.norm(packed_gradients[name] - gradient)
        assert error <= 1e-5 * np.linalg.norm(gradient) + 3e-6 * scale, name


def flatten(outputs):
    return [part for output in outputs for part in flatten(output)] if isinstance(outputs, tuple) else [outputs.asnumpy()]


EVALUATED = {
    "rcnn": lambda network, loss: (network, []),
    "span": lambda network, loss: (network, []),
    "softmax": lambda network, loss: (TaggerScores(network, loss), [TAGS]),
    "crf": lambda network, loss: (TaggerScores(network, loss), [TAGS]),
    "pretrain": lambda network, loss: (PretrainingScores(network), [*MASKED_TARGETS, CLASSES % 2]),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", EVALUATED)
def test_outputs_equal_those_of_rows_alone(case):
    network, loss, inputs, _ = make(case)
    cell, more = EVALUATED[case](network, loss)
    cell.set_train(False)
    inputs = [*inputs, *tensors(*more)]
    for alone, packed in zip(flatten(cell(*inputs)), flatten(WithPacking(cell)(*inputs, *tensors(*COLUMNS))), strict=True):
        assert alone.shape == packed.shape
        is_real = MASK > 0 if alone.shape == MASK.shape else slice(None)
        if case == "crf" and alone.shape == MASK.shape:
            is_real = TAGS >= 0
        np.testing.assert_allclose(packed[is_real], alone[is_real], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("case", "positions"),
    [("span", "sinusoidal"), *(pytest.param(case, "bert", marks=pytest.mark.slow) for case in ("linear", "cnn", "rcnn", "softmax", "crf"))],
)
def test_a_row_changes_no_bit_of_another_row_s_output(case, positions):
    network, _, inputs, _ = make(case, positions)
    packed, columns = WithPacking(network).set_train(False), tensors(*COLUMNS)
    before = flatten(packed(*inputs, *columns))
    for changed in range(ROWS):
        ids = IDS.copy()
        ids[changed, : LENGTHS[changed]] = (ids[changed, : LENGTHS[changed]] + 7) % 30
        others = np.arange(ROWS) != changed
        for old, new in zip(before, flatten(packed(*tensors(ids), *inputs[1:], *columns))):
            if len(old) == ROWS:  # not the scores of a CRF
                np.testing.assert_array_equal(new[others], old[others])
                assert (new[changed] != old[changed]).any()


def test_unpacking_is_differentiated_exactly():
    x = np.random.default_rng(0).standard_normal((PACKING.num_slots, 4)).astype(np.float32)
    unpack, columns = Unpack(aclnn=False), tensors(*COLUMNS)
    is_token = MASK.reshape(-1) > 0
    unpacked = unpack(Tensor(x), *columns).asnumpy()
    np.testing.assert_array_equal(unpacked[is_token], x[COLUMNS[1].reshape(-1)][is_token])
    np.testing.assert_array_equal(unpacked.reshape(ROWS, LENGTH, 4)[1, 4:], unpacked.reshape(ROWS, LENGTH, 4)[1, :1].repeat(5, 0))
    wave = np.random.default_rng(1).standard_normal(unpacked.shape).astype(np.float32) * is_token[:, None]

    def total(x):
        return (unpack(x, *columns) * Tensor(wave)).sum()

    expected = np.zeros_like(x)
    expected[COLUMNS[1].reshape(-1)[is_token]] = wave[is_token]
    np.testing.assert_array_equal(mindspore.grad(total)(Tensor(x)).asnumpy(), expected)
