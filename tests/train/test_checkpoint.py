"""Checkpoints that are refused when they are written."""

import numpy as np
import pytest
from mindspore import Tensor
from test_step import make_step

from src.train import checkpoint


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_state_that_is_not_finite_is_not_written(tmp_path, value):
    step, position = make_step("AdamWeightDecay"), checkpoint.Position(0, 8, 4, 1)
    assert checkpoint.save(tmp_path, "classifier", step, 1, 2, position, {}, 5).is_file()
    spoilt = step.optimizer.moments1[0].asnumpy().copy()
    spoilt[1, 1] = value
    step.optimizer.moments1[0].set_data(Tensor(spoilt))
    with pytest.raises(FloatingPointError, match="classifier-1_3.ckpt: not written, not finite are adam_m.dense.weight;"):
        checkpoint.save(tmp_path, "classifier", step, 1, 3, position, {}, 5)
    assert [path.name for path in tmp_path.iterdir()] == ["classifier-1_2.ckpt"]
