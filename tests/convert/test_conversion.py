import dataclasses
import errno
import json
import os
import subprocess
import sys

import mindspore
import numpy as np
import pytest
from conftest import ROOT
from mindspore import Tensor
from safetensors.numpy import load_file, save_file
from tiny_models import HEADS, TOKENS, make_model, make_weights, write_model

from src.config.model import describe_weights
from src.config.training import DeviceSettings
from src.convert import __main__, conversion, libraries, network, proof
from src.convert.conversion import MissingParameters, convert
from src.convert.description import read_description
from src.formats import mindspore_checkpoint, names, tensorflow, weights
from src.locks import hidden_folder
from src.tasks.pretrain.network import Pretraining
from src.text.tokenization import Tokenizer
from src.train import model_files

WEIGHTS_FILE = {"huggingface": "model.safetensors", "mindspore": "model.ckpt", "tensorflow": "bert_model.ckpt.index"}


def assert_same(found, expected):
    """Equal bit by bit."""
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        assert found[name].tobytes() == array.tobytes(), name


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("positions", ["absolute", "sinusoidal"])
@pytest.mark.parametrize("kind", HEADS)
def test_a_round_trip_through_all_formats_changes_no_bit(kind, positions, tmp_path):
    labels, trained_with = ("O", "B-X", "I-X", "B-Y", "I-Y")[: 3 if kind == "classifier" else 5], {"seq_length": 16}
    labels = {"classifier": labels, "tagger": labels, "pointer": ("X", "Y")}.get(kind, ())
    model = make_model(positions, hidden_act="gelu_tanh", layer_norm_eps=1e-7)
    folder, arrays = write_model(tmp_path / "0", model, kind, labels=labels, trained_with=trained_with)
    source = "mindspore"
    for number, target in enumerate(("huggingface", "tensorflow", "huggingface", "mindspore", "tensorflow", "mindspore")):
        report = convert(source, target, folder, tmp_path / str(number + 1))
        assert report.passed
        source, folder = target, tmp_path / str(number + 1)
        back = read_description(folder)
        assert (dataclasses.replace(back.model, hidden_act="gelu_tanh"), back.labels, back.trained_with) == (model, labels, trained_with)
        assert back.model.hidden_act in ("gelu_tanh", "gelu_new")
        config = json.loads((folder / ("bert_config.json" if target == "tensorflow" else "config.json")).read_text())
        assert target == "mindspore" or config["hidden_act"] == {"huggingface": "gelu_new", "tensorflow": "gelu"}[target]  # their names
        assert (folder / "vocab.txt").read_bytes() == (tmp_path / "0/vocab.txt").read_bytes()
        assert json.loads((folder / "tokenizer_config.json").read_text())["do_lower_case"] is True
    assert_same(weights.read(folder).arrays, arrays)


def test_learned_positions_stay_in_this_program(tmp_path):
    folder, arrays = write_model(tmp_path / "0", make_model("learned"))
    assert convert("mindspore", "mindspore", folder, tmp_path / "1").passed
    assert_same(weights.read(tmp_path / "1").arrays, arrays)
    for target in ("huggingface", "tensorflow"):
        with pytest.raises(ValueError, match=f"--to {target}: there is no network with learned relative positions"):
            convert("mindspore", target, folder, tmp_path / "2")


@pytest.mark.parametrize("name", ["keras_bert_tiny_tf", "camphr_ner_bert_tiny_hf"])
def test_published_checkpoints_come_back_bit_by_bit(name, shared_file, tmp_path):
    folder = shared_file(f"../checkpoints/{name}")
    first = "tensorflow" if name.endswith("tf") else "huggingface"
    theirs = weights.read(folder)
    for path in (("mindspore", "huggingface", "tensorflow"), ("tensorflow", "mindspore", "huggingface"), ("huggingface", "mindspore")):
        source, now = first, folder
        for target in path:
            made = tmp_path / "-".join((*path, target))
            assert convert(source, target, now, made).passed
            source, now = target, made
        assert_same(weights.read(now).arrays, {key: array for key, array in theirs.arrays.items() if names.is_ours(key)})
    raw = tensorflow.read(folder) if first == "tensorflow" else {}
    written = tensorflow.read(tmp_path / "mindspore-huggingface-tensorflow-tensorflow")
    for key in raw.keys() & written.keys():
        assert written[key].tobytes() == raw[key].tobytes()
    assert first != "tensorflow" or set(written) == {key for key in raw if "adam" not in key and key != "global_step"}


@pytest.mark.parametrize("factor", ["", pytest.param("times_factor/", marks=pytest.mark.slow)])
@pytest.mark.slow
def test_googles_checkpoint_computes_what_googles_program_does(factor, shared_file, tmp_path):
    golden = np.load(ROOT / "tests/golden/tensorflow_bert.npz")
    folder = shared_file("../checkpoints/keras_bert_tiny_tf")
    convert("tensorflow", "mindspore", folder, tmp_path / "made")
    found = weights.read(tmp_path / "made")
    scale = golden["factor"] if factor else 1
    arrays = {name: array if name.endswith("norm.weight") else array * np.float32(scale) for name, array in found.arrays.items()}
    mindspore_checkpoint.write(tmp_path / "made/model.ckpt", arrays)
    model = dataclasses.replace(read_description(tmp_path / "made").model, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    for act in ("gelu", "gelu_tanh"):
        pretraining = Pretraining(dataclasses.replace(model, hidden_act=act), DeviceSettings())
        model_files.load_weights(pretraining, tmp_path / "made", whole=True)
        pretraining.set_train(False)
        keys = ("input_ids", "input_mask", "token_type_ids", "masked_lm_positions")
        masked_lm, next_sentence = pretraining(*(Tensor(golden[key].astype(np.int32)) for key in keys))
        expected = {key: golden[f"{factor}{act}/{key}_logits"] for key in ("masked_lm", "next_sentence")}
        # the bound of the task; float32 through two layers
        np.testing.assert_allclose(masked_lm.asnumpy(), expected["masked_lm"].reshape(masked_lm.shape), atol=2e-5)
        np.testing.assert_allclose(next_sentence.asnumpy(), expected["next_sentence"], atol=2e-5)


def test_a_taggers_logits_are_hugging_faces(shared_file, tmp_path):
    golden = np.load(ROOT / "tests/golden/ner_bert.npz")
    convert("huggingface", "tensorflow", shared_file("../checkpoints/camphr_ner_bert_tiny_hf"), tmp_path)
    found, model = weights.read(tmp_path), read_description(tmp_path).model
    outputs = network.run(model, found.arrays, golden["ids"], golden["mask"], golden["types"])
    np.testing.assert_allclose(outputs["head"], golden["logits"], atol=2e-5)


def test_minilm_goes_through_all_formats_in_time_and_memory(encoder, tmp_path):
    size, source, folder = os.path.getsize(encoder / "model.safetensors"), "huggingface", encoder
    for target in ("mindspore", "tensorflow", "huggingface"):
        command = [sys.executable, "-m", "src.convert", "--from", source, "--to", target, "--input", folder, "--output", tmp_path / target]
        wrapper = "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:]); "
        wrapper += "used = resource.getrusage(resource.RUSAGE_CHILDREN); "
        wrapper += "print(used.ru_utime + used.ru_stime, used.ru_maxrss); sys.exit(done.returncode)"
        done = subprocess.run([sys.executable, "-c", wrapper, *map(str, command)], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stdout + done.stderr
        seconds, kilobytes = map(float, done.stdout.splitlines()[-1].split())
        assert kilobytes * 1024 < 3 * size
        assert seconds < 5
        source, folder = target, tmp_path / target
    assert_same(load_file(tmp_path / "huggingface/model.safetensors"), load_file_without_buffers(encoder / "model.safetensors"))


def load_file_without_buffers(path):
    return {name: array for name, array in load_file(path).items() if not name.endswith("position_ids")}


def test_shapes_are_those_of_the_networks():
    for positions in ("absolute", "sinusoidal", "learned"):
        model = make_model(positions)
        found = {parameter.name: parameter.shape for parameter in Pretraining(model, DeviceSettings()).get_parameters()}
        assert found == {name: array.shape for name, array in make_weights(model, "pretraining").items()}


def test_the_vocabularys_filling_is_cut(tmp_path):
    model = make_model()
    arrays = make_weights(model, "pretraining")
    filled = {
        name: np.pad(array, [(0, 4)] + [(0, 0)] * (array.ndim - 1)) if name in weights.OF_WORDS else array for name, array in arrays.items()
    }
    folder, _ = write_model(tmp_path / "0", model, arrays=filled, target="huggingface")
    assert convert("nvidia", "mindspore", folder, tmp_path / "1").passed
    assert_same(weights.read(tmp_path / "1").arrays, arrays)
    report = json.loads((tmp_path / "1/conversion_report.json").read_text())
    assert sum("fill up the vocabulary" in tensor["remark"] for tensor in report["tensors"]) == 2


def test_half_precision_is_widened_and_said(tmp_path):
    model = make_model()
    arrays = {name: array.astype(np.float16) for name, array in make_weights(model).items()}
    folder, _ = write_model(tmp_path / "0", model, arrays=arrays, target="huggingface")
    report = convert("huggingface", "mindspore", folder, tmp_path / "1")
    assert_same(weights.read(tmp_path / "1").arrays, {name: array.astype(np.float32) for name, array in arrays.items()})
    assert {tensor["remark"] for tensor in report.tensors} == {"as float32"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_hidden_layers": 3}, "is not whole: bert.encoder.layers.2.attention.query.weight"),
        ({"num_hidden_layers": 1}, "num_hidden_layers=1, and the weights have bert.encoder.layers.1."),
        ({"vocab_size": 48}, r"vocab_size=48, and bert.embeddings.word.weight is of shape \(60, 32\)"),
        ({"intermediate_size": 128}, "intermediate_size=128, and bert.encoder.layers.0.intermediate"),
        ({"max_position_embeddings": 16}, "max_position_embeddings=16, and bert.embeddings.position.weight"),
        ({"model_type": "nezha"}, "position_embedding_type=sinusoidal, and the weights have bert.embeddings.position.weight"),
        ({"hidden_size": 33}, "hidden_size=33 is not divisible"),
        ({"model_type": "roberta"}, "model_type=roberta: bert and nezha are supported"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(change, message, tmp_path):
    folder, _ = write_model(tmp_path / "0", target="huggingface")
    edit(folder / "config.json", **change)
    with pytest.raises(ValueError, match=message):
        convert("huggingface", "mindspore", folder, tmp_path / "1")
    assert not (tmp_path / "1").exists() or os.listdir(tmp_path / "1") == ["conversion_report.json"]


def test_what_is_missing_is_listed_whole(tmp_path, capsys):
    arrays = make_weights(make_model(), "pretraining")
    partial = {name: array for name, array in arrays.items() if "layers.1." not in name and name != "masked_lm.bias"}
    folder, _ = write_model(tmp_path / "0", arrays=partial)
    with pytest.raises(MissingParameters, match="and 13 more missing"):
        convert("mindspore", "huggingface", folder, tmp_path / "1")
    report = json.loads((tmp_path / "1/conversion_report.json").read_text())
    assert set(report["missing"]) == arrays.keys() - partial.keys()
    assert report["passed"] is False
    with pytest.raises(SystemExit, match="2"):
        __main__.main(["--from", "mindspore", "--to", "huggingface", "--input", str(folder), "--output", str(tmp_path / "1")])
    printed = capsys.readouterr()
    assert printed.out.count("missing    ") == 17
    assert printed.err.startswith(f"error: {folder}/model.ckpt: is not whole: ")


def test_a_pooler_that_is_absent_is_said_to_stay_random(tmp_path):
    folder, _ = write_model(tmp_path / "0", kind="tagger")
    assert convert("mindspore", "tensorflow", folder, tmp_path / "1").left_random == ["bert.pooler.weight", "bert.pooler.bias"]


def test_infinity_and_nan_are_reported_and_kept(tmp_path):
    arrays = make_weights(make_model())
    arrays["bert.pooler.weight"][0, 0], arrays["bert.encoder.layers.1.output.bias"][3] = np.nan, np.inf
    folder, _ = write_model(tmp_path / "0", arrays=arrays)
    report = convert("mindspore", "tensorflow", folder, tmp_path / "1")
    assert report.passed
    assert report.not_finite == ["bert.encoder.layers.1.output.bias", "bert.pooler.weight"]
    assert "not finite: bert.encoder.layers.1.output.bias, bert.pooler.weight" in list(report.lines())
    assert_same(weights.read(tmp_path / "1").arrays, arrays)


@pytest.fixture
def computed(monkeypatch):
    """`computed(source, converted)`: each side also has these outputs, or None in place of what it computes."""

    def replace(*sides):
        run, left = network.run, iter(sides)
        monkeypatch.setattr(network, "run", lambda *args: {k: v for k, v in (run(*args) | next(left)).items() if v is not None})

    return replace


@pytest.mark.parametrize("kind", ["classifier", "pretraining"])
def test_an_output_that_is_infinite_on_both_sides_is_the_same(kind, tmp_path):
    arrays = make_weights(make_model(), kind)
    arrays["head.dense.bias" if kind == "classifier" else "masked_lm.bias"][1] = np.inf
    folder, _ = write_model(tmp_path / "0", kind=kind, arrays=arrays)
    assert convert("mindspore", "huggingface", folder, tmp_path / "1").passed


@pytest.mark.parametrize("sides", [(1.0, np.inf), (np.nan, 1.0), (1.0, np.nan), (np.inf, -np.inf)])
def test_an_output_that_is_no_number_on_one_side_fails_the_proof(sides, computed, tmp_path):
    folder, _ = write_model(tmp_path / "0")
    computed(*({"pooled": np.full((2, 32), value)} for value in sides))
    report = convert("mindspore", "huggingface", folder, tmp_path / "1")
    assert (report.passed, report.proof["differences"]["pooled"]) == (False, np.inf)
    assert "proof FAILED largest_difference=inf" in list(report.lines())[-1]
    written = json.loads((tmp_path / "1/conversion_report.json").read_text(), parse_constant=pytest.fail)
    assert written["proof"]["differences"]["pooled"] is None


@pytest.mark.parametrize(("output", "passed"), [("pooled", True), ("layer 1", False)])
def test_what_the_result_does_not_compute_fails_the_proof_but_for_a_pooler(output, passed, computed, tmp_path):
    folder, _ = write_model(tmp_path / "0")
    computed({}, {output: None})
    report = convert("mindspore", "huggingface", folder, tmp_path / "1")
    assert (report.passed, report.proof["not_compared"]) == (passed, [output])


@pytest.mark.parametrize(("size", "passed"), [(0.5, False), (10.0, True)])
def test_the_tolerance_grows_with_outputs_above_one(size, passed, computed, tmp_path):
    folder, _ = write_model(tmp_path / "0")
    computed(*({"pooled": np.full((2, 32), size + difference)} for difference in (0, 5e-5)))
    assert convert("mindspore", "huggingface", folder, tmp_path / "1").passed == passed


@pytest.mark.parametrize("changes", [0, 1])
def test_tensorflow_reads_the_result_back_where_it_is_installed(changes, tmp_path, monkeypatch):
    folder, _ = write_model(tmp_path / "0")

    def read(prefix):
        return {
            name: array + np.float32(changes) if name == "bert/pooler/dense/bias" else array
            for name, array in tensorflow.read(prefix).items()
        }

    monkeypatch.setattr(libraries, "find_tensorflow", lambda: "tensorflow 0.0")
    monkeypatch.setattr(libraries, "read_tensorflow", read)
    report = convert("mindspore", "tensorflow", folder, tmp_path / "1")
    assert (report.passed, report.proof["changed"]) == (not changes, ["bert/pooler/dense/bias"] * changes)
    assert list(report.lines())[-1].endswith("converted by src/convert/network.py, read by tensorflow 0.0 too")
    assert convert("mindspore", "huggingface", folder, tmp_path / "2").proof["read_by"] is None


def test_a_configuration_given_is_not_the_one_that_the_library_reads(tmp_path, monkeypatch):
    folder, _ = write_model(tmp_path / "0", target="huggingface")
    model = read_description(folder).model
    monkeypatch.setattr(libraries, "find_transformers", lambda path: "transformers 0.0")
    monkeypatch.setattr(libraries, "run_transformers", lambda path, *inputs: network.run(model, weights.read(path).arrays, *inputs))
    assert convert("huggingface", "mindspore", folder, tmp_path / "1").proof["source"] == "transformers 0.0"
    given = convert("huggingface", "mindspore", folder, tmp_path / "2", config_file=folder / "config.json")
    assert given.proof["source"] == "src/convert/network.py"


def test_the_inputs_of_the_proof_have_padding_and_both_segments():
    input_ids, input_mask, token_type_ids = proof.make_inputs(make_model())
    assert input_mask.sum(1).tolist() == [16, 8]
    assert {0, 1} == set(token_type_ids.ravel())
    assert len(set(input_ids.ravel())) == input_ids.size and input_ids.max() < 60


@pytest.mark.parametrize(("source", "target"), [("zoo", "mindspore"), ("mindspore", "tensorflow"), ("nvidia", "tensorflow")])
def test_another_format_than_was_said_is_named(source, target, tmp_path):
    folder, _ = write_model(tmp_path / "0", target="tensorflow")
    with pytest.raises(ValueError, match="is of the format tensorflow; give --from tensorflow"):
        convert(source, target, folder, tmp_path / "1")


def test_the_source_is_not_overwritten(tmp_path):
    folder, arrays = write_model(tmp_path / "0")
    with pytest.raises(ValueError, match="give another folder"):
        convert("mindspore", "mindspore", folder / "model.ckpt", tmp_path / "x/../0")
    assert_same(weights.read(folder).arrays, arrays)


def test_what_cannot_be_replaced_is_refused_before_anything_is_written(tmp_path):
    folder, arrays = write_model(tmp_path / "0")
    (tmp_path / "1/vocab.txt").mkdir(parents=True)
    with pytest.raises(ValueError, match="vocab.txt: a folder stands where a file is to be written"):
        convert("mindspore", "tensorflow", folder, tmp_path / "1")
    assert os.listdir(tmp_path / "1") == ["vocab.txt"]
    (tmp_path / "links").mkdir()
    for name in os.listdir(folder):
        (tmp_path / "links" / name).symlink_to(folder / name)
    with pytest.raises(ValueError, match="give another folder"):
        convert("mindspore", "mindspore", tmp_path / "links", folder)
    assert_same(weights.read(folder).arrays, arrays)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"head.dense.weight": (3, 32), "head.dense.bias": (2,)}, r"head.dense.weight is of shape \(3, 32\), head.dense.bias of \(2,\)"),
        ({"head.dense.weight": (32,), "head.dense.bias": (1,)}, "head.dense.weight is of shape"),
        ({"head.dense.weight": (0, 32), "head.dense.bias": (0,)}, "head.dense.weight is of shape"),
        ({"head.dense.weight": (3, 32), "head.dense.bias": ()}, r"head.dense.bias of \(\)"),
        ({"masked_lm.bias": ()}, r"vocab_size=60, and masked_lm.bias is of shape \(\)"),
        ({"head.crf.transitions": (3, 3)}, "without head.dense.weight"),
        (
            {"head.dense.weight": (2, 32), "head.dense.bias": (2,), "head.crf.transitions": (3, 3)},
            r"head.crf.transitions is of shape \(3, 3\); of 2 tags it has \(2, 2\)",
        ),
    ],
)
def test_arrays_of_a_head_that_do_not_belong_together_are_refused(arrays, message, tmp_path):
    heads = {name: np.zeros(shape, np.float32) for name, shape in arrays.items()}
    folder, _ = write_model(tmp_path / "0", arrays={**make_weights(make_model()), **heads})
    with pytest.raises(ValueError, match=message):
        convert("mindspore", "tensorflow", folder, tmp_path / "1")


def test_whole_numbers_are_no_weights(tmp_path):
    arrays = make_weights(make_model())
    arrays["bert.pooler.bias"] = arrays["bert.pooler.bias"].astype(np.int32)
    folder, _ = write_model(tmp_path / "0", arrays=arrays)
    with pytest.raises(ValueError, match="bert.pooler.bias is of type int32"):
        convert("mindspore", "tensorflow", folder, tmp_path / "1")


def test_weights_of_another_form_in_the_output_are_refused(tmp_path):
    folder, _ = write_model(tmp_path / "0")
    convert("mindspore", "huggingface", folder, tmp_path / "1")
    convert("mindspore", "huggingface", folder, tmp_path / "1")  # the same again replaces its files
    with pytest.raises(ValueError, match=r"model.safetensors: other weights, which would be read"):
        convert("mindspore", "tensorflow", folder, tmp_path / "1")
    (folder / "vocab.txt").unlink()
    with pytest.raises(ValueError, match="vocab.txt: is of other weights"):
        convert("mindspore", "huggingface", folder, tmp_path / "1")


def test_the_class_follows_from_the_parameters_where_none_is_told(tmp_path):
    crf = make_weights(make_model(), "tagger")
    with_pooler = {**make_weights(make_model()), **{name: array for name, array in crf.items() if name.startswith("head.")}}
    folder, _ = write_model(tmp_path / "0", arrays=with_pooler)
    report = convert("mindspore", "huggingface", folder, tmp_path / "1")
    config = json.loads((tmp_path / "1/config.json").read_text())
    assert (config["architectures"], config["num_labels"], report.warnings) == (["BertForTokenClassification"], 5, [])
    assert "max_relative_position" not in config
    folder, _ = write_model(tmp_path / "2", kind="classifier", target="tensorflow")
    edit(folder / "bert_config.json", architectures=[])
    report = convert("tensorflow", "mindspore", folder, tmp_path / "3")
    assert report.warnings == ["taken for a classifier of texts; a tagger with a pooler has parameters of the same names"]


@pytest.mark.parametrize(("target", "name"), [("tensorflow", "config.json"), ("huggingface", "tokenizer.json")])
def test_what_would_be_read_in_place_of_the_converted_is_refused(target, name, tmp_path):
    folder, _ = write_model(tmp_path / "0")
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / name).write_text("{}")
    with pytest.raises(ValueError, match=f"{name}: is of other weights, and would be read with the converted ones"):
        convert("mindspore", target, folder, tmp_path / "1")
    assert os.listdir(tmp_path / "1") == [name]


@pytest.mark.parametrize("missing", [True, False])
def test_the_report_of_weights_that_stand_is_not_replaced_by_that_of_a_failure(missing, tmp_path, computed):
    folder, arrays = write_model(tmp_path / "0")
    convert("mindspore", "huggingface", folder, tmp_path / "1")
    before = {path.name: path.read_bytes() for path in (tmp_path / "1").iterdir()}
    if missing:
        mindspore_checkpoint.write(folder / "model.ckpt", dict(list(arrays.items())[1:]))
        with pytest.raises(MissingParameters):
            convert("mindspore", "huggingface", folder, tmp_path / "1")
    else:
        computed({}, {"layer 1": None})
        assert not convert("mindspore", "huggingface", folder, tmp_path / "1").passed
    assert {path.name: path.read_bytes() for path in (tmp_path / "1").iterdir()} == before


def test_what_others_put_into_the_output_meanwhile_is_seen(tmp_path, monkeypatch):
    folder, _ = write_model(tmp_path / "0")
    monkeypatch.setattr(conversion, "check_heads", lambda *_: write_model(tmp_path / "1", target="huggingface"))
    with pytest.raises(ValueError, match="model.safetensors: other weights"):
        convert("mindspore", "tensorflow", folder, tmp_path / "1")


@pytest.mark.parametrize("name", ["model.pdparams", None])
def test_an_output_that_is_none_is_refused(name, tmp_path):
    folder, _ = write_model(tmp_path / "0")
    if name:
        (tmp_path / "1").mkdir()
    (tmp_path / "1" / name if name else tmp_path / "1").touch()
    with pytest.raises(ValueError, match="1: other weights, which would be read" if name else "--output .*1: is a file"):
        convert("mindspore", "tensorflow", folder, tmp_path / "1")


def test_two_conversions_into_one_folder_at_once_are_refused(tmp_path):
    folder, _ = write_model(tmp_path / "0")
    with hidden_folder(tmp_path / "1"), pytest.raises(ValueError, match="1: another process writes there at this moment"):
        convert("mindspore", "tensorflow", folder, tmp_path / "1")
    assert not (tmp_path / "1").exists()


def test_a_full_disk_is_told_of_the_file_as_it_will_be_named(tmp_path, monkeypatch):
    def fill(hidden, *_):
        raise OSError(errno.ENOSPC, "No space left on device", str(hidden / "model.ckpt"))

    folder, _ = write_model(tmp_path / "0")
    monkeypatch.setattr(conversion, "write", fill)
    with pytest.raises(OSError, match="No space") as caught:
        convert("mindspore", "mindspore", folder, tmp_path / "1")
    assert caught.value.filename == str(tmp_path / "1/model.ckpt")
    assert not (tmp_path / "1").exists()


def test_a_head_of_another_width_is_refused(tmp_path):
    arrays = make_weights(make_model(), "classifier")
    arrays["head.dense.weight"] = np.zeros((3, 64), np.float32)
    folder, _ = write_model(tmp_path / "0", arrays=arrays)
    with pytest.raises(ValueError, match=r"hidden_size=32, and head.dense.weight is of shape \(3, 64\)"):
        convert("mindspore", "huggingface", folder, tmp_path / "1")


@pytest.mark.parametrize("part", ["filters.0.weight", "joined.weight", "contexts.bias"])
def test_a_head_that_other_programs_lack_keeps_its_names_and_is_said_not_to_be_compared(part, tmp_path):
    arrays = {**make_weights(make_model(), "classifier"), f"head.{part}": np.ones(3, np.float32)}
    folder, _ = write_model(tmp_path / "0", arrays=arrays)
    for number, (source, target) in enumerate((("mindspore", "huggingface"), ("huggingface", "tensorflow"), ("tensorflow", "mindspore"))):
        report = convert(source, target, tmp_path / str(number), tmp_path / str(number + 1))
        assert report.passed
        assert report.proof["not_compared"] == ["head"]
        assert "not compared, as not both sides compute them: head" in list(report.lines())
        written = {tensor["target"] for tensor in report.tensors}
        assert {"head.dense.weight", f"head.{part}"} <= written  # no classifier.weight, which a class of others would take
        if target == "huggingface":
            assert json.loads((tmp_path / "1/config.json").read_text())["architectures"] == ["BertModel"]
    assert_same(weights.read(tmp_path / "3").arrays, arrays)


def test_labels_that_are_not_as_many_as_the_classes_are_refused(tmp_path):
    folder, _ = write_model(tmp_path / "0", kind="classifier", labels=("a", "b"))
    with pytest.raises(ValueError, match=r"id2label has 2 names, head.dense.bias 3 values"):
        convert("mindspore", "huggingface", folder, tmp_path / "1")


@pytest.mark.parametrize("target", WEIGHTS_FILE)
def test_what_was_written_wrongly_is_not_kept(target, tmp_path, monkeypatch, capsys):
    folder, _ = write_model(tmp_path / "0", kind="classifier")
    write = conversion.write

    def write_wrongly(hidden, kind, description, arrays):
        name = "bert.encoder.layers.1.attention.query.bias"
        write(hidden, kind, description, {**arrays, name: arrays[name] + np.float32(1e-7)})

    monkeypatch.setattr(conversion, "write", write_wrongly)
    (tmp_path / "1").mkdir()
    (tmp_path / "1/mine.txt").write_text("stays")
    with pytest.raises(SystemExit, match="1"):
        __main__.main(["--from", "mindspore", "--to", target, "--input", str(folder), "--output", str(tmp_path / "1")])
    assert sorted(os.listdir(tmp_path / "1")) == ["conversion_report.json", "mine.txt"]
    assert "not the same bits: bert.encoder.layers.1.attention.query.bias\n" in capsys.readouterr().out
    assert json.loads((tmp_path / "1/conversion_report.json").read_text())["passed"] is False


def test_a_configuration_that_was_written_wrongly_fails_the_proof(tmp_path, monkeypatch):
    folder, _ = write_model(tmp_path / "0")
    monkeypatch.setattr(proof, "read_description", lambda folder: dataclasses.replace(described, model=make_model(num_attention_heads=2)))
    described = read_description(folder)
    report = convert("mindspore", "huggingface", folder, tmp_path / "1")
    assert not report.passed
    assert report.proof["changed"] == []
    assert report.proof["differences"]["embeddings"] == 0
    assert report.proof["differences"]["layer 0"] > 1e-3


def test_a_tied_matrix_that_differs_is_told_and_its_head_left_out(tmp_path):
    folder, arrays = write_model(tmp_path / "0", kind="pretraining", target="huggingface")
    tensors = load_file(folder / "model.safetensors")
    decoder = tensors["bert.embeddings.word_embeddings.weight"]
    for other, remark in ((decoder, "the same as"), (decoder + 1, "differs from")):
        save_file({**tensors, "cls.predictions.decoder.weight": other}, folder / "model.safetensors", {"format": "pt"})
        report = convert("huggingface", "mindspore", folder, tmp_path / "1")
        assert report.passed
        dropped = {tensor["source"]: tensor["remark"] for tensor in report.tensors if tensor["status"] == "dropped"}
        assert dropped["cls.predictions.decoder.weight"].startswith(remark)
        found = weights.read(tmp_path / "1").arrays
        assert set(arrays) - set(found) == ({name for name in arrays if "masked_lm" in name} if remark == "differs from" else set())
    assert "the masked language model is left out" in report.warnings[0]
    assert "BertForPreTraining becomes BertForNextSentencePrediction" in report.warnings[1]


def test_classes_that_are_none_of_ours_are_named_or_refused(tmp_path):
    folder, _ = write_model(tmp_path / "0", kind="classifier", target="huggingface", problem_type="multi_label_classification")
    convert("huggingface", "tensorflow", folder, tmp_path / "1")
    convert("tensorflow", "huggingface", tmp_path / "1", tmp_path / "2")
    assert json.loads((tmp_path / "2/config.json").read_text())["problem_type"] == "multi_label_classification"
    edit(folder / "config.json", architectures=["BertForMultipleChoice"], hidden_act="gelu_pytorch_tanh")
    report = convert("huggingface", "mindspore", folder, tmp_path / "3")
    assert report.warnings == ["BertForMultipleChoice becomes BertForSequenceClassification: what these do alike is converted"]
    assert read_description(tmp_path / "3").model.hidden_act == "gelu_tanh"
    edit(folder / "config.json", is_decoder=True)
    with pytest.raises(ValueError, match="is_decoder=true"):
        convert("huggingface", "mindspore", folder, tmp_path / "4")
    edit(folder / "config.json", is_decoder=False, num_hidden_layers=10**9)
    with pytest.raises(ValueError, match="num_hidden_layers=1000000000"):
        convert("huggingface", "mindspore", folder, tmp_path / "4")


def test_tokens_without_embedding_and_a_missing_vocabulary_are_warned_of(tmp_path):
    folder, _ = write_model(tmp_path / "0", vocabulary="".join(f"{token}\n" for token in [*TOKENS, "a", "b"]).encode())
    assert "62 tokens, and vocab_size=60" in convert("mindspore", "mindspore", folder, tmp_path / "1").warnings[0]
    (folder / "vocab.txt").unlink()
    assert "no vocab.txt" in convert("mindspore", "mindspore", folder, tmp_path / "2").warnings[0]
    assert not (tmp_path / "2/vocab.txt").exists()


def test_a_vocabulary_is_made_of_a_fast_tokenizer(tmp_path, encoder):
    folder, _ = write_model(tmp_path / "0", make_model(vocab_size=30522))
    (folder / "vocab.txt").unlink()
    (folder / "tokenizer.json").write_bytes((encoder / "tokenizer.json").read_bytes())
    convert("mindspore", "tensorflow", folder, tmp_path / "1")
    assert (tmp_path / "1/vocab.txt").read_bytes() == (encoder / "vocab.txt").read_bytes()
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="tokenizer.json: model.vocab must map"):
        convert("mindspore", "tensorflow", folder, tmp_path / "1")


def test_google_is_said_to_compute_otherwise(tmp_path):
    folder, _ = write_model(tmp_path / "0", make_model(layer_norm_eps=1e-7))
    report = convert("mindspore", "tensorflow", folder, tmp_path / "1")
    assert ["tanh" in report.warnings[0], "1e-12" in report.warnings[1], len(report.warnings)] == [True, True, 2]


def test_a_training_checkpoint_gives_its_weights(tmp_path):
    folder, arrays = write_model(tmp_path / "0", kind="classifier")
    state = {f"moment1.{name}": array for name, array in arrays.items()} | {"global_step": np.array(3, np.int32)}
    mindspore_checkpoint.write(folder / "model.ckpt", {**arrays, **state})
    report = convert("mindspore", "huggingface", folder, tmp_path / "1")
    assert_same(weights.read(tmp_path / "1").arrays, arrays)
    assert sum(tensor["remark"] == "state of a training" for tensor in report.tensors) == len(state)


def write_zoo(path, arrays, **others):
    """A pretrained checkpoint with the model zoo's names."""
    theirs = {ours: theirs for ours, _, _, theirs in names.ALL} | {names.POSITIONS: names.ZOOS_POSITIONS}

    def to_zoo(name):
        number = names.NUMBER.search(name)
        name = theirs[names.NUMBER.sub("{}", name)]
        name = name.format(number[0]) if number else name
        return ("bert." if name.startswith("cls") else "bert.bert.") + name

    mindspore_checkpoint.write(path, {to_zoo(name): array for name, array in arrays.items()} | others)
    return path


NO_VOCABULARY = "no vocab.txt or tokenizer.json beside the weights; --vocab_file_path names one"


def test_the_zoos_nezha_becomes_this_programs(tmp_path):
    model = make_model("learned", hidden_act="gelu_tanh", layer_norm_eps=1e-7)
    arrays = make_weights(model, "pretraining")
    unused = {"bert.bert.bert_embedding_postprocessor.full_position_embedding.embedding_table": np.zeros((32, 32), np.float32)}
    path = write_zoo(tmp_path / "checkpoint_bert-40_100.ckpt", arrays, **unused)
    report = convert("zoo", "mindspore", path, tmp_path / "1")
    assert (report.passed, report.warnings) == (True, [NO_VOCABULARY])
    assert_same(weights.read(tmp_path / "1").arrays, arrays)
    assert read_description(tmp_path / "1").model == model
    assert describe_weights(path).model["hidden_act"] == "gelu_tanh"


def test_the_number_of_heads_of_the_zoos_bert_is_said_to_be_a_guess(tmp_path):
    path = write_zoo(tmp_path / "checkpoint_bert-40_100.ckpt", make_weights(make_model(), "pretraining"))
    report = convert("zoo", "mindspore", path, tmp_path / "1")
    assert report.warnings == [NO_VOCABULARY, "num_attention_heads=1 is a guess; --bert_config_file tells it"]
    (tmp_path / "bert_config.json").write_text((tmp_path / "1/config.json").read_text())
    assert convert("zoo", "mindspore", path, tmp_path / "2").warnings == [NO_VOCABULARY]


def test_the_output_folder_of_a_training_is_that_of_its_weights(tmp_path, capsys):
    write_model(tmp_path / "run/ckpt")
    __main__.main(["--from", "mindspore", "--to", "huggingface", "--input", str(tmp_path / "run"), "--output", str(tmp_path / "1")])
    assert (tmp_path / "1/model.safetensors").is_file() and "proof passed" in capsys.readouterr().out


def test_names_of_strangers_draw_no_lines_of_their_own(tmp_path, capsys):
    forged = "x\nproof passed\x1b[31m"
    folder, _ = write_model(tmp_path / "0", arrays={**make_weights(make_model()), forged: np.ones(1, np.float32)}, target="huggingface")
    __main__.main(["--from", "huggingface", "--to", "mindspore", "--input", str(folder), "--output", str(tmp_path / "1")])
    lines = capsys.readouterr().out.split("\n")
    assert [line for line in lines if line.startswith("proof passed")] == [lines[-3]]
    assert any(line.startswith(r"dropped    x\nproof passed\x1b[31m float32[1]") for line in lines)


def test_files_that_are_no_ordinary_ones_are_refused(tmp_path):
    folder, _ = write_model(tmp_path / "0")
    os.mkfifo(tmp_path / "fifo")
    for given in ({"config_file": tmp_path / "fifo"}, {"vocab_file": tmp_path / "fifo"}):
        with pytest.raises((ValueError, FileNotFoundError), match=f"{tmp_path}/fifo: "):
            convert("mindspore", "tensorflow", folder, tmp_path / "1", **given)


def test_added_tokens_and_settings_of_the_tokenizer_are_taken_along(tmp_path):
    folder, _ = write_model(tmp_path / "0", make_model(vocab_size=61))
    (folder / "added_tokens.json").write_text(json.dumps({"[E1]": len(TOKENS)}))
    (folder / "tokenizer_config.json").write_text('{"strip_accents": false, "model_max_length": 512}')
    source = Tokenizer(folder / "vocab.txt")
    convert("mindspore", "tensorflow", folder, tmp_path / "1")
    made = Tokenizer(tmp_path / "1/vocab.txt")
    assert (made.vocabulary, made.description) == (source.vocabulary, source.description)
    assert made.encode(["é[E1]"])[0][-1] == len(TOKENS)
    assert json.loads((tmp_path / "1/tokenizer_config.json").read_text())["model_max_length"] == 512


def test_a_generic_class_of_tokenizer_is_kept_as_what_it_does(tmp_path, encoder):
    folder, _ = write_model(tmp_path / "0", make_model(vocab_size=30522))
    (folder / "vocab.txt").unlink()
    fast = json.loads((encoder / "tokenizer.json").read_text())
    fast["normalizer"]["lowercase"] = False
    (folder / "tokenizer.json").write_text(json.dumps(fast))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "TokenizersBackend", "do_lower_case": true}')
    convert("mindspore", "huggingface", folder, tmp_path / "1")
    assert json.loads((tmp_path / "1/tokenizer_config.json").read_text()) == {"do_lower_case": False, "max_input_chars_per_word": 100}


def test_bad_flags_end_with_2(capsys):
    for flags in (["--from", "paddle"], [], ["--from", "zoo", "--to", "zoo", "--input", "x", "--output", "y"]):
        with pytest.raises(SystemExit, match="2"):
            __main__.main(flags)
    with pytest.raises(SystemExit, match="2"):
        __main__.main(["--from", "zoo", "--to", "mindspore", "--input", "/nowhere", "--output", "y"])
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: /nowhere: no such file or folder")


def test_of_a_folder_with_several_formats_the_one_that_is_named_counts(tmp_path):
    folder, arrays = write_model(tmp_path / "0")
    others = {name: array + np.float32(1) for name, array in arrays.items()}
    write_model(tmp_path / "other", arrays=others, target="tensorflow")
    for file in (tmp_path / "other").glob("bert_model.ckpt.*"):
        file.rename(folder / file.name)
    for source, expected in (("mindspore", arrays), ("tensorflow", others)):
        convert(source, "mindspore", folder, tmp_path / source)
        assert_same(weights.read(tmp_path / source).arrays, expected)


def test_conversion_imports_no_mindspore():
    done = subprocess.run([sys.executable, "-X", "importtime", "-m", "src.convert", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert not [line for line in done.stderr.splitlines() if line.split("|")[-1].strip() == "mindspore"]
    assert mindspore.__version__  # which this test has imported itself
