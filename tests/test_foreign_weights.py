"""Weights of other systems in the run scripts: TensorFlow prefixes, and checkpoints named and saved as the model zoo's programs do."""

import dataclasses
import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import TINY, WORDS
from safetensors.numpy import load_file, save_file

import pretrain_eval
import run_classifier
import run_ner
import run_squad
from src.config import loader
from src.config.model import ModelConfig, own_description
from src.convert.conversion import convert
from src.convert.parameters import encoder_shapes
from src.formats import mindspore_checkpoint, weights
from src.records.tfrecord import encode_examples
from src.report import plots
from src.tasks.pretrain import task as pretrain
from src.tasks.pretrain.options import PretrainOptions
from src.train import model_files

SEQ_LENGTH = 16
ZOOS = {"num_attention_heads": 1, "hidden_act": "gelu_tanh", "layer_norm_eps": 1e-7}  # what its checkpoints do not tell
MODEL = ModelConfig(**TINY | ZOOS)
TAGS = ["O", "S_PET", "B_PET", "M_PET", "E_PET"]
SENTENCES = [("the", "cat", "sat"), ("a", "dog", "ran", "on", "a", "mat"), ("not", "fast", "cat")]

# What the model zoo's programs call our parameters: bert_model.py, bert_for_pre_training.py, finetune_eval_model.py, rnns.py
ZOO_NAMES = [
    (r"^bert\.embeddings\.word\.weight", "bert.bert.bert_embedding_lookup.embedding_table"),
    (r"^bert\.embeddings\.position\.weight", "bert.bert.bert_embedding_postprocessor.full_position_embedding.embedding_table"),
    (r"^bert\.embeddings\.token_type\.weight", "bert.bert.bert_embedding_postprocessor.token_type_embedding.embedding_table"),
    (r"^bert\.embeddings\.norm", "bert.bert.bert_embedding_postprocessor.layernorm"),
    (r"^bert\.pooler", "bert.bert.dense"),
    (r"^bert\.encoder\.layers\.(\d+)\.", r"bert.bert.bert_encoder.layers.\1."),
    (r"attention\.(query|key|value)\.", r"attention.attention.\1_layer."),
    (r"attention\.output\.", "attention.output.dense."),
    (r"attention\.positions\.table", "attention.attention._generate_relative_positions_embeddings.embeddings_table"),
    (r"attention_norm", "attention.output.layernorm"),
    (r"(\d)\.output\.(weight|bias)", r"\1.output.dense.\2"),
    (r"(\d)\.output_norm", r"\1.output.layernorm"),
    (r"^masked_lm\.norm", "bert.cls1.layernorm"),
    (r"^masked_lm\.bias", "bert.cls1.output_bias"),
    (r"^masked_lm\.", "bert.cls1."),
    (r"^next_sentence", "bert.cls2.dense"),
    (r"^head\.dense", "bert.dense_1"),
    (r"^head\.span", "bert.dense1"),
    (r"layernorm\.weight$", "layernorm.gamma"),
    (r"layernorm\.bias$", "layernorm.beta"),
]


def zoo_name(name):
    for pattern, theirs in ZOO_NAMES:
        name = re.sub(pattern, theirs, name)
    return name


def draw(shapes, seed=1):
    random = np.random.default_rng(seed)
    return {name: random.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}


def network_shapes(model, **head):
    sizes = dataclasses.asdict(model)
    shapes = {
        name: tuple(sizes[size] if isinstance(size, str) else size for size in shape) for name, shape in encoder_shapes(model).items()
    }
    hidden = model.hidden_size
    shapes |= {"bert.pooler.weight": (hidden, hidden), "bert.pooler.bias": (hidden,)}
    for name, size in head.items():
        shapes |= {f"{name}.weight": (size, hidden), f"{name}.bias": (size,)}
    return shapes


def pretraining_shapes(model):
    shapes = network_shapes(model, **{"masked_lm.dense": model.hidden_size, "next_sentence": 2})
    size = (model.hidden_size,)
    return shapes | {"masked_lm.norm.weight": size, "masked_lm.norm.bias": size, "masked_lm.bias": (model.vocab_size,)}


def save_ours(folder, arrays, model=MODEL, labels=()):
    """A checkpoint folder of this program."""
    folder.mkdir()
    mindspore_checkpoint.write(folder / "weights.ckpt", arrays)
    (folder / "config.json").write_text(json.dumps(own_description(dataclasses.asdict(model), labels, {})), encoding="utf-8")
    return folder


def save_zoo(path, arrays, others=()):
    """A checkpoint as the model zoo's training saves it: an Adam's moments and counters beside the weights, no configuration."""
    theirs = {zoo_name(name): array for name, array in arrays.items()} | dict(others)
    moments = {f"{moment}.{name}": np.zeros_like(array) for name, array in theirs.items() for moment in ("adam_m", "adam_v")}
    state = {"global_step": np.array([100], np.int32), "learning_rate": np.array(1e-5, np.float32)}
    path.parent.mkdir(exist_ok=True)
    mindspore_checkpoint.write(path, theirs | moments | state)
    return path


def to_zoos_crf(transitions, random):
    """The zoo's transitions [C + 2, C + 2], to and from, of ours.

    [CLS] and [SEP] are places of its path, with the tag O, so that what <START> goes to and what goes to <STOP> is never trained.
    """
    size = len(transitions)
    theirs = random.standard_normal((size + 2, size + 2)).astype(np.float32)
    theirs[:size, :size] = transitions.T
    theirs[size], theirs[:, size + 1] = -10000, -10000
    return theirs


def draw_lstm(size, units):
    """An LSTM as the zoo saves it, one array a direction, and our three arrays."""
    shapes = {"weight_ih": (4 * units, size), "weight_hh": (4 * units, units), "bias_ih": (4 * units,), "bias_hh": (4 * units,)}
    theirs = draw({f"bert.lstm.{part}_l0{way}": shape for part, shape in shapes.items() for way in ("", "_reverse")})
    both = {part: np.stack([theirs[f"bert.lstm.{part}_l0{way}"] for way in ("", "_reverse")]) for part in shapes}
    ours = {"input_weight": both["weight_ih"], "hidden_weight": both["weight_hh"], "bias": (both["bias_ih"] + both["bias_hh"])[:, None]}
    return theirs, {f"head.contexts.{name}": array for name, array in ours.items()}


@pytest.fixture(autouse=True)
def no_figures(monkeypatch):
    monkeypatch.setattr(plots, "draw", lambda folder: None)


def flags_of(settings):
    return [part for key, value in settings.items() if value is not None for part in (f"--{key}", str(value))]


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def read_losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines() if '"step"' in line]


def refusal(capsys, script, flags):
    """The one line on stderr of a run that ends with exit code 2."""
    with pytest.raises(SystemExit) as stopped:
        script.main(flags)
    lines = capsys.readouterr().err.splitlines()
    assert (stopped.value.code, len(lines)) == (2, 1), lines
    return lines[0]


# TensorFlow


@pytest.fixture
def pretrained(tmp_path, vocab_file):
    """A pretrained network: its arrays, and folders of this program's, Hugging Face's and TensorFlow's form."""
    arrays = draw(pretraining_shapes(MODEL))
    ours = save_ours(tmp_path / "ours", arrays)
    shutil.copy(vocab_file, ours)
    for target in ("huggingface", "tensorflow"):
        assert convert("mindspore", target, ours, tmp_path / target).passed
    prefix = tmp_path / "tensorflow/bert_model.ckpt"
    return SimpleNamespace(arrays=arrays, ours=ours, huggingface=tmp_path / "huggingface", prefix=prefix)


BESIDE = dict.fromkeys(("bert_config_file", "vocab_file_path"))  # flags that are left out: what lies beside the weights counts


@pytest.mark.slow
def test_training_from_a_prefix_is_training_from_hugging_faces_folder(pretrained, job, tmp_path, capsys):
    losses = []
    for path in (pretrained.huggingface, pretrained.prefix):
        run_classifier.main(job(init_checkpoint=path, **BESIDE, epoch_num=None, train_steps=4, output_dir=tmp_path / path.stem))
        losses.append(read_losses(tmp_path / path.stem))
    assert len(losses[1]) == 4
    assert losses[1] == losses[0]
    matched = len([name for name in pretrained.arrays if name.startswith("bert.")])
    unexpected = len(pretrained.arrays) - matched
    line = f"weights from {pretrained.prefix}: matched={matched} missing=2 unexpected={unexpected} other_shape=0"
    assert line in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("ending", [".index", ".data-00000-of-00001"])
def test_a_tensorflow_checkpoint_may_be_named_by_its_folder_or_any_of_its_files(pretrained, ending):
    assert weights.find(f"{pretrained.prefix}{ending}") == weights.find(pretrained.prefix.parent) == pretrained.prefix


@pytest.fixture
def records(tmp_path):
    """A folder with a TFRecord of pretraining rows."""
    random = np.random.default_rng(3)
    rows = 8
    ids = random.integers(5, 60, (rows, SEQ_LENGTH))
    places = np.tile(np.array([[2, 5]]), (rows, 1))
    columns = {
        "input_ids": ids,
        "input_mask": np.ones_like(ids),
        "segment_ids": np.zeros_like(ids),
        "masked_lm_positions": places,
        "masked_lm_ids": np.take_along_axis(ids, places, 1),
        "masked_lm_weights": np.ones(places.shape, np.float32),
        "next_sentence_labels": random.integers(0, 2, (rows, 1)),
    }
    folder = tmp_path / "records"
    folder.mkdir()
    (folder / "rows.tfrecord").write_bytes(b"".join(encode_examples(columns)))
    return folder


@pytest.mark.slow
def test_a_pretrained_network_is_evaluated_alike_in_every_form(pretrained, records, tmp_path):
    zoos = save_zoo(tmp_path / "zoo/checkpoint_bert-40_100.ckpt", pretrained.arrays)
    results = []
    for number, path in enumerate((pretrained.ours, pretrained.prefix, zoos)):
        pretrain_eval.main(flags_of({"input_file": records, "init_checkpoint": path, "output_dir": tmp_path / f"evaluated{number}"}))
        results.append(read_json(tmp_path / f"evaluated{number}/eval_results.json"))
    assert [result.pop("global_step") for result in results] == [0, 0, 100]
    assert results[0] == results[1] == results[2]


def test_a_pretrained_network_with_an_output_matrix_of_its_own_is_not_evaluated(pretrained, records, tmp_path, capsys):
    tensors = load_file(pretrained.huggingface / "model.safetensors")
    tensors["cls.predictions.decoder.weight"] = -tensors["bert.embeddings.word_embeddings.weight"]
    save_file(tensors, pretrained.huggingface / "model.safetensors", {"format": "pt"})
    flags = {"input_file": records, "init_checkpoint": pretrained.huggingface, "output_dir": tmp_path / "out"}
    with pytest.raises(SystemExit, match="2"):
        pretrain_eval.main(flags_of(flags))
    said = capsys.readouterr()
    assert "the masked language model is left out: cls.predictions.decoder.weight is not bert.embeddings.word.weight" in said.out
    assert "is of another network: masked_lm.bias" in said.err


def test_parts_of_a_tensorflow_checkpoint_are_refused_by_name(pretrained, job, tmp_path, capsys):
    prefix = pretrained.prefix
    data, index, meta = (prefix.with_name(f"{prefix.name}.{ending}") for ending in ("data-00000-of-00001", "index", "meta"))
    data.unlink()
    assert f"{data}: absent" in refusal(capsys, run_classifier, job(init_checkpoint=prefix, **BESIDE))
    index.unlink()
    meta.write_bytes(b"graph")
    for path in (prefix, meta):
        assert f"{path}: " in refusal(capsys, run_classifier, job(init_checkpoint=path, **BESIDE))
    (tmp_path / "empty").mkdir()
    for changes in ({}, BESIDE):
        assert "no weights in this folder" in refusal(capsys, run_classifier, job(init_checkpoint=tmp_path / "empty", **changes))


def test_weights_of_another_kind_are_told_by_what_they_have(job, tmp_path, capsys):
    save_file({"transformer.wte.weight": np.zeros((90, 16), np.float32)}, tmp_path / "model.safetensors", {"format": "pt"})
    line = refusal(capsys, run_classifier, job(init_checkpoint=tmp_path / "model.safetensors"))
    assert " missing; it has transformer.wte.weight" in line and "is of another network: bert." in line


def test_a_pretrained_network_is_no_classifier(pretrained, job, capsys):
    line = refusal(capsys, run_classifier, job(do_train=None, do_eval="true", init_checkpoint=pretrained.prefix, **BESIDE))
    assert line.endswith("head.dense.bias, head.dense.weight missing; it is pretrained and has no head: --do_train true trains one")


# The model zoo


def evaluate(script, out, weights, **settings):
    script.main(flags_of({"do_eval": "true", "load_finetune_checkpoint_path": weights, "output_dir": out, **settings}))
    return {
        path.name: path.read_bytes() for path in out.iterdir() if path.suffix in (".json", ".tsv", ".csv") and path.name != "label_map.json"
    }


def assert_same_evaluation(script, tmp_path, ours, zoos, **settings):
    expected = evaluate(script, tmp_path / "first", ours, **settings)
    assert "eval_results.json" in expected
    found = evaluate(script, tmp_path / "second", zoos, **settings)
    assert found.keys() == expected.keys()
    for name in expected:
        if name == "eval_results.json":  # the step is that of the checkpoint's name
            steps = [json.loads(files[name]) for files in (found, expected)]
            assert [results.pop("global_step") for results in steps] == [100, 0]
            assert steps[0] == steps[1]
        else:
            assert found[name] == expected[name], name


@pytest.fixture
def classifier(job, tmp_path, vocab_file):
    """Settings of an evaluation, and weights of a classifier."""
    settings = {"task_name": "custom", "columns": "text_a=text,label=label", "eval_data_file_path": tmp_path / "dev.tsv"}
    lengths = {"seq_length": SEQ_LENGTH, "bucket_list": SEQ_LENGTH}
    arrays = draw(network_shapes(MODEL, **{"head.dense": 2}))
    job()
    return SimpleNamespace(settings=settings | lengths | {"vocab_file_path": vocab_file}, arrays=arrays)


def test_a_classifier_of_the_zoo_gives_its_results_without_a_configuration(classifier, tmp_path):
    ours = save_ours(tmp_path / "ours", classifier.arrays)
    zoos = save_zoo(tmp_path / "zoo/classifier-3_100.ckpt", classifier.arrays)
    assert_same_evaluation(run_classifier, tmp_path, ours, zoos, **classifier.settings)


def write_sentences(folder):
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "words.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    tagged = ["\n".join(f"{word}\t{'S_PET' if word in ('cat', 'dog') else 'O'}" for word in words) for words in SENTENCES]
    (folder / "tagged.txt").write_text("\n\n".join(tagged) + "\n", encoding="utf-8")
    (folder / "tags.txt").write_text("\n".join(TAGS) + "\n", encoding="utf-8")
    files = {
        "vocab_file_path": folder / "words.txt",
        "label2id_file_path": folder / "tags.txt",
        "eval_data_file_path": folder / "tagged.txt",
    }
    return files | {"seq_length": SEQ_LENGTH, "bucket_list": SEQ_LENGTH}


@pytest.mark.slow
def test_a_tagger_of_the_zoo_with_lstm_and_crf_gives_its_results(tmp_path):
    random, count, units = np.random.default_rng(4), len(TAGS), MODEL.hidden_size // 2
    arrays = draw(network_shapes(MODEL, **{"head.dense": count}))
    transitions = random.standard_normal((count, count)).astype(np.float32)
    crf = {"head.crf.transitions": transitions, "head.crf.start": transitions[0], "head.crf.end": transitions[:, 0]}
    rows = random.standard_normal((2, MODEL.hidden_size + 1)).astype(np.float32)  # <START> and <STOP> have logits, too
    zoos = arrays | {"head.dense.weight": np.concatenate((arrays["head.dense.weight"], rows[:, 1:]))}
    zoos["head.dense.bias"] = np.concatenate((arrays["head.dense.bias"], rows[:, 0]))
    others = {"loss.transitions": to_zoos_crf(transitions, random)}
    lstm, ours_of_it = draw_lstm(MODEL.hidden_size, units)
    ours = save_ours(tmp_path / "ours", arrays | crf | ours_of_it, labels=TAGS)
    path = save_zoo(tmp_path / "zoo/ner-3_100.ckpt", zoos, others | lstm)
    settings = write_sentences(tmp_path) | {"use_crf": "true", "with_lstm": "true"}
    assert_same_evaluation(run_ner, tmp_path, ours, path, **settings)


def test_questions_are_answered_by_a_network_of_the_zoo(tmp_path):
    files = write_sentences(tmp_path)
    question = {"id": "1", "question": "the cat", "answers": [{"text": "sat", "answer_start": 8}]}
    paragraphs = [{"context": "the cat sat on a mat", "qas": [question]}]
    (tmp_path / "dev.json").write_text(json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}]}), encoding="utf-8")
    arrays = draw(network_shapes(MODEL, **{"head.span": 2}))
    lengths = {"doc_stride": 4, "max_query_length": 4, "seq_length": SEQ_LENGTH, "bucket_list": SEQ_LENGTH}
    settings = {"eval_data_file_path": tmp_path / "dev.json", "vocab_file_path": files["vocab_file_path"], **lengths}
    ours, zoos = save_ours(tmp_path / "ours", arrays), save_zoo(tmp_path / "zoo/squad-3_100.ckpt", arrays)
    assert_same_evaluation(run_squad, tmp_path, ours, zoos, **settings)


def test_a_nezha_of_the_zoo_tells_its_shape(records, tmp_path, caplog):
    model = dataclasses.replace(MODEL, num_attention_heads=4, position_embedding_type="learned", max_relative_position=3)
    arrays = draw(pretraining_shapes(model))
    unused = {"bert.bert.bert_embedding_postprocessor.full_position_embedding.embedding_table": np.zeros((32, 16), np.float32)}
    zoos = save_zoo(tmp_path / "zoo/checkpoint_bert-40_100.ckpt", arrays, unused)
    flags = {"data_dir": records, "load_checkpoint_path": zoos, "bert_network": "base"}
    options = loader.load(PretrainOptions, flags_of(flags))
    assert f"bert_network=base is ignored: {zoos} tells the network's shape" in caplog.messages
    network = pretrain.network(options)
    model_files.load_weights(network, zoos, whole=True)
    parameters = network.parameters_dict()
    assert parameters.keys() == arrays.keys()
    assert [name for name, array in arrays.items() if not np.array_equal(parameters[name].asnumpy(), array)] == []
    assert dataclasses.asdict(options.model) == dataclasses.asdict(model)


def test_a_partial_or_damaged_checkpoint_of_the_zoo_is_refused(classifier, tmp_path, capsys):
    lacking = "bert.encoder.layers.0.attention.key.bias"
    del classifier.arrays[lacking]
    partial = save_zoo(tmp_path / "zoo/classifier-3_100.ckpt", classifier.arrays)
    settings = classifier.settings | {"do_eval": "true", "output_dir": tmp_path / "out"}
    flags = flags_of(settings | {"load_finetune_checkpoint_path": partial})
    assert refusal(capsys, run_classifier, flags) == f"error: {partial}: is of another network: {lacking} missing"
    train = flags_of({**settings, "do_eval": None, "do_train": "true", "train_data_file_path": tmp_path / "train.tsv"})
    with_weights = [*train, "--load_pretrain_checkpoint_path", str(partial)]
    assert refusal(capsys, run_classifier, with_weights) == f"error: {partial}: is of another network: {lacking} missing"
    partial.write_bytes(partial.read_bytes()[:-100])
    assert f"error: {partial}: not a readable checkpoint" in refusal(capsys, run_classifier, flags)
