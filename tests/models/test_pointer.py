"""Scores, losses and spans of a pointer: golden numbers of the published formulas, and every span by itself."""

import itertools
from pathlib import Path

import mindspore
import numpy as np
import pytest
from mindspore import Tensor
from reference import TINY, tensors

from src.config.model import MASK_BIAS, ModelConfig
from src.config.training import DeviceSettings
from src.models.losses import WithLoss
from src.tasks.ner.pointer import PointerHead, PointerLoss, PointerScores
from src.tasks.ner.serving import find_spans
from src.tasks.ner.span_rows import fill_spans

GOLDEN = np.load(Path(__file__).parent.parent / "golden" / "pointer.npz")
LENGTHS = GOLDEN["lengths"]
ROWS, LONGEST = GOLDEN["hidden"].shape[:2]
MASK = (np.arange(LONGEST) < LENGTHS[:, None]).astype(np.int32)
LABELS = np.stack([fill_spans([tuple(span) for number, *span in GOLDEN["spans"].tolist() if number == row], 6) for row in range(ROWS)])
ONES = np.ones(ROWS, np.float32)


@pytest.fixture(scope="module")
def head():
    """A PointerHead with the golden weights."""
    model = ModelConfig(**{**TINY, "hidden_size": GOLDEN["hidden"].shape[2]})
    head = PointerHead(model, DeviceSettings(), GOLDEN["logits"].shape[1], LONGEST, samples=1)
    for name, parameter in head.parameters_dict().items():
        parameter.set_data(Tensor(GOLDEN[f"weight/{name.removeprefix('head.')}"]))
    return head


def is_span(lengths, longest, types):
    """bool [B, S, C, S], True for spans between [CLS] and [SEP]."""
    found = np.zeros((len(lengths), longest, types, longest), bool)
    for row, length in enumerate(lengths):
        for first, last in itertools.combinations_with_replacement(range(1, length - 1), 2):
            found[row, first, :, last] = True
    return found


def test_scores_losses_and_gradients_equal_the_published_formulas(head):
    real = is_span(LENGTHS, LONGEST, 3)
    hidden = Tensor(GOLDEN["hidden"])
    logits = head(hidden, Tensor(MASK)).asnumpy()
    # float32 rounding of scores of up to 30
    np.testing.assert_allclose(logits[real], GOLDEN["logits"].transpose(0, 2, 1, 3)[real], atol=2e-5)
    assert logits[~real].max() < MASK_BIAS + 100
    losses, counts = (part.asnumpy() for part in PointerLoss().rows(Tensor(logits), Tensor(LABELS)))
    np.testing.assert_allclose(losses, GOLDEN["losses"], rtol=2e-6)
    assert counts.tolist() == [1, 1, 1]
    cell, parameters = WithLoss(head, PointerLoss(), 2), mindspore.ParameterTuple(head.trainable_params())
    differentiate = mindspore.value_and_grad(cell, 1, parameters, has_aux=True)
    (total, _), (to_hidden, gradients) = differentiate(None, hidden, *tensors(MASK, LABELS, ONES))
    np.testing.assert_allclose(total.asnumpy(), GOLDEN["losses"].sum(), rtol=2e-6)
    found = {parameter.name.removeprefix("head."): gradient for parameter, gradient in zip(parameters, gradients)} | {"hidden": to_hidden}
    assert {f"gradient/{name}" for name in found} == {name for name in GOLDEN.files if name.startswith("gradient/")}
    for name, gradient in found.items():
        np.testing.assert_allclose(gradient.asnumpy(), GOLDEN[f"gradient/{name}"], atol=2e-5, err_msg=name)


def test_padding_changes_neither_scores_nor_losses(head):
    """Rows as long as the batch, and shorter ones, of which [CLS], [SEP] and all behind belong to no span."""
    hidden, longest = GOLDEN["hidden"][:2], int(LENGTHS[1])
    logits = head(*tensors(hidden, MASK[:2])).asnumpy()
    alone = head(*tensors(hidden[1:, :longest], MASK[1:2, :longest])).asnumpy()
    real = is_span([longest], longest, 3)
    np.testing.assert_allclose(logits[1:, :longest, :, :longest][real], alone[real], atol=1e-5)
    losses = [PointerLoss().rows(*tensors(scores, LABELS[1:2]))[0].asnumpy() for scores in (logits[1:], alone)]
    np.testing.assert_allclose(*losses, rtol=1e-6)


@pytest.mark.parametrize("hidden_size", [32, 384])
def test_scores_begin_large_enough_to_be_learnt_whatever_the_size(hidden_size):
    head = PointerHead(ModelConfig(**{**TINY, "hidden_size": hidden_size}), DeviceSettings(), 3, LONGEST, samples=1)
    hidden = np.random.default_rng(1).standard_normal((ROWS, LONGEST, hidden_size)).astype(np.float32)  # as after a LayerNorm
    assert 0.7 < head(*tensors(hidden, MASK)).asnumpy()[is_span(LENGTHS, LONGEST, 3)].std() < 2  # 0.02 of BERT: below 0.2


def as_set(spans):
    return {tuple(span) for span in spans.tolist() if span[0] >= 0}


def random_logits(rows, longest, types, lengths, seed):
    logits = np.random.default_rng(seed).standard_normal((rows, longest, types, longest)) * 3 - 2
    return np.where(is_span(lengths, longest, types), logits, MASK_BIAS).astype(np.float32)


def test_every_span_above_0_is_found_and_no_other():
    lengths = [9, 2, 5, 3]
    logits = random_logits(4, 9, 2, lengths, seed=3)
    found = PointerScores(_Nothing(), PointerLoss()).find(Tensor(logits)).asnumpy()
    for scores, spans in zip(logits, found):
        expected = {(kind, i, j) for i, kind, j in itertools.product(range(9), range(2), range(9)) if scores[i, kind, j] > 0}
        assert as_set(spans) == as_set(find_spans(scores)) == expected
        listed = [scores[first, kind, last] for kind, first, last in spans.tolist() if kind >= 0]
        assert listed == sorted(listed, reverse=True)


def test_of_more_spans_than_two_a_token_the_best_are_found():
    logits = random_logits(1, 8, 3, [8], seed=4) + 10
    found = as_set(PointerScores(_Nothing(), PointerLoss()).find(Tensor(logits)).asnumpy()[0])
    places = np.argwhere(logits[0] > 0)
    best = sorted(places.tolist(), key=lambda place: -logits[0][tuple(place)])[:16]
    assert len(places) > 16 and found == {(kind, first, last) for first, kind, last in best} == as_set(find_spans(logits[0]))


class _Nothing(mindspore.nn.Cell):
    """The network of a PointerScores of which only `find` is used."""


def test_a_row_without_tokens_has_no_loss_and_a_row_of_weight_0_does_not_count():
    logits = random_logits(3, 5, 2, [5, 2, 4], seed=5)
    labels = np.stack([fill_spans(spans, 2) for spans in ([(1, 1, 3), (0, 2, 2)], [], [(0, 1, 1)])])
    losses, counts = (part.asnumpy() for part in PointerLoss().rows(*tensors(logits, labels)))
    assert losses[1] == 0 and counts.tolist() == [1, 0, 1]
    total, count = PointerLoss()(*tensors(logits, labels, np.array([1, 1, 0], np.float32)))
    assert count.asnumpy() == 1 and total.asnumpy() == pytest.approx(losses[0], rel=1e-6)


def test_divergence_is_that_of_each_spans_probability():
    logits = random_logits(2, 4, 2, [4, 4], seed=6)
    found = PointerLoss().compare(*tensors(logits, np.zeros((1, 1, 3), np.int32), np.array([0.5], np.float32))).asnumpy()
    p, q = 1 / (1 + np.exp(-logits[:, logits[0] > MASK_BIAS / 2].astype(np.float64)))
    both = sum((a * np.log(a / b) + (1 - a) * np.log((1 - a) / (1 - b))).sum() for a, b in ((p, q), (q, p)))
    assert found == pytest.approx(0.5 * both / 2 / 2, rel=1e-4)  # the weight; both directions and both types count by their mean
