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


def test_every_hugging_face_name_has_its_own_of_ours():
    theirs = HUGGINGFACE + PRETRAINING + SPAN
    ours = [names.from_huggingface(name) for name in theirs]
    assert len(set(ours)) == len(theirs)
    assert not set(ours) & set(theirs)
    assert [names.to_huggingface(name) for name in ours] == theirs


def test_names_are_those_of_the_network():
    from src.config.model import ModelConfig
    from src.config.training import DeviceSettings
    from src.models.heads import Classifier

    tiny = {"vocab_size": 5, "hidden_size": 4, "num_attention_heads": 2, "intermediate_size": 3, "max_position_embeddings": 4}
    network = Classifier(ModelConfig(**tiny, num_hidden_layers=2), DeviceSettings(), 2)
    ours = {parameter.name for parameter in network.get_parameters()}
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
