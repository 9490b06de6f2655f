from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor
from reference import TINY, assert_equals_golden, tensors

from src.config.model import ModelConfig
from src.config.training import DeviceSettings
from src.formats.positions import make_sinusoids
from src.models.bert import Bert
from src.models.positions import make_positions
from src.tasks.classifier.network import Classifier

GOLDEN = Path(__file__).parent.parent / "golden" / "nezha.npz"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sinusoidal", "learned"])
def test_nezha_equals_hugging_face_beyond_the_clip(kind):
    config = ModelConfig(**TINY, position_embedding_type=kind, max_relative_position=3)
    assert_equals_golden(np.load(GOLDEN), kind, config, DeviceSettings())


@pytest.mark.parametrize("seq_length", [1, 2, 9])
def test_both_terms_equal_their_sums(seq_length):
    config = ModelConfig(**TINY, position_embedding_type="sinusoidal", max_relative_position=3)
    positions, table = make_positions(config, DeviceSettings()), make_sinusoids(3, 4)
    random = np.random.default_rng(1)
    query = random.standard_normal((2, 2, seq_length, 4)).astype(np.float32)
    probs = random.random((2, 2, seq_length, seq_length)).astype(np.float32)
    indices = np.arange(seq_length)
    relations = table[np.clip(indices[None, :] - indices[:, None], -3, 3) + 3]
    # float32 rounding of sums of a few terms of order one
    np.testing.assert_allclose(positions.key_scores(Tensor(query)).asnumpy(), np.einsum("bnid,ijd->bnij", query, relations), atol=1e-5)
    np.testing.assert_allclose(positions.value_context(Tensor(probs)).asnumpy(), np.einsum("bnij,ijd->bnid", probs, relations), atol=1e-5)


def test_sinusoids_are_those_of_the_paper():
    table = make_sinusoids(64, 64)
    assert table.shape == (129, 64)
    for row, column in ((0, 0), (5, 0), (128, 6), (77, 63)):
        angle = row / 10000 ** (2 * (column // 2) / 64)
        assert table[row, column] == pytest.approx(np.cos(angle) if column % 2 else np.sin(angle), abs=1e-7)


def test_relative_positions_know_no_longest_sequence():
    network = Bert(ModelConfig(**{**TINY, "num_hidden_layers": 1}, position_embedding_type="sinusoidal"), DeviceSettings())
    ids = np.ones((1, 40), np.int32)  # max_position_embeddings is 12
    assert network(*tensors(ids, ids, ids * 0))[0].shape == (1, 40, 8)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sinusoidal", "learned"])
def test_padding_does_not_change_logits(kind):
    network = Classifier(ModelConfig(**TINY, position_embedding_type=kind), DeviceSettings(), 3).set_train(False)
    ids = np.arange(10, dtype=np.int32).reshape(2, 5)
    mask, types = np.ones_like(ids), np.zeros_like(ids)
    padded = [np.pad(array, ((0, 0), (0, 4)), constant_values=fill) for array, fill in ((ids, 7), (mask, 0), (types, 1))]
    np.testing.assert_allclose(network(*tensors(*padded)).asnumpy(), network(*tensors(ids, mask, types)).asnumpy(), atol=1e-6)


def test_only_learned_positions_have_a_table_in_each_layer():
    parameters = {
        kind: Bert(ModelConfig(**TINY, position_embedding_type=kind), DeviceSettings()).parameters_dict()
        for kind in ("sinusoidal", "learned")
    }
    assert "embeddings.position.weight" not in parameters["learned"]
    assert set(parameters["learned"]) - set(parameters["sinusoidal"]) == {f"encoder.layers.{n}.attention.positions.table" for n in (0, 1)}
    assert parameters["learned"]["encoder.layers.0.attention.positions.table"].shape == (33, 4)
