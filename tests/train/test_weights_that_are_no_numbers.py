"""Weights with NaN or infinity are refused, and the tensors named, wherever they are loaded."""

import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from src.formats import mindspore_checkpoint
from src.train import checkpoint, model_files


class Weights(nn.Cell):
    def __init__(self):
        super().__init__()
        self.join_state = lambda arrays: arrays
        self.first = Parameter(Tensor(np.zeros((2, 3), np.float32)), name="bert.first")
        self.second = Parameter(Tensor(np.zeros(4, np.float32)), name="bert.second")
        self.count = Parameter(Tensor(np.zeros(1, np.int32)), name="count")


ARRAYS = {"bert.first": np.ones((2, 3), np.float32), "bert.second": np.arange(4, dtype=np.float32), "count": np.ones(1, np.int32)}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_tensors_with_nan_or_infinity_are_named(value, tmp_path):
    path, arrays = tmp_path / "model.ckpt", {**ARRAYS, "bert.second": np.array([1, 2, 3, value], np.float32)}
    mindspore_checkpoint.write(path, arrays)
    network = Weights()
    expected = r"model.ckpt: NaN or infinity in 1 of \d tensors: bert.second$"
    with pytest.raises(ValueError, match=expected):
        model_files.load_weights(network, path, whole=False)
    with pytest.raises(ValueError, match=expected):
        checkpoint.restore(path, network, arrays)
    assert not network.first.asnumpy().any()


def test_a_float64_weight_beyond_float32_is_refused(tmp_path):
    path = tmp_path / "model.ckpt"
    mindspore_checkpoint.write(path, {"bert.first": np.full((2, 3), 1e300), "bert.second": np.zeros(4)})
    with pytest.raises(ValueError, match="NaN or infinity in 1 of 2 tensors: bert.first"):
        model_files.load_weights(Weights(), path, whole=False)


def test_tensors_that_are_not_loaded_may_hold_anything(tmp_path):
    path = tmp_path / "model.ckpt"
    mindspore_checkpoint.write(path, {**ARRAYS, "head.dense.bias": np.array([np.nan], np.float32)})
    network = Weights()
    model_files.load_weights(network, path, whole=False)
    assert network.second.asnumpy().tolist() == [0, 1, 2, 3]
