"""The library form: predictions, hidden states, vectors and trainings, beside what bundles and run scripts give."""

import json

import numpy as np
import pytest
from conftest import WORDS, make_job, write_vocabulary
from tiny_models import make_model, write_bundle, write_model

import run_classifier
from src import library
from src.config.model import ModelConfig, describe_weights
from src.convert import network
from src.formats import weights

SAME = 1e-5  # float32
TEXTS = ["the cat sat on a mat", "dog", "it was not very good", "the dog ran fast"]


class Frame:
    """What a DataFrame of pandas has that is used here."""

    def __init__(self, **columns):
        self.columns, self._columns = list(columns), columns

    def to_dict(self, orient):
        assert orient == "records"
        return [dict(zip(self.columns, row)) for row in zip(*self._columns.values())]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A folder of random weights in Hugging Face's form."""
    folder = tmp_path_factory.mktemp("bert")
    vocabulary = write_vocabulary(folder / "vocab.txt").read_bytes()
    model = make_model(vocab_size=len(vocabulary.splitlines()))
    return write_model(folder / "model", model, "encoder", "huggingface", vocabulary=vocabulary)[0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The output folder of a training on dicts, and what `train` gave."""
    folder = tmp_path_factory.mktemp("library")
    make_job(folder)
    rows = [{"text": f"{word} {'good' if number % 2 else 'bad'}", "label": "yn"[number % 2]} for number, word in enumerate(WORDS)]
    settings = {"optimizer": {"name": "AdamW"}, "learning_rate": 0.01, "train_batch_size": 8, "epoch_num": 2, "bucket_list": (16,)}
    settings |= {"vocab_file_path": folder / "vocab.txt", "bert_config_file": folder / "bert_config.json", "seq_length": 16}
    scores = library.train("classifier", rows, rows[:4], output_dir=folder / "out", columns="text_a=text,label=label", **settings)
    return folder / "out", scores


@pytest.mark.slow
def test_a_model_is_trained_on_dicts_and_predicts_texts_dicts_and_tables(trained):
    folder, scores = trained
    flags = ["--config_path", str(folder / "config.yaml"), "--output_dir", str(folder.parent / "again")]
    run_classifier.main(flags)
    again = json.loads((folder.parent / "again/eval_results.json").read_text(encoding="utf-8"))
    assert again == scores  # config.yaml repeats the training
    assert scores == json.loads((folder / "eval_results.json").read_text(encoding="utf-8")) and scores["num_examples"] == 4
    model = library.load(folder)
    assert (model.task, model.labels) == ("classifier", ("n", "y"))
    results = model.predict(TEXTS)
    assert all(result["label"] in "yn" and sum(result["probabilities"].values()) == pytest.approx(1) for result in results)
    alone = [model.predict([{"text_a": text}])[0] for text in TEXTS]
    assert [one["probability"] for one in alone] == pytest.approx([one["probability"] for one in results], abs=SAME)
    assert model.predict(Frame(text=TEXTS, label=["?"] * 4)) == results
    for wrong in ("dog", 5, {"text": "dog"}):
        with pytest.raises(ValueError, match="instances: a list with one instance at least is expected"):
            model.predict(wrong)
    with pytest.raises(ValueError, match="was trained for the task classifier, not ner"):
        library.load(folder, task="ner")


def test_hidden_states_are_those_of_the_converter(bert):
    encoder = library.load_encoder(bert, seq_length=8)
    states = encoder.encode(TEXTS)
    assert [state.shape for state in states] == [(8, 32), (3, 32), (7, 32), (6, 32)]
    assert encoder.list_tokens(TEXTS[1]) == ["[CLS]", "dog", "[SEP]"]
    config = ModelConfig(**describe_weights(bert).model)
    ids = np.array([[encoder.tokenizer.vocabulary[token] for token in encoder.list_tokens(TEXTS[3])]])
    expected = network.run(config, weights.read(bert).arrays, ids, np.ones_like(ids), np.zeros_like(ids))["layer 1"]
    np.testing.assert_allclose(states[3], expected[0], atol=1e-4)  # of order 1


def test_vectors_of_weights_are_those_of_their_bundle(bert, tmp_path):
    pytest.importorskip("onnxruntime")
    settings = {"pooling": "mean", "normalize": True, "dimensions": 32, "seq_length": 16}
    bundle = library.load(write_bundle(tmp_path / "bundle", bert, "embed", **settings))
    vectors = library.load(bert, task="embed", seq_length=16).embed(TEXTS)
    assert vectors.shape == (4, 32) and vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, bundle.embed(TEXTS), atol=SAME)
    with pytest.raises(ValueError, match="is a bundle, which has its own settings; given are seq_length"):
        library.load(tmp_path / "bundle", seq_length=8)
    with pytest.raises(ValueError, match="task=ner: it is a bundle of the task embed"):
        library.load(tmp_path / "bundle", task="ner")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"task": "pretrain"}, "task=pretrain: classifier, ner, squad, embed are trained on rows; run_pretrain.py pretrains"),
        ({"learning_rat": 1}, "--learning_rat; did you mean"),
        ({"optimizer": {"name": "Adam"}}, "optimizer.name=Adam is not allowed"),
        ({"rows": [{"text": "a", "label": "b"}, "c"]}, r"rows\[1\]: a dict of values by name is expected, not str"),
        ({"weights": "ab:absent"}, "ab:absent: no such file or folder"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_bad_input_of_a_training_raises_before_anything_is_compiled(tmp_path, changes, told):
    given = {"task": "classifier", "rows": [], "output_dir": tmp_path / "out", "columns": "text_a=text,label=label", **changes}
    with pytest.raises((ValueError, FileNotFoundError), match=told):
        library.train(**given)


def test_weights_that_tell_no_task_need_one(bert):
    with pytest.raises(ValueError, match="nothing beside the weights tells what they were trained for; give the task, one of classifier"):
        library.load(bert)
    with pytest.raises(ValueError, match="task=pretrain: answers no texts; give one of classifier, ner, squad, embed, fill_mask"):
        library.load(bert, task="pretrain")
    with pytest.raises(ValueError, match="task=words: classifier, ner, squad, embed, fill_mask, pretrain are known"):
        library.load(bert, task="words")
