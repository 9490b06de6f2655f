from pathlib import Path

import mindspore
import numpy as np
import pytest
from mindspore import Tensor
from reference import TINY, tensors

from src.config.model import ModelConfig, describe_weights
from src.config.training import DeviceSettings
from src.tasks.ner.network import CrfLoss, Tagger, TaggerScores, TaggingLoss
from src.train import model_files

GOLDEN = Path(__file__).parent.parent / "golden" / "ner_bert.npz"
IDS = np.arange(1, 15, dtype=np.int32).reshape(2, 7)
MASK = np.array([[1] * 7, [1] * 4 + [0] * 3], np.int32)
TYPES = np.zeros_like(IDS)
LABELS = np.array([[-1, 0, 2, 1, 1, 0, -1], [-1, 2, 1, -1, -1, -1, -1]], np.int32)
HEADS = [
    (False, False),
    pytest.param(False, True, marks=pytest.mark.slow),
    pytest.param(True, False, marks=pytest.mark.slow),
    (True, True),
]


def make_tagger(with_lstm, use_crf):
    mindspore.set_seed(1)
    return Tagger(ModelConfig(**{**TINY, "initializer_range": 0.5}), DeviceSettings(), 3, with_lstm, use_crf).set_train(False)


def test_logits_equal_hugging_faces(shared_file):
    folder = shared_file("README.md").parent.parent / "checkpoints" / "camphr_ner_bert_tiny_hf"
    golden, found = np.load(GOLDEN), describe_weights(folder)
    assert found.labels == tuple(golden["labels"])
    network = Tagger(ModelConfig(**found.model), DeviceSettings(), 9).set_train(False)
    model_files.load_weights(network, folder, whole=True)
    logits = network(*tensors(golden["ids"], golden["mask"], golden["types"])).asnumpy()
    real = golden["mask"].astype(bool)
    np.testing.assert_allclose(logits[real], golden["logits"][real], atol=1e-6)  # float32 rounding; the logits are about 0.1


def test_a_pooler_in_the_file_is_not_needed(tmp_path):
    mindspore.set_seed(1)
    whole = [{"name": parameter.name, "data": parameter} for parameter in make_tagger(False, False).get_parameters()]
    whole.append({"name": "bert.pooler.weight", "data": Tensor(np.zeros((8, 8), np.float32))})
    mindspore.save_checkpoint(whole, str(tmp_path / "with_pooler.ckpt"))
    network = make_tagger(False, False)
    network.head.dense.weight.set_data(Tensor(np.zeros((3, 8), np.float32)))
    model_files.load_weights(network, tmp_path / "with_pooler.ckpt", whole=True)
    assert np.array_equal(network.head.dense.weight.asnumpy(), make_tagger(False, False).head.dense.weight.asnumpy())


@pytest.mark.parametrize(("with_lstm", "use_crf"), [HEADS[0], pytest.param(True, True, marks=pytest.mark.slow), *HEADS[1:3]])
def test_padding_changes_neither_tags_nor_losses(with_lstm, use_crf):
    network, loss = make_tagger(with_lstm, use_crf), CrfLoss() if use_crf else TaggingLoss()
    scores = TaggerScores(network, loss)
    tags, losses, counts = (part.asnumpy() for part in scores(*tensors(IDS, MASK, TYPES, LABELS)))
    pads = ((IDS, 9), (MASK, 0), (TYPES, 1), (LABELS, -1))
    padded = [np.pad(array, ((0, 0), (0, 5)), constant_values=fill) for array, fill in pads]
    longer_tags, longer_losses, longer_counts = (part.asnumpy() for part in scores(*tensors(*padded)))
    real = MASK.astype(bool)
    assert np.array_equal(longer_tags[:, :7][real], tags[real])
    np.testing.assert_allclose(longer_losses, losses, atol=2e-6)
    assert counts.tolist() == longer_counts.tolist() == ([1, 1] if use_crf else [5, 2])


def test_token_losses_are_those_of_labelled_tokens():
    random = np.random.default_rng(1)
    logits = random.standard_normal((2, 7, 3)).astype(np.float32)
    weights = np.array([1.0, 0.5], np.float32)
    total, count = (float(part.asnumpy()) for part in TaggingLoss()(*tensors(logits, LABELS, weights)))
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = sum(-log_probs[b, s, LABELS[b, s]] * weights[b] for b, s in np.argwhere(LABELS >= 0))
    assert total == pytest.approx(expected, rel=1e-5)
    assert count == 5 + 0.5 * 2


@pytest.mark.slow
def test_filler_rows_and_rows_without_labels_weigh_nothing():
    network = make_tagger(False, True)
    logits = network(*tensors(IDS, MASK, TYPES))
    first, _ = CrfLoss().rows(logits, Tensor(LABELS))
    none = LABELS.copy()
    none[1] = -1
    total, count = CrfLoss()(logits, *tensors(none, np.ones(2, np.float32)))
    assert float(total.asnumpy()) == pytest.approx(float(first.asnumpy()[0]), rel=1e-6)
    assert float(count.asnumpy()) == 1
    total, count = CrfLoss()(logits, *tensors(LABELS, np.array([1, 0], np.float32)))
    assert float(total.asnumpy()) == pytest.approx(float(first.asnumpy()[0]), rel=1e-6)
    assert float(count.asnumpy()) == 1


@pytest.mark.slow
def test_only_positions_between_cls_and_sep_are_decoded():
    network = make_tagger(False, True)
    tags = TaggerScores(network, CrfLoss())(*tensors(IDS, MASK, TYPES, LABELS))[0].asnumpy()
    assert not tags[:, 0].any()
    assert not tags[0, 6:].any() and not tags[1, 3:].any()
    emissions, *scores = network(*tensors(IDS, MASK, TYPES))
    alone = TaggerScores(network, CrfLoss()).best_path(emissions[1:, 1:3], Tensor(np.ones((1, 2), bool)), *scores).asnumpy()
    assert np.array_equal(tags[1, 1:3], alone[0])


@pytest.mark.parametrize("use_crf", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_row_without_tokens_has_no_loss(use_crf):
    network, loss = make_tagger(False, use_crf), CrfLoss() if use_crf else TaggingLoss()
    empty = [np.array([[2, 3]], np.int32), np.ones((1, 2), np.int32), np.zeros((1, 2), np.int32), np.full((1, 2), -1, np.int32)]
    _, losses, counts = TaggerScores(network, loss)(*tensors(*empty))
    assert losses.asnumpy().tolist() == counts.asnumpy().tolist() == [0.0]
