import re

import mindspore
import numpy as np
import pytest
from mindspore import Tensor, nn
from mutations import assert_bits, read_damaged

from src.config.training import DeviceSettings
from src.formats import mindspore_checkpoint, names, weights, zoo
from src.models.recurrent import BiLstm

V, H, F, P, T, D, M = 11, 8, 12, 6, 2, 4, 2  # words, hidden, feed-forward, positions, segments, head size, distances


def dense(name, size_out, size_in):
    return {f"{name}.weight": (size_out, size_in), f"{name}.bias": (size_out,)}


def norm(name):
    return {f"{name}.gamma": (H,), f"{name}.beta": (H,)}


def list_encoder(prefix, layers=2, relative=False, version="master"):
    """Name -> shape of the parameters of the zoo's BertModel in a version: r0.x, r1.x, master."""
    old = version != "master"
    post = f"{prefix}bert_embedding_postprocessor"
    shapes = {f"{prefix}bert_embedding_lookup.embedding_table": (V, H)}
    shapes[f"{post}.embedding_table" if old else f"{post}.token_type_embedding.embedding_table"] = (T, H)
    shapes[f"{post}.full_position_embeddings" if old else f"{post}.full_position_embedding.embedding_table"] = (P, H)
    shapes |= norm(f"{post}.layernorm")
    for number in range(layers):
        layer = f"{prefix}bert_encoder.layers.{number}"
        for part in ("query", "key", "value"):
            shapes |= dense(f"{layer}.attention.attention.{part}_layer", H, H)
        if relative:
            table = "embeddings_for_position" if version == "r0.x" else "embeddings_table"
            shapes[f"{layer}.attention.attention._generate_relative_positions_embeddings.{table}"] = (2 * M + 1, D)
        shapes |= dense(f"{layer}.attention.output.dense", H, H) | norm(f"{layer}.attention.output.layernorm")
        shapes |= dense(f"{layer}.intermediate", F, H)
        shapes |= dense(f"{layer}.output.dense", H, F) | norm(f"{layer}.output.layernorm")
    return shapes | dense(f"{prefix}dense", H, H)


PRETRAINING = {
    **dense("bert.cls1.dense", H, H),
    **norm("bert.cls1.layernorm"),
    "bert.cls1.output_bias": (V,),
    **dense("bert.cls2.dense", 2, H),
}
LSTM = {
    f"bert.lstm.{part}_l0{way}": shape
    for part, shape in {"weight_ih": (2 * H, H), "weight_hh": (2 * H, H // 2), "bias_ih": (2 * H,), "bias_hh": (2 * H,)}.items()
    for way in ("", "_reverse")
}
HEADS = {  # network of the zoo -> (parameters beside the encoder's, number of ours)
    "BertNetworkWithLoss": (PRETRAINING, 7),
    "BertCLS": (dense("bert.dense_1", 3, H), 2),
    "BertNER": (dense("bert.dense_1", 5, H), 2),
    "BertNER with CRF": (dense("bert.dense_1", 7, H) | {"loss.transitions": (7, 7)}, 5),
    "BertNER with CRF of r0.x": (dense("bert.dense_1", 7, H) | {"loss.transition_matrix": (7, 7)}, 5),
    "BertNER with LSTM": (dense("bert.dense_1", 5, H) | LSTM, 5),
    "BertSquad": (dense("bert.dense1", 2, H), 2),
}


def fill(shapes):
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def write(path, *shapes):
    arrays = fill({name: shape for part in shapes for name, shape in part.items()})
    mindspore_checkpoint.write(path, arrays)
    return arrays


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint_bert-40_100.ckpt"


@pytest.mark.parametrize("version", ["r0.x", "r1.x", "master"])
@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
@pytest.mark.parametrize("head", HEADS)
def test_every_parameter_of_the_zoos_networks_is_taken(head, relative, version, path):
    shapes, num_ours = HEADS[head]
    theirs = write(path, list_encoder("bert.bert.", 2, relative, version), shapes)
    found = weights.read(path)
    assert found.kind == "zoo"
    assert {origin.name for origin in found.origins} == set(theirs)
    dropped = [(origin.name, origin.remark) for origin in found.origins if origin.target is None]
    position = "full_position_embedding.embedding_table" if version == "master" else "full_position_embeddings"
    unused = [(f"bert.bert.bert_embedding_postprocessor.{position}", "not used beside relative positions")]
    assert dropped == (unused if relative else [])
    assert all(names.is_ours(name) for name in found.arrays)
    assert len(found.arrays) == 5 + 2 * 16 + 2 + num_ours + (2 - 1 if relative else 0)


def test_names_and_arrays_of_one_layer_are_those_of_ours(path):
    theirs = write(path, list_encoder("bert.bert.", 1, True))
    layer, ours = "bert.bert.bert_encoder.layers.0.", "bert.encoder.layers.0."
    expected = {
        "bert.embeddings.word.weight": "bert.bert.bert_embedding_lookup.embedding_table",
        "bert.embeddings.token_type.weight": "bert.bert.bert_embedding_postprocessor.token_type_embedding.embedding_table",
        "bert.embeddings.norm.weight": "bert.bert.bert_embedding_postprocessor.layernorm.gamma",
        "bert.embeddings.norm.bias": "bert.bert.bert_embedding_postprocessor.layernorm.beta",
        f"{ours}attention.query.weight": f"{layer}attention.attention.query_layer.weight",
        f"{ours}attention.query.bias": f"{layer}attention.attention.query_layer.bias",
        f"{ours}attention.key.weight": f"{layer}attention.attention.key_layer.weight",
        f"{ours}attention.key.bias": f"{layer}attention.attention.key_layer.bias",
        f"{ours}attention.value.weight": f"{layer}attention.attention.value_layer.weight",
        f"{ours}attention.value.bias": f"{layer}attention.attention.value_layer.bias",
        f"{ours}attention.positions.table": f"{layer}attention.attention._generate_relative_positions_embeddings.embeddings_table",
        f"{ours}attention.output.weight": f"{layer}attention.output.dense.weight",
        f"{ours}attention.output.bias": f"{layer}attention.output.dense.bias",
        f"{ours}attention_norm.weight": f"{layer}attention.output.layernorm.gamma",
        f"{ours}attention_norm.bias": f"{layer}attention.output.layernorm.beta",
        f"{ours}intermediate.weight": f"{layer}intermediate.weight",
        f"{ours}intermediate.bias": f"{layer}intermediate.bias",
        f"{ours}output.weight": f"{layer}output.dense.weight",
        f"{ours}output.bias": f"{layer}output.dense.bias",
        f"{ours}output_norm.weight": f"{layer}output.layernorm.gamma",
        f"{ours}output_norm.bias": f"{layer}output.layernorm.beta",
        "bert.pooler.weight": "bert.bert.dense.weight",
        "bert.pooler.bias": "bert.bert.dense.bias",
    }
    assert_bits(weights.read(path).arrays, {name: theirs[other] for name, other in expected.items()})


@pytest.mark.parametrize("prefix", ["bert.", "bert.bert.", "bert.bert.bert."])
def test_any_number_of_wrappers_may_stand_around_the_encoder(prefix, path):
    write(path, list_encoder(prefix))
    assert len(weights.read(path).arrays) == 5 + 2 * 16 + 2


STATE = ["global_step", "learning_rate", "loss_scale", "scale_sense", "current_iterator_step", "last_overflow_iterator_step", "epoch_num"]
STATE += ["step_num", "momentum", "total_num", "start_num", "end_num", "beta1_power", "fake_lr", "bert.unknown.weight"]


def test_state_of_a_training_is_left_out(path):
    encoder = list_encoder("bert.bert.", 1, True)
    slots = {f"{prefix}.{name}": shape for prefix in ("adam_m", "adam_v", "lamb_m", "lamb_v", "moments") for name, shape in encoder.items()}
    state = dict.fromkeys(STATE, (1,)) | slots
    theirs = write(path, state, encoder)
    found = weights.read(path)
    assert len(found.arrays) == len(encoder) - 1
    remarks = {origin.name: origin.remark for origin in found.origins if origin.target is None}
    assert {name for name, remark in remarks.items() if remark == "state of a training, or unknown"} == set(state)
    np.testing.assert_array_equal(found.arrays["bert.pooler.weight"], theirs["bert.bert.dense.weight"])


def test_the_joined_lstm_computes_as_mindspores(path):
    theirs = nn.LSTM(H, H // 2, batch_first=True, bidirectional=True)
    arrays = fill({f"bert.lstm.{parameter.name}": parameter.shape for parameter in theirs.get_parameters()})
    assert arrays.keys() == LSTM.keys()
    for parameter in theirs.get_parameters():
        parameter.set_data(Tensor(arrays[f"bert.lstm.{parameter.name}"]))
    mindspore_checkpoint.write(path, fill(list_encoder("bert.bert.", 1)) | arrays)
    found, ours = weights.read(path), BiLstm(H, H // 2, DeviceSettings())
    for parameter in ours.get_parameters():
        parameter.set_data(Tensor(found.arrays[f"head.contexts.{parameter.name}"]))
    assert {origin.remark for origin in found.origins if origin.name in arrays} == {"joined"}
    x = Tensor(np.random.default_rng(1).standard_normal((3, 7, H)).astype(np.float32))
    state = Tensor(np.zeros((2, 3, H // 2), np.float32))
    expected = theirs(x, (state, state))[0].asnumpy()
    np.testing.assert_allclose(ours(x, Tensor(np.ones((3, 7), np.int32))).asnumpy(), expected, atol=2e-5)  # its kernel approximates tanh
    assert np.abs(expected[:, :, : H // 2] - expected[:, ::-1, H // 2 :]).max() > 0.1  # two directions that differ


@pytest.mark.parametrize("absent", LSTM)
def test_an_lstm_that_is_not_whole_is_refused(absent, path):
    write(path, list_encoder("bert.bert.", 1), {name: shape for name, shape in LSTM.items() if name != absent})
    with pytest.raises(ValueError, match=f"^{path}: its LSTM has 7 of 8 parameters"):
        weights.read(path)


def test_a_crf_is_split_in_three(path):
    theirs = write(path, list_encoder("bert.bert.", 1), {"loss.transitions": (5, 5)})["loss.transitions"]
    found = weights.read(path)
    np.testing.assert_array_equal(found.arrays["head.crf.transitions"], theirs[:3, :3].T)  # theirs: [to, from], <START>, <STOP> last
    np.testing.assert_array_equal(found.arrays["head.crf.start"], theirs[:3, 0])  # from [CLS], which is O
    np.testing.assert_array_equal(found.arrays["head.crf.end"], theirs[0, :3])  # to [SEP]
    assert {origin.remark for origin in found.origins if origin.name == "loss.transitions"} == {"split"}


CONTRADICTIONS = {
    "a CRF that is none": {"loss.transitions": (5,)},
    "an LSTM of two sizes": LSTM | {"bert.lstm.bias_hh_l0": (3,)},
    "two directions of two sizes": LSTM | {"bert.lstm.weight_ih_l0": (4, 4)},
    "a parameter twice": {"bert.bert_embedding_lookup.embedding_table": (V, H)},
}


@pytest.mark.parametrize("added", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_contradictions_are_reported_with_the_file(added, path):
    write(path, list_encoder("bert.bert.", 1), added)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        weights.read(path)


def test_the_networks_shape_is_read_from_its_tensors(path):
    write(path, list_encoder("bert.bert.", 3), PRETRAINING)
    expected = {"vocab_size": V, "hidden_size": H, "num_hidden_layers": 3, "num_attention_heads": 1, "intermediate_size": F}
    expected |= {"type_vocab_size": T, "max_position_embeddings": P, "hidden_act": "gelu_tanh", "layer_norm_eps": 1e-7}
    assert zoo.describe(path) == expected
    write(path, list_encoder("bert.bert.", 12, True, "r0.x"))
    expected |= {"num_hidden_layers": 12, "num_attention_heads": H // D, "position_embedding_type": "learned", "max_relative_position": M}
    assert zoo.describe(path) == expected


def test_heads_have_64_dimensions_where_positions_do_not_tell(path):
    arrays = fill(list_encoder("bert.bert.", 1)) | {"bert.bert.bert_embedding_lookup.embedding_table": np.zeros((2, 768), np.float32)}
    mindspore_checkpoint.write(path, arrays)
    assert zoo.describe(path)["num_attention_heads"] == 12


def test_other_checkpoints_have_no_shape_of_the_zoo(path):
    mindspore_checkpoint.write(path, fill({"bert.encoder.layers.0.output.weight": (H, F), "bert.dense.weight": (H, H)}))
    assert zoo.describe(path) == {}
    assert weights.read(path).kind == "mindspore"


@pytest.mark.parametrize(
    ("absent", "told"),
    [
        (r"embedding_lookup", "without bert.embeddings.word.weight"),
        (r"token_type_embedding", "without bert.embeddings.token_type.weight"),
        (r"layers\.1\.", r"without bert.encoder.layers.1$"),
        (r"layers\.0\.", r"without bert.encoder.layers.0"),
        (r"layers\.\d\.", r"without bert.encoder.layers.0.intermediate.weight"),
        (r"0\.intermediate\.weight", "without bert.encoder.layers.0.intermediate.weight"),
        (r"0\..*embeddings_table", "without bert.encoder.layers.0.attention.positions.table"),
    ],
)
def test_a_partial_checkpoint_says_what_is_absent(absent, told, path):
    write(path, {name: shape for name, shape in list_encoder("bert.bert.", 3, True).items() if not re.search(absent, name)})
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}: a checkpoint of the model zoo {told}"):
        zoo.describe(path)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("bert_embedding_lookup.embedding_table", (V,)),
        ("bert_embedding_postprocessor.token_type_embedding.embedding_table", ()),
        ("bert_encoder.layers.0.intermediate.weight", ()),
        ("bert_encoder.layers.0.attention.attention._generate_relative_positions_embeddings.embeddings_table", (5, 0)),
        ("bert_encoder.layers.0.attention.attention._generate_relative_positions_embeddings.embeddings_table", (5,)),
    ],
)
def test_impossible_shapes_are_reported(name, shape, path):
    write(path, list_encoder("bert.bert.", 1, True) | {f"bert.bert.{name}": shape})
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}: .* of shapes that no network has"):
        zoo.describe(path)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # two damaged biases are added
def test_damage_is_reported(path):
    lookup = "bert.bert.bert_embedding_lookup.embedding_table"
    theirs = fill({lookup: (2, 2), **dict.fromkeys(LSTM, (3,)), "loss.transitions": (3, 3)})
    mindspore.save_checkpoint([{"name": name, "data": Tensor(array)} for name, array in theirs.items()], str(path))  # no checksum
    outcomes = {found is None for _, found in read_damaged(path, lambda: weights.read(path).arrays, 4)}
    assert outcomes == {True, False}
    write(path, {name: shape for name, shape in list_encoder("bert.bert.", 1, True).items() if "attention.attention.q" not in name})
    for _ in read_damaged(path, lambda: zoo.describe(path) and {}, 5, 300):
        pass
