"""Comparison of an encoder with golden numbers: outputs, and gradients of the objective in tests/golden/make_*.py."""

import mindspore
import numpy as np
from mindspore import Tensor, nn

from src.formats import names
from src.models.bert import Bert

TINY = {
    "vocab_size": 30,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 12,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


class Objective(nn.Cell):
    """sum(pooled * wave) + sum(sequence * wave), and the outputs themselves, so that one graph gives them and the gradients."""

    def __init__(self, bert):
        super().__init__()
        self.bert = bert

    def construct(self, ids, mask, types, pooled_wave, sequence_wave):
        sequence, pooled = self.bert(ids, mask, types)
        return (pooled * pooled_wave).sum() + (sequence * sequence_wave).sum(), sequence, pooled


class WithLogits(nn.Cell):
    """A loss of several logits that returns them behind its own outputs, so that one graph gives logits, losses and gradients."""

    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def construct(self, logits, *targets):
        return self.loss(logits, *targets) + logits


def waves(shape):
    return np.sin(np.arange(int(np.prod(shape)), dtype=np.float64).reshape(shape)).astype(np.float32)


_TABLE, _GOLDEN_TABLE = ("layers.", ".positions.table"), ("layer.", ".self.relative_positions_encoding.table")


def _from_golden(name):
    """Our name of a parameter; Hugging Face has no learned relative positions, so the golden files name them in its style."""
    if name.endswith(_GOLDEN_TABLE[1]):
        return "bert." + name.replace(_GOLDEN_TABLE[0], _TABLE[0]).replace(_GOLDEN_TABLE[1], _TABLE[1])
    return names.from_huggingface(name)


def _to_golden(name):
    if name.endswith(_TABLE[1]):
        return name.removeprefix("bert.").replace(_TABLE[0], _GOLDEN_TABLE[0]).replace(_TABLE[1], _GOLDEN_TABLE[1])
    return names.to_huggingface(name).removeprefix("bert.")


def tensors(*arrays):
    return [Tensor(array) for array in arrays]


def assert_equals_golden(golden, kind, config, device):
    """Outputs and every gradient of a network with the golden file's weights of one kind."""
    bert = Bert(config, device)
    objective = Objective(bert)
    parameters = {parameter.name: parameter for parameter in objective.trainable_params()}
    given = {_from_golden(key.split("/", 2)[2]): golden[key] for key in golden.files if key.startswith(f"{kind}/weight/")}
    if not hasattr(bert.embeddings, "position"):
        given.pop("bert.embeddings.position.weight", None)
    assert given.keys() == parameters.keys()
    for name, array in given.items():
        parameters[name].set_data(Tensor(array))
    inputs = tensors(golden["ids"], golden["mask"], golden["types"])
    wave = waves(golden[f"{kind}/sequence"].shape) * golden["mask"][:, :, None].astype(np.float32)
    weights = list(parameters.values())
    differentiate = mindspore.value_and_grad(objective.set_train(), None, mindspore.ParameterTuple(weights), has_aux=True)
    (_, sequence, pooled), gradients = differentiate(*inputs, *tensors(waves(golden[f"{kind}/pooled"].shape), wave))
    real = golden["mask"].astype(bool)
    # float32 rounding through two layers; weights and outputs are of order one
    np.testing.assert_allclose(sequence.asnumpy()[real], golden[f"{kind}/sequence"][real], atol=5e-6)
    np.testing.assert_allclose(pooled.asnumpy(), golden[f"{kind}/pooled"], atol=5e-6)
    for parameter, gradient in zip(weights, gradients):
        expected = golden[f"{kind}/gradient/{_to_golden(parameter.name)}"]
        error = np.linalg.norm(gradient.asnumpy() - expected)
        # the key's bias does not change softmax: its gradient is 0 up to rounding
        assert error <= 1e-4 * np.linalg.norm(expected) + 1e-4, parameter.name
