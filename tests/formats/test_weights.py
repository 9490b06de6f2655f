import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from mutations import assert_bits, overwrite, read_damaged
from safetensors.numpy import save_file

from src.formats import mindspore_checkpoint, tensorflow, weights
from src.formats.origin import Origin

GOLDEN = Path(__file__).parent.parent / "golden" / "torch"
POOLER = {"bert.pooler.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "bert.pooler.bias": np.array([0.5, -1], np.float32)}
GOOGLES = {"bert/pooler/dense/kernel": POOLER["bert.pooler.weight"].T, "bert/pooler/dense/bias": POOLER["bert.pooler.bias"]}
WORDS, BIAS = np.arange(8, dtype=np.float32).reshape(4, 2), np.arange(4, dtype=np.float32)


def write_huggingface(folder, tensors=None):
    tensors = tensors or {"pooler.dense.weight": POOLER["bert.pooler.weight"], "pooler.dense.bias": POOLER["bert.pooler.bias"]}
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, folder / "model.safetensors")
    return folder / "model.safetensors"


def write_tensorflow(folder, name="bert_model.ckpt"):
    tensorflow.write(folder / name, GOOGLES)
    return folder / name


def write_ours(folder, name="model.ckpt"):
    mindspore_checkpoint.write(folder / name, POOLER)
    return folder / name


def age(path, seconds):
    os.utime(path, (seconds, seconds))


@pytest.mark.parametrize("write", [write_huggingface, write_tensorflow, write_ours])
def test_a_file_a_prefix_and_their_folder_refer_to_the_same_weights(write, tmp_path):
    path = write(tmp_path)
    assert weights.find(path) == weights.find(str(path)) == weights.find(tmp_path) == path
    found = weights.read(tmp_path)
    assert found.path == path
    assert_bits(dict(sorted(found.arrays.items())), dict(sorted(POOLER.items())))


def test_each_file_of_a_tensorflow_checkpoint_refers_to_its_prefix(tmp_path):
    prefix = write_tensorflow(tmp_path)
    Path(f"{prefix}.meta").touch()
    for ending in (".index", ".meta", ".data-00000-of-00001"):
        assert weights.find(f"{prefix}{ending}") == prefix


def test_a_shard_index_refers_to_itself(tmp_path):
    write_huggingface(tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"pooler.dense.weight": "model.safetensors"}}))
    assert weights.find(index) == weights.find(tmp_path) == index
    assert len(weights.read(index).arrays) == 2


def test_the_order_among_several_is_huggingface_tensorflow_ours(tmp_path):
    ours, prefix, theirs = write_ours(tmp_path), write_tensorflow(tmp_path), write_huggingface(tmp_path)
    shutil.copy(GOLDEN / "under_state_dict.pt", tmp_path / "pytorch_model.bin")
    assert weights.find(tmp_path) == theirs
    theirs.unlink()
    assert weights.find(tmp_path) == tmp_path / "pytorch_model.bin"
    (tmp_path / "pytorch_model.bin").unlink()
    assert weights.find(tmp_path) == prefix
    assert weights.read(tmp_path).kind == "tensorflow"
    assert weights.find(ours) == ours
    assert weights.read(ours).kind == "mindspore"


@pytest.mark.parametrize("seconds", [1000, 3000])
def test_the_checkpoint_of_the_last_step_is_taken_whatever_the_clock_says(seconds, tmp_path):
    first, second = write_ours(tmp_path, "classifier-9_90.ckpt"), write_ours(tmp_path, "classifier-10_100.ckpt")
    age(first, 2000)
    age(second, seconds)
    assert weights.find(tmp_path) == second


def test_the_best_checkpoint_comes_before_the_newest_unless_told_otherwise(tmp_path):
    newest = write_ours(tmp_path, "classifier-10_100.ckpt")
    (tmp_path / "best").mkdir()
    assert weights.find(tmp_path) == newest
    best = write_ours(tmp_path / "best", "classifier-9_90.ckpt")
    assert weights.find(tmp_path) == weights.find(tmp_path / "best") == best
    assert weights.find(tmp_path, use_best=False) == newest


@pytest.mark.parametrize("name", ["ner-2_20.ckpt", "classifier_1-1_10.ckpt", "model.ckpt"])
def test_checkpoints_of_several_trainings_are_told_apart_by_the_user(name, tmp_path):
    first, second = write_ours(tmp_path, "classifier-2_20.ckpt"), write_ours(tmp_path, name)
    with pytest.raises(ValueError, match="holds checkpoints of several trainings") as refusal:
        weights.find(tmp_path)
    assert first.name in str(refusal.value) and name in str(refusal.value)
    assert weights.find(second) == second


def test_unfinished_files_and_folders_are_ignored(tmp_path):
    for name in (".model.17.ckpt", ".bert_model.ckpt.17.index", ".model.17.safetensors"):
        (tmp_path / name).touch()
    for name in ("more.ckpt", "model.safetensors", "pytorch_model.bin", "x.index"):
        (tmp_path / name).mkdir()
    with pytest.raises(FileNotFoundError, match="no weights in this folder; looked for model.safetensors.index.json, model.safetensors, "):
        weights.find(tmp_path)
    ours = write_ours(tmp_path)
    age(ours, 1000)
    assert weights.find(tmp_path) == ours


@pytest.mark.parametrize("name", ["absent", "absent.ckpt", "absent.safetensors", "absent/bert_model.ckpt", "absent.index"])
def test_an_absent_path_is_reported(name, tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / name))):
        weights.read(tmp_path / name)


@pytest.mark.parametrize("name", ["word_embedding", "params/word_embedding", "model.pdparams"])
def test_weights_of_paddle_are_refused_by_their_file_and_their_folders(name, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    for given in {path, path.parent, tmp_path}:
        with pytest.raises(ValueError, match=f"^{re.escape(str(given))}: weights of PaddlePaddle, which are not read; give Google's "):
            weights.find(given)
    prefix = write_tensorflow(tmp_path)  # beside them, as somebody who converted them keeps it
    assert weights.find(tmp_path) == prefix


def test_data_without_an_index_are_reported(tmp_path):
    prefix = write_tensorflow(tmp_path)
    Path(f"{prefix}.index").unlink()
    for path, told in {prefix: "no such file", f"{prefix}.data-00000-of-00001": "whose .index is absent", tmp_path: "looked for"}.items():
        with pytest.raises(FileNotFoundError, match=f"^{re.escape(str(path))}: .*{told}"):
            weights.read(path)


def test_the_kind_follows_from_the_names_inside(tmp_path):
    zoo = {"bert.bert.bert_embedding_lookup.embedding_table": WORDS}
    mindspore_checkpoint.write(tmp_path / "a.ckpt", zoo)
    assert weights.read(tmp_path).kind == "zoo"
    mindspore_checkpoint.write(tmp_path / "a.ckpt", POOLER)
    assert weights.read(tmp_path).kind == "mindspore"
    assert weights.read(GOLDEN / "under_model.pt").kind == "huggingface"


def test_our_parameters_are_read_unchanged_without_the_state_of_a_training(tmp_path):
    state = {"moment1.bert.pooler.bias": BIAS, "global_step": np.array(3), "loss_scale": np.array(1.0, np.float32)}
    mindspore_checkpoint.write(tmp_path / "a.ckpt", {**state, **POOLER, "head.dense.bias": BIAS})
    found = weights.read(tmp_path)
    assert_bits(found.arrays, {**POOLER, "head.dense.bias": BIAS})
    assert [origin.name for origin in found.origins if origin.target is None] == list(state)
    assert {origin.remark for origin in found.origins} == {"", "state of a training"}
    assert found.origins[1] == Origin("global_step", (), "int64", None, "state of a training")


def test_googles_kernels_are_transposed_and_slots_left_out(tmp_path):
    slots = {f"{name}/{slot}": array for name, array in GOOGLES.items() for slot in ("adam_m", "lamb_m", "Adam_1", "Adagrad")}
    others = {"global_step": np.array(9), "cls/squad/output_weights": WORDS, "other/kernel": WORDS}
    tensorflow.write(tmp_path / "model.ckpt-9", {**GOOGLES, **slots, **others})
    found = weights.read(tmp_path)
    names = {"cls/squad/output_weights": "head.span.weight"}
    expected = POOLER | {names.get(name, name): array for name, array in others.items()}
    assert_bits(dict(sorted(found.arrays.items())), dict(sorted(expected.items())))
    origins = {origin.name: origin for origin in found.origins}
    assert origins["bert/pooler/dense/kernel"] == Origin(
        "bert/pooler/dense/kernel", (3, 2), "float32", "bert.pooler.weight", transposed=True
    )
    assert origins["bert/pooler/dense/bias"].remark == origins["cls/squad/output_weights"].remark == ""
    assert {name for name, origin in origins.items() if origin.remark == "state of the optimiser"} == slots.keys()


TABLE, DECODER = "bert.embeddings.word_embeddings.weight", "cls.predictions.decoder."
SECOND_NAMES = {
    "the same": ({TABLE: WORDS, f"{DECODER}weight": WORDS}, {}, "the same as bert.embeddings.word.weight"),
    "another": ({TABLE: WORDS, f"{DECODER}weight": WORDS + 1}, {}, "differs from bert.embeddings.word.weight"),
    "of another shape": ({TABLE: WORDS, f"{DECODER}weight": WORDS[:2]}, {}, "differs from bert.embeddings.word.weight"),
    "alone": ({f"{DECODER}weight": WORDS}, {"bert.embeddings.word.weight": WORDS}, "its second name"),
    "the same bias": ({TABLE: WORDS, "cls.predictions.bias": BIAS, f"{DECODER}bias": BIAS}, {}, "the same as masked_lm.bias"),
    "a bias alone": ({TABLE: WORDS, f"{DECODER}bias": BIAS}, {"masked_lm.bias": BIAS}, "its second name"),
    "a buffer": ({TABLE: WORDS, "bert.embeddings.position_ids": np.arange(4)}, {}, "a buffer, which follows from the configuration"),
}


@pytest.mark.parametrize(("tensors", "added", "remark"), SECOND_NAMES.values(), ids=SECOND_NAMES)
def test_the_decoder_is_a_second_name(tensors, added, remark, tmp_path):
    write_huggingface(tmp_path, tensors)
    found = weights.read(tmp_path)
    first = {"bert.embeddings.word.weight": WORDS} if TABLE in tensors else {}
    first |= {"masked_lm.bias": BIAS} if "cls.predictions.bias" in tensors else {}
    assert_bits(dict(sorted(found.arrays.items())), dict(sorted({**first, **added}.items())))
    origin = next(origin for origin in found.origins if origin.name == list(tensors)[-1])
    assert origin.remark.startswith(remark)
    assert origin.target == next(iter(added), None)


@pytest.mark.parametrize("other", [{f"{DECODER}weight": WORDS + 1}, {f"{DECODER}bias": -BIAS}])
def test_a_head_with_an_output_matrix_of_its_own_is_left_out_with_a_warning(other, tmp_path):
    head = {"cls.predictions.bias": BIAS, "cls.predictions.transform.dense.bias": BIAS}
    write_huggingface(tmp_path, {TABLE: WORDS, **head, **other})
    found = weights.read(tmp_path)
    assert_bits(found.arrays, {"bert.embeddings.word.weight": WORDS})
    assert {origin.name for origin in found.origins if origin.remark == "part of a head with an output layer of its own"} == head.keys()
    (warning,) = found.warnings
    assert warning.startswith(f"the masked language model is left out: {next(iter(other))} is not ")


def test_equal_arrays_under_a_second_name_may_hold_nan(tmp_path):
    words = np.where(WORDS.mean() < WORDS, np.nan, WORDS).astype(np.float32)
    write_huggingface(tmp_path, {TABLE: words, f"{DECODER}weight": words})
    assert weights.read(tmp_path).warnings == ()


@pytest.mark.filterwarnings("error")
def test_numbers_beyond_the_range_of_float32_become_infinite():
    assert weights.to_float32({"a": np.array([1e300, 1.5])})["a"].tolist() == [np.inf, 1.5]


def test_names_that_are_not_unicode_are_refused(tmp_path):
    mapped = json.dumps({"\ud800": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(len(mapped).to_bytes(8, "little") + mapped + bytes(4))
    with pytest.raises(ValueError, match=rf"^{re.escape(str(tmp_path))}/model.safetensors: .*surrogates not allowed"):
        weights.read(tmp_path)


DUPLICATES = {
    "two prefixes": (write_huggingface, {"pooler.dense.bias": BIAS, "bert.pooler.dense.bias": BIAS}),
    "a wrapper's": (write_huggingface, {"bert.pooler.dense.bias": BIAS, "module.bert.pooler.dense.bias": BIAS}),
    "two spellings": (write_huggingface, {"bert.embeddings.LayerNorm.gamma": BIAS, "bert.embeddings.LayerNorm.weight": BIAS}),
    "NEZHA and BERT": (write_huggingface, {"nezha.pooler.dense.bias": BIAS, "bert.pooler.dense.bias": BIAS}),
    "two decoders": (write_huggingface, {f"{DECODER}weight": WORDS, f"module.{DECODER}weight": WORDS}),
}


@pytest.mark.parametrize(("write", "tensors"), DUPLICATES.values(), ids=DUPLICATES)
def test_a_parameter_that_occurs_twice_is_reported_with_its_file(write, tensors, tmp_path):
    path = write(tmp_path, tensors)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: parameter .* occurs twice: .* is there already"):
        weights.read(tmp_path)


def test_a_file_without_our_parameters_is_reported(tmp_path):
    mindspore_checkpoint.write(tmp_path / "a.ckpt", {"global_step": np.array(1)})
    with pytest.raises(ValueError, match="a.ckpt: no weights in it"):
        weights.read(tmp_path)


def test_rows_that_fill_up_the_vocabulary_are_cut_where_the_number_fits():
    table, name = np.arange(32).reshape(16, 2), weights.OF_WORDS[0]
    for num_words in (9, 10, 15, 16):
        np.testing.assert_array_equal(weights.cut_vocabulary(name, table, num_words), table[:num_words])
        np.testing.assert_array_equal(weights.cut_vocabulary("masked_lm.bias", table[:, 0], num_words), table[:num_words, 0])
    for num_words in (0, 1, 8, 17, 24):
        assert weights.cut_vocabulary(name, table, num_words) is table
    assert weights.cut_vocabulary("bert.embeddings.position.weight", table, 10) is table
    assert weights.cut_vocabulary(name, np.array(1.0), 1).shape == ()


def test_damage_of_a_shard_index_is_reported_or_harmless(tmp_path):
    write_huggingface(tmp_path)
    index, outcomes = tmp_path / "model.safetensors.index.json", set()
    index.write_text(json.dumps({"metadata": {}, "weight_map": {"pooler.dense.weight": "model.safetensors"}}))
    for _, found in read_damaged(index, lambda: weights.read(tmp_path).arrays, 6):
        outcomes.add(found is None)
        if found is not None:
            assert_bits(dict(sorted(found.items())), dict(sorted(POOLER.items())))
    assert outcomes == {True, False}


@pytest.mark.parametrize("text", ['{"weight_map": {"a": %s}}' % ("[" * 100_000), "[" * 100_000, '{"weight_map": {"a": "\\u0000"}}'])
def test_an_index_that_tricks_the_reader_is_refused(text, tmp_path):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(str(tmp_path))):
        weights.read(index)
    overwrite(index, json.dumps({"weight_map": {"a": "x" * 5000}}).encode())
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(str(tmp_path))):
        weights.read(index)
