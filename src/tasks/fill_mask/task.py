"""Masked words as a task: the network of an export. Nothing is trained: pretraining does that."""

from mindspore import nn

from src.tasks.fill_mask.network import WordPredictor
from src.tasks.fill_mask.options import FillMaskModel

INPUTS = ("input_ids", "input_mask", "token_type_ids", "masked_lm_positions", "masked_lm_ids")


def network(config: FillMaskModel) -> nn.Cell:
    """The network from token ids and positions to candidates and log-probabilities."""
    return WordPredictor(config.model, config.device, config.num_candidates)
