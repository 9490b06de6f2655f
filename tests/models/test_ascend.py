"""Ascend's forms of the ops compared with the reference and the plain forms.

Their kernels exist only on Ascend: stand-ins from plain ops replace them (ascend_ops.py), so that the tests cover what uses the kernels.
A dry run shows that they compile.
"""

from pathlib import Path

import ascend_ops
import mindspore
import numpy as np
import pytest
from mindspore import Tensor
from reference import TINY, assert_equals_golden

from src.config.model import ModelConfig
from src.config.training import DeviceSettings
from src.models import ascend
from src.models.bert import Bert
from src.models.dropout import Dropout

GOLDEN = Path(__file__).parent.parent / "golden"
ASCEND = DeviceSettings(composed_ops=False, aclnn=True)
FLASH = DeviceSettings(composed_ops=False, aclnn=True, flash_attention=True)


@pytest.fixture(autouse=True)
def plain_ops(monkeypatch):
    monkeypatch.setattr(ascend, "auto_generate", ascend_ops)
    monkeypatch.setattr(ascend, "embedding", ascend_ops.Embedding())
    monkeypatch.setattr(ascend, "sum_to_type", ascend_ops.SumExt())
    monkeypatch.setattr(ascend, "FLASH_MULTIPLE", 1)


@pytest.mark.parametrize(
    ("act", "device"),
    [pytest.param("gelu", FLASH, id="flash"), pytest.param("gelu_new", ASCEND, id="plain attention", marks=pytest.mark.slow)],
)
def test_outputs_and_gradients_equal_hugging_face(act, device):
    assert_equals_golden(np.load(GOLDEN / "bert.npz"), act, ModelConfig(**TINY, hidden_act=act), device)


@pytest.mark.parametrize(("size", "expected"), [(1, 16), (128, 16), (129, 32), (50331648, 6291456), (2**31 + 1, 268435472)])
def test_a_packed_mask_has_whole_sixteens_of_bytes(size, expected):
    assert ascend.count_bytes(size) == expected


def test_each_dropout_of_the_encoder_has_a_mask_of_its_own():
    config = ModelConfig(**{**TINY, "hidden_dropout_prob": 0.5, "attention_probs_dropout_prob": 0.2})
    first, layers = ascend.EncoderMasks(config)(Tensor(np.zeros(2, np.int32)), 2, 8, mindspore.float32)
    hidden = [first, *(mask for _, *masks in layers for mask in masks)]
    assert [int(mask.asnumpy()[0]) for mask in hidden] == list(range(5))  # the stand-in numbers masks: 2 * 8 * 8 values are 16 bytes
    probs = [mask for mask, *_ in layers]
    assert [(mask.size, int(mask.asnumpy()[0])) for mask in probs] == [(32, 0), (32, 2)]  # 2 * 2 * 8 * 8 values


def test_dropout_and_its_gradient_follow_the_mask_that_is_given():
    dropout, x = Dropout(0.5, 3, ASCEND), Tensor(np.ones((2, 64), np.float32))
    for mask, expected in ((np.zeros(16, np.uint8), 0.0), (np.full(16, 255, np.uint8), 2.0)):

        def total(x, mask):
            return dropout(x, mask).sum()

        np.testing.assert_array_equal(dropout(x, Tensor(mask)).asnumpy(), np.full((2, 64), expected))
        np.testing.assert_array_equal(mindspore.grad(total)(x, Tensor(mask)).asnumpy(), np.full((2, 64), expected))


@pytest.mark.parametrize(
    ("device", "shape", "length", "kind"),
    [
        (FLASH, {"hidden_size": 32}, 16, "bool"),
        (FLASH, {"hidden_size": 32}, 24, "float32"),
        (ASCEND, {"hidden_size": 32}, 16, "float32"),
        (FLASH, {"hidden_size": 32, "position_embedding_type": "sinusoidal"}, 16, "float32"),
        (FLASH, {"hidden_size": 24}, 16, "float32"),
    ],
    ids=["flash", "length", "switched off", "relative positions", "size of a head"],
)
def test_flash_attention_is_taken_where_it_can_be(device, shape, length, kind, monkeypatch):
    monkeypatch.setattr(ascend, "FLASH_MULTIPLE", 16)
    bert = Bert(ModelConfig(**{**TINY, **shape}), device)
    mask = bert.make_mask(Tensor(np.array([[1] * (length - 2) + [0, 0]], np.int32)))
    assert str(mask.dtype).lower() == kind
    if kind == "bool":
        assert mask.shape == (1, 1, length, length)
        np.testing.assert_array_equal(mask.asnumpy()[0, 0, 5], [False] * (length - 2) + [True, True])
