import pytest

from src.formats import names

SUFFIXES = ("weight", "bias")
LAYER = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense", "attention.output.LayerNorm"]
LAYER += ["intermediate.dense", "output.dense", "output.LayerNorm"]
HUGGINGFACE = [
    *(f"bert.embeddings.{table}_embeddings.weight" for table in ("word", "position", "token_type")),
    *(f"bert.embeddings.LayerNorm.{suffix}" for suffix in SUFFIXES),
    *(f"bert.encoder.layer.{number}.{part}.{suffix}" for number in (0, 7, 11, 23) for part in LAYER for suffix in SUFFIXES),
    *(f"{part}.{suffix}" for part in ("bert.pooler.dense", "classifier") for suffix in SUFFIXES),
]
SPAN = [f"qa_outputs.{suffix}" for suffix in SUFFIXES]
PRETRAINING = [
    f"cls.{part}.{suffix}"
    for part in ("predictions.transform.dense", "predictions.transform.LayerNorm", "seq_relationship")
    for suffix in SUFFIXES
]
PRETRAINING.append("cls.predictions.bias")


def test_hugging_faces_names_map_one_to_one_to_ours():
    theirs = HUGGINGFACE + PRETRAINING + SPAN
    ours = [names.from_huggingface(name) for name in theirs]
    assert len(set(ours)) == len(theirs)
    assert not set(ours) & set(theirs)
    assert [names.to_huggingface(name) for name in ours] == theirs


def list_parameters(make, **changes):
    """Names of the parameters of a tiny network of two layers: `make(ModelConfig, DeviceSettings)`."""
    from src.config.model import ModelConfig
    from src.config.training import DeviceSettings

    tiny = {"vocab_size": 5, "hidden_size": 4, "num_attention_heads": 2, "intermediate_size": 3, "max_position_embeddings": 4}
    return {parameter.name for parameter in make(ModelConfig(**tiny, num_hidden_layers=2, **changes), DeviceSettings()).get_parameters()}


def test_names_are_those_of_the_network():
    from src.tasks.classifier.network import Classifier

    ours = list_parameters(lambda *settings: Classifier(*settings, 2))
    theirs = {names.to_huggingface(name) for name in ours}
    assert theirs == {name for name in HUGGINGFACE if ".layer." not in name or ".layer.0." in name} | {
        f"bert.encoder.layer.1.{part}.{suffix}" for part in LAYER for suffix in SUFFIXES
    }
    assert {names.from_huggingface(name) for name in theirs} == ours


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("bert.embeddings.LayerNorm.gamma", "bert.embeddings.norm.weight"),
        ("bert.encoder.layer.3.output.LayerNorm.beta", "bert.encoder.layers.3.output_norm.bias"),
        ("embeddings.word_embeddings.weight", "bert.embeddings.word.weight"),
        ("encoder.layer.0.attention.self.key.bias", "bert.encoder.layers.0.attention.key.bias"),
        ("pooler.dense.weight", "bert.pooler.weight"),
        ("cls.predictions.bias", "masked_lm.bias"),
        ("bert.encoder.layer.3.intermediate.dense_act.weight", "bert.encoder.layers.3.intermediate.weight"),
        ("bert.pooler.dense_act.bias", "bert.pooler.bias"),
        ("module.bert.embeddings.word_embeddings.weight", "bert.embeddings.word.weight"),
        ("cls.predictions.decoder.weight", None),
        ("cls.predictions.decoder.bias", None),
        ("bert.embeddings.position_ids", None),
        ("embeddings.position_ids", None),
        ("notembeddings.position_ids", "notembeddings.position_ids"),
        ("bert.encoder.layer.x.output.dense.weight", "bert.encoder.layer.x.output.dense.weight"),
        ("bert.encoder.layer.1.output.dense.weight.more", "bert.encoder.layer.1.output.dense.weight.more"),
    ],
)
def test_spelling_is_translated(theirs, ours):
    assert names.from_huggingface(theirs) == ours


TENSORFLOW = {  # google-research/bert: modeling.py, run_pretraining.py, run_squad.py
    "bert.embeddings.word.weight": "bert/embeddings/word_embeddings",
    "bert.embeddings.position.weight": "bert/embeddings/position_embeddings",
    "bert.embeddings.token_type.weight": "bert/embeddings/token_type_embeddings",
    "bert.embeddings.norm.weight": "bert/embeddings/LayerNorm/gamma",
    "bert.embeddings.norm.bias": "bert/embeddings/LayerNorm/beta",
    "bert.encoder.layers.11.attention.query.weight": "bert/encoder/layer_11/attention/self/query/kernel",
    "bert.encoder.layers.11.attention.query.bias": "bert/encoder/layer_11/attention/self/query/bias",
    "bert.encoder.layers.11.attention.key.weight": "bert/encoder/layer_11/attention/self/key/kernel",
    "bert.encoder.layers.11.attention.key.bias": "bert/encoder/layer_11/attention/self/key/bias",
    "bert.encoder.layers.11.attention.value.weight": "bert/encoder/layer_11/attention/self/value/kernel",
    "bert.encoder.layers.11.attention.value.bias": "bert/encoder/layer_11/attention/self/value/bias",
    "bert.encoder.layers.11.attention.output.weight": "bert/encoder/layer_11/attention/output/dense/kernel",
    "bert.encoder.layers.11.attention.output.bias": "bert/encoder/layer_11/attention/output/dense/bias",
    "bert.encoder.layers.11.attention_norm.weight": "bert/encoder/layer_11/attention/output/LayerNorm/gamma",
    "bert.encoder.layers.11.attention_norm.bias": "bert/encoder/layer_11/attention/output/LayerNorm/beta",
    "bert.encoder.layers.11.intermediate.weight": "bert/encoder/layer_11/intermediate/dense/kernel",
    "bert.encoder.layers.11.intermediate.bias": "bert/encoder/layer_11/intermediate/dense/bias",
    "bert.encoder.layers.11.output.weight": "bert/encoder/layer_11/output/dense/kernel",
    "bert.encoder.layers.11.output.bias": "bert/encoder/layer_11/output/dense/bias",
    "bert.encoder.layers.11.output_norm.weight": "bert/encoder/layer_11/output/LayerNorm/gamma",
    "bert.encoder.layers.11.output_norm.bias": "bert/encoder/layer_11/output/LayerNorm/beta",
    "bert.pooler.weight": "bert/pooler/dense/kernel",
    "bert.pooler.bias": "bert/pooler/dense/bias",
    "masked_lm.dense.weight": "cls/predictions/transform/dense/kernel",
    "masked_lm.dense.bias": "cls/predictions/transform/dense/bias",
    "masked_lm.norm.weight": "cls/predictions/transform/LayerNorm/gamma",
    "masked_lm.norm.bias": "cls/predictions/transform/LayerNorm/beta",
    "masked_lm.bias": "cls/predictions/output_bias",
    "next_sentence.weight": "cls/seq_relationship/output_weights",
    "next_sentence.bias": "cls/seq_relationship/output_bias",
    "head.span.weight": "cls/squad/output_weights",
    "head.span.bias": "cls/squad/output_bias",
    "head.dense.weight": "output_weights",
    "head.dense.bias": "output_bias",
}


def test_googles_names_are_those_of_its_programs():
    assert {ours: names.to_tensorflow(ours) for ours in TENSORFLOW} == TENSORFLOW
    assert {names.from_tensorflow(theirs): theirs for theirs in TENSORFLOW.values()} == TENSORFLOW
    for name in ("global_step", "bert/pooler/dense/kernel/adam_m", "bert/encoder/layer_x/output/dense/bias", "pooler/dense/kernel"):
        assert names.from_tensorflow(name) == name


def list_networks():
    from src.tasks.classifier.network import Classifier
    from src.tasks.ner.network import Tagger
    from src.tasks.pretrain.network import Pretraining
    from src.tasks.squad.network import SpanFinder

    return {
        "pretraining": Pretraining,
        "classifier": lambda *settings: Classifier(*settings, 2),
        "tagger": lambda *settings: Tagger(*settings, 3),
        "span": SpanFinder,
    }


@pytest.mark.parametrize("network", ["pretraining", "classifier", "tagger", "span"])
@pytest.mark.parametrize("positions", ["absolute", "sinusoidal"])
@pytest.mark.parametrize(
    ("there", "back"),
    [(names.to_tensorflow, names.from_tensorflow), (names.to_huggingface, names.from_huggingface)],
    ids=["tensorflow", "huggingface"],
)
def test_our_names_map_one_to_one_to_those_of_other_systems(there, back, positions, network):
    ours = list_parameters(list_networks()[network], position_embedding_type=positions)
    theirs = {there(name) for name in ours}
    assert len(theirs) == len(ours) and not theirs & ours
    assert {back(name) for name in theirs} == ours
    assert all(names.is_ours(name) for name in ours) and not any(names.is_ours(name) for name in theirs)


def test_parameters_that_only_we_have_keep_their_names():
    for name in ("bert.encoder.layers.3.attention.positions.table", "head.crf.transitions", "head.contexts.bias", "head.filters.0.weight"):
        assert names.to_huggingface(name) == names.to_tensorflow(name) == name
        assert names.is_ours(name)
    for name in ("bert.encoder.layers.x.output.bias", "bert.pooler", "moment1.bert.pooler.bias", "global_step", ""):
        assert not names.is_ours(name)


def test_the_zoos_names_are_a_bijection():
    theirs = [name for _, _, _, name in names.ALL] + [names.ZOOS_POSITIONS]
    ours = [names.from_zoo(f"bert.bert.{name.format(11)}") for name in theirs]
    assert len(set(ours)) == len(theirs)
    assert all(names.is_ours(name) and not name.startswith("bert.bert.") for name in ours)


@pytest.mark.parametrize(
    "name", ["adam_m.bert.bert.dense.weight", "global_step", "bert.lstm.weight_ih_l0", "bert.bert.dense", "loss_scale"]
)
def test_the_zoos_other_tensors_keep_their_names(name):
    assert names.from_zoo(name) == name
