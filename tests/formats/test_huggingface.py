import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from mutations import overwrite
from safetensors.numpy import save_file

from src.formats import names, weights

GOLDEN = Path(__file__).parent.parent / "golden" / "torch"
WEIGHTS = {
    "bert.pooler.dense.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "bert.pooler.dense.bias": np.array([0.5, -1.0], np.float16),
    "bert.embeddings.position_ids": np.arange(4),
    "cls.something": np.ones(1, np.float32),
}
OURS = {"bert.pooler.weight", "bert.pooler.bias", "cls.something"}


def write_shards(folder, shards, weight_map=None):
    for name, tensors in shards.items():
        save_file(tensors, folder / name)
    weight_map = weight_map or {key: name for name, tensors in shards.items() for key in tensors}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_safetensors_are_read_under_our_names(tmp_path):
    save_file(WEIGHTS, tmp_path / "model.safetensors")
    for path in (tmp_path, tmp_path / "model.safetensors"):
        found = weights.read(path).arrays
        assert set(found) == OURS
        np.testing.assert_array_equal(found["bert.pooler.weight"], WEIGHTS["bert.pooler.dense.weight"])
        assert found["bert.pooler.bias"].dtype == np.float16


def test_shards_together_are_the_whole(tmp_path):
    whole, sharded = tmp_path / "whole", tmp_path / "sharded"
    whole.mkdir()
    sharded.mkdir()
    save_file(WEIGHTS, whole / "model.safetensors")
    items = list(WEIGHTS.items())
    write_shards(sharded, {"a.safetensors": dict(items[:1]), "b.safetensors": dict(items[1:])})
    expected, found = weights.read(whole).arrays, weights.read(sharded).arrays
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_safetensors_is_taken_before_bin(tmp_path):
    save_file(WEIGHTS, tmp_path / "model.safetensors")
    shutil.copy(GOLDEN / "zip.pt", tmp_path / "pytorch_model.bin")
    assert set(weights.read(tmp_path).arrays) == OURS
    (tmp_path / "model.safetensors").unlink()
    assert "transposed" in weights.read(tmp_path).arrays


def test_sharded_bin_is_read(tmp_path):
    shutil.copy(GOLDEN / "under_state_dict.pt", tmp_path / "one.bin")
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"weight": "one.bin"}}))
    assert set(weights.read(tmp_path).arrays) == {"weight", "bias"}


def test_bfloat16_becomes_float32(tmp_path):
    values = np.array([1.0, -2.5, 0.15625, 0.0], np.float32)  # exact in bfloat16
    header = {
        "a": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]},
        "b": {"dtype": "F16", "shape": [1], "data_offsets": [8, 10]},
    }
    text = json.dumps(header).encode()
    data = (values.view(np.uint32) >> 16).astype(np.uint16).tobytes() + np.array([0.5], np.float16).tobytes()
    (tmp_path / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
    found = weights.read(tmp_path).arrays
    assert found["a"].dtype == np.float32
    np.testing.assert_array_equal(found["a"], values.reshape(2, 2))
    assert found["b"].dtype == np.float16
    assert found["b"] == 0.5


@pytest.mark.parametrize(
    "shards",
    [
        [{"pooler.dense.bias": np.ones(2), "bert.pooler.dense.bias": np.ones(2)}],
        [{"pooler.dense.bias": np.ones(2)}, {"bert.pooler.dense.bias": np.ones(2)}],
        [{"bert.embeddings.LayerNorm.gamma": np.ones(2), "bert.embeddings.LayerNorm.weight": np.ones(2)}],
    ],
)
def test_parameter_that_occurs_twice_is_refused(shards, tmp_path):
    write_shards(tmp_path, {f"{number}.safetensors": shard for number, shard in enumerate(shards)})
    with pytest.raises(ValueError, match="occurs twice"):
        weights.read(tmp_path)


@pytest.mark.parametrize("trick", ["../x.safetensors", "sub/x.safetensors", "/x.safetensors", "./x.safetensors", "..", "", "."])
def test_shard_outside_the_folder_is_refused(trick, tmp_path):
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    save_file(WEIGHTS, tmp_path / "x.safetensors")
    save_file(WEIGHTS, folder / "sub" / "x.safetensors")
    save_file(WEIGHTS, folder / "x.safetensors")
    write_shards(folder, {}, {"w": trick if trick != "/x.safetensors" else str(tmp_path / "x.safetensors")})
    with pytest.raises(ValueError, match="does not lie beside"):
        weights.read(folder)


def test_missing_shard_is_named(tmp_path):
    name = next(iter(WEIGHTS))
    write_shards(tmp_path, {"a.safetensors": WEIGHTS}, {name: "a.safetensors", "v": "gone.safetensors"})
    with pytest.raises(FileNotFoundError, match="gone.safetensors"):
        weights.read(tmp_path)


def test_a_tensor_that_no_shard_has_is_named(tmp_path):
    write_shards(tmp_path, {"a.safetensors": WEIGHTS}, {"w": "a.safetensors"})
    with pytest.raises(ValueError, match="a.safetensors lacks w, which the index says it has"):
        weights.read(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "nonsense", '{"weight_map": []}', '{"weight_map": 3}', '{"weight_map": {}}', "\xff"])
def test_broken_index_is_refused(text, tmp_path):
    (tmp_path / "model.safetensors.index.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match="index.json"):
        weights.read(tmp_path)


def test_an_empty_folder_is_reported_with_the_names_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match="pytorch_model.bin"):
        weights.read(tmp_path)


def test_file_without_tensors_is_refused(tmp_path):
    save_file({}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="model.safetensors"):
        weights.read(tmp_path)


def test_truncated_safetensors_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file(WEIGHTS, path)
    data = path.read_bytes()
    for length in range(len(data)):
        overwrite(path, data[:length])
        with pytest.raises(ValueError, match="model.safetensors"):
            weights.read(path)


def test_to_float32_leaves_whole_numbers():
    found = weights.to_float32({"a": np.ones(2, np.float16), "b": np.arange(2), "c": np.ones(1)})
    assert {name: array.dtype for name, array in found.items()} == {"a": np.float32, "b": np.arange(2).dtype, "c": np.float32}


def test_published_checkpoint_loads(shared_file):
    folder = shared_file("../checkpoints/camphr_ner_bert_tiny_hf")
    config = json.loads((folder / "config.json").read_text())
    found = weights.read(folder).arrays
    hidden = config["hidden_size"]
    assert found["bert.embeddings.word.weight"].shape == (config["vocab_size"], hidden)
    last = config["num_hidden_layers"] - 1
    assert found[f"bert.encoder.layers.{last}.attention.query.weight"].shape == (hidden, hidden)
    assert found[f"bert.encoder.layers.{last}.intermediate.bias"].shape == (config["intermediate_size"],)
    assert all(names.from_huggingface(names.to_huggingface(name)) == name for name in found)
    assert all(np.isfinite(array).all() for array in found.values())
