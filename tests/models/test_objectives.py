"""Masked tokens alone, and the order of two parts, against Hugging Face's networks."""

import dataclasses
import inspect

import numpy as np
import pytest
from conftest import ROOT
from mindspore import Tensor
from test_pretraining import CONFIG, tensors

from src.config.model import ModelConfig
from src.config.training import OptimizerConfig
from src.formats import names
from src.models.losses import WithLoss
from src.optim.factory import make_optimizer
from src.tasks.pretrain import task as pretrain
from src.tasks.pretrain.network import MaskedLanguageModel, MaskedLmLoss, MaskedLmScores, Pretraining, PretrainingLoss
from src.tasks.pretrain.options import PretrainOptions
from src.tasks.task import TASKS, Prepared
from src.train import runtime
from src.train.step import TrainStep

POSITIONS = {
    "bert": {},
    "nezha": {"position_embedding_type": "sinusoidal", "max_relative_position": 4},
    "nezha_zoo": {"position_embedding_type": "learned", "max_relative_position": 4},
}
ALONE = PretrainOptions(objective="mlm", model=ModelConfig(**CONFIG))
ORDER = PretrainOptions(objective="mlm_sop", model=ModelConfig(**CONFIG))


@pytest.fixture
def golden():
    return np.load(ROOT / "tests/golden/objectives.npz")


def make_network(golden):
    """The network of `--objective mlm`, with the reference's weights in all its parameters."""
    network = pretrain.network(dataclasses.replace(ALONE, device=runtime.settings("CPU", "float32")))
    assert isinstance(network, MaskedLanguageModel)
    parameters = {parameter.name: parameter for parameter in network.get_parameters()}
    given = {names.from_huggingface(key[len("weight/") :]): golden[key] for key in golden.files if key.startswith("weight/")}
    assert given.keys() == parameters.keys()
    for name, array in given.items():
        parameters[name].set_data(Tensor(array))
    return network


def read_full_rows(golden, number):
    """Columns as the pipeline returns them."""
    wanted = (*pretrain.INPUTS, "masked_lm_ids", "masked_lm_weights")
    columns = {name: golden[f"batch/{name}"][number] for name in wanted}
    columns = {name: values if values.dtype == np.float32 else values.astype(np.int32) for name, values in columns.items()}
    return columns | {"rows_per_token": np.float32(8 / columns["masked_lm_weights"].sum()), "weights": np.ones(8, np.float32)}


@pytest.mark.slow
def test_fifty_steps_of_masked_tokens_alone_follow_the_reference(golden):
    network = make_network(golden)
    targets, parts = TASKS["pretrain"].list_targets(ALONE)
    assert targets == ("masked_lm_ids", "masked_lm_weights", "rows_per_token", "weights") and parts == ("masked_lm_loss",)
    assert list(targets) == list(inspect.signature(MaskedLmLoss.construct).parameters)[2:]
    settings = {"schedule": "polynomial", "end_learning_rate": 0.0, "warmup_steps": 5, "decay_steps": 50, "weight_decay": 0.01}
    config = OptimizerConfig(name="AdamWeightDecay", learning_rate=1e-3, **settings)
    loss = pretrain.loss(ALONE)
    assert isinstance(loss, MaskedLmLoss)
    step = TrainStep(
        WithLoss(network, loss, len(pretrain.INPUTS)), make_optimizer(config, network.trainable_params(), 50), clip="global_norm"
    )
    found = []
    for number in range(50):
        total, _, _, _, masked_lm = step(*tensors(read_full_rows(golden, number), pretrain.INPUTS + targets))
        found.append((total.asnumpy().item(), masked_lm.asnumpy().item()))
    for losses in np.transpose(found):
        np.testing.assert_allclose(losses, golden["losses"], atol=1.5e-5)  # as in test_pretraining.py
    for parameter in network.get_parameters():
        if not parameter.name.endswith("key.bias"):  # its gradient is rounding alone
            norm = golden[f"norm/{names.to_huggingface(parameter.name)}"]
            np.testing.assert_allclose(np.linalg.norm(parameter.asnumpy()), norm, rtol=5e-5, err_msg=parameter.name)


@pytest.mark.slow
def test_scores_of_masked_tokens_alone_are_those_of_the_reference(golden):
    batch = read_full_rows(golden, 0)
    cell, columns = pretrain.for_evaluation(ALONE, make_network(golden))
    assert isinstance(cell, MaskedLmScores) and "next_sentence_labels" not in columns
    outputs = cell(*tensors(batch, columns)).asnumpy()
    found = pretrain.score(Prepared(ALONE, {}, None), ([*outputs],))
    assert found.keys() == {"masked_lm_loss", "masked_lm_accuracy", "perplexity", "num_examples"}
    assert found["masked_lm_loss"] == pytest.approx(golden["losses"][0], rel=1e-5)
    real = batch["masked_lm_weights"] > 0
    right = golden["masked_lm_logits"].argmax(-1) == batch["masked_lm_ids"]
    assert found["masked_lm_accuracy"] == pytest.approx(right[real].mean())


@pytest.mark.slow
@pytest.mark.parametrize("kind", POSITIONS)
def test_words_are_predicted_alike_with_and_without_the_other_head(kind, golden):
    config, device = ModelConfig(**CONFIG, **POSITIONS[kind]), runtime.settings("CPU", "float32")
    both, alone = Pretraining(config, device), MaskedLanguageModel(config, device)
    parameters = both.parameters_dict()
    for name, parameter in alone.parameters_dict().items():
        parameter.set_data(Tensor(parameters[name].asnumpy()))
    assert set(parameters) - set(alone.parameters_dict()) == {
        f"{part}.{kind}" for part in ("bert.pooler", "next_sentence") for kind in ("weight", "bias")
    }
    inputs = tensors(read_full_rows(golden, 0), pretrain.INPUTS)
    np.testing.assert_array_equal(alone(*inputs).asnumpy(), both(*inputs)[0].asnumpy())


def test_the_order_of_parts_has_the_next_sentences_network_and_alberts_numbers(golden):
    """test_pretraining.py compares that network with the numbers of pretraining.npz."""
    numbers = np.load(ROOT / "tests/golden/pretraining.npz")
    assert type(pretrain.network(ORDER)) is Pretraining and type(pretrain.loss(ORDER)) is PretrainingLoss
    np.testing.assert_allclose(numbers["next_sentence_logits"], golden["sentence_order_logits"], atol=1e-6)
    assert numbers["next_sentence_loss"] == pytest.approx(golden["sentence_order_loss"], rel=1e-6)
    rows = np.array([[3.0, 1, 2, 0.5, 1], [1.0, 2, 2, 0.1, 0]])
    found = pretrain.score(Prepared(ORDER, {}, None), ([*rows],))
    assert found["sentence_order_loss"] == pytest.approx(0.3) and found["sentence_order_accuracy"] == 0.5
    assert not any("next_sentence" in name for name in found) and found["masked_lm_loss"] == 1
    assert TASKS["pretrain"].list_targets(ORDER) == (pretrain.TARGETS, ("masked_lm_loss", "sentence_order_loss"))
