"""The network and the losses of sentence embeddings, against NumPy."""

import mindspore
import numpy as np
import pytest
from conftest import WITHOUT_DROPOUT
from mindspore import Tensor

from src.config.model import ModelConfig
from src.config.training import DeviceSettings
from src.tasks.embed.network import ContrastiveLoss, CosineLoss, Embedder

ROUNDING = 2e-6  # of float32 sums of 16 products of order 1


def draw_vectors(rows, texts, seed=1):
    return np.random.default_rng(seed).standard_normal((rows, texts, 16)).astype(np.float32)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def run_loss(loss, vectors, scores, weights):
    return [float(value.asnumpy()) for value in loss(*(Tensor(np.asarray(array, np.float32)) for array in (vectors, scores, weights)))]


def contrast(vectors, temperature):
    """-log p of each row's partner, row by row."""
    x, losses = unit(vectors.astype(np.float64)), []
    for number, row in enumerate(x):
        candidates = np.concatenate([x[:, text] for text in range(1, x.shape[1])])
        scores = candidates @ row[0] / temperature
        losses.append(np.log(np.exp(scores).sum()) - scores[number])
    return np.array(losses)


@pytest.mark.parametrize("texts", [2, 3])
def test_the_contrastive_loss_is_the_cross_entropy_among_all_partners_and_negatives(texts):
    vectors = draw_vectors(5, texts)
    total, count = run_loss(ContrastiveLoss(0.2), vectors, np.zeros(5), np.ones(5))
    assert count == 5 and total == pytest.approx(contrast(vectors, 0.2).sum(), abs=10 * ROUNDING)


def test_filler_rows_are_no_candidates():
    vectors = draw_vectors(4, 3)
    filled = np.concatenate([vectors, vectors[-1:], vectors[-1:]])
    total, count = run_loss(ContrastiveLoss(0.05), filled, np.zeros(6), [1, 1, 1, 1, 0, 0])
    assert count == 4 and total == pytest.approx(contrast(vectors, 0.05).sum(), rel=1e-5)  # cosines are divided by 0.05


def test_the_cosine_loss_is_the_squared_difference_from_the_score():
    vectors, scores = draw_vectors(3, 2), np.array([0.9, -0.2, 0.0])
    x = unit(vectors)
    expected = ((x[:2, 0] * x[:2, 1]).sum(1) - scores[:2]) ** 2
    total, count = run_loss(CosineLoss(), vectors, scores, [1, 1, 0])
    assert count == 2 and total == pytest.approx(expected.sum(), abs=ROUNDING)


@pytest.fixture(scope="module")
def batch():
    """Three texts as a batch, and the same as rows of one text: ids, mask, segments."""
    lengths = np.array([7, 2, 4])
    mask = (np.arange(7) < lengths[:, None]).astype(np.int32)
    ids = np.random.default_rng(2).integers(5, 90, (3, 7)).astype(np.int32) * mask
    return ids, mask, np.zeros_like(ids)


@pytest.fixture(scope="module", params=["mean", "cls"])
def embedder(request):
    mindspore.set_seed(1)
    np.random.seed(1)
    return Embedder(ModelConfig(**{**WITHOUT_DROPOUT, "initializer_range": 0.5}), DeviceSettings(), request.param, False)


def test_rows_of_several_texts_give_what_a_batch_of_them_does(embedder, batch):
    states = embedder.bert(*map(Tensor, batch)).asnumpy()
    ids, mask, _ = batch
    expected = (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True) if embedder.takes_mean else states[:, 0]
    alone = embedder(*map(Tensor, batch)).asnumpy()
    rows = embedder(*(Tensor(array[:, None]) for array in batch)).asnumpy()
    assert alone.shape == (3, 16) and rows.shape == (3, 1, 16)
    np.testing.assert_allclose(alone, expected, atol=1e-5)  # float32 sums over tokens
    np.testing.assert_allclose(rows[:, 0], alone, atol=1e-6)
