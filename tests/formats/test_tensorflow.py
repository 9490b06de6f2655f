import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from mutations import mutate, overwrite

from src.formats import protobuf, sorted_table, tensorflow

GOLDEN = Path(__file__).parent.parent / "golden" / "tensorflow"
ENDINGS = (".index", ".data-00000-of-00001")
TYPES = ["bool", "complex64", "complex128", *(f"float{bits}" for bits in (16, 32, 64))]
TYPES += [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]
SMALL = {
    "embeddings/table": np.arange(12, dtype=np.float32).reshape(3, 4),
    "layer/bias": np.array([1, -2], np.int64),
    "layer/kernel": np.ones((2, 2), np.float16),
    "nothing": np.zeros((0, 2), np.float32),
    "step": np.int32(7),
}


@pytest.fixture
def small(tmp_path):
    prefix = tmp_path / "model.ckpt-1000"
    tensorflow.write(prefix, SMALL)
    return prefix


def expect(prefix):
    with np.load(GOLDEN / "expected.npz") as file:
        return {name.removeprefix(f"{prefix}/"): array for name, array in file.items() if name.startswith(f"{prefix}/")}


def assert_same(found, expected):
    assert set(found) == set(expected)
    for name, array in expected.items():
        array = np.asarray(array)
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        assert found[name].tobytes() == array.tobytes(), name
        assert not found[name].flags.writeable


def read_pairs(prefix):
    with open(f"{prefix}.index", "rb") as file:
        return list(sorted_table.read_table(file))


def write_pairs(prefix, pairs):
    Path(f"{prefix}.index").write_bytes(sorted_table.encode_table(sorted(pairs)))


def change_entry(prefix, name, change):
    """Replace a variable's entry in the index, whose checksums stay right."""
    pairs = dict(read_pairs(prefix))
    pairs[name] = change(pairs[name])
    write_pairs(prefix, pairs.items())


@pytest.mark.parametrize("name", ["plain", "texts", "shards"])
def test_tensorflows_files_are_read(name):
    assert_same(tensorflow.read(GOLDEN / f"{name}.ckpt"), expect(name))


def test_files_are_tensorflows_to_the_byte(tmp_path):
    tensorflow.write(tmp_path / "plain.ckpt", expect("plain"))
    for ending in ENDINGS:
        assert (tmp_path / f"plain.ckpt{ending}").read_bytes() == (GOLDEN / f"plain.ckpt{ending}").read_bytes()


def test_a_published_checkpoint_is_read_and_written_again_to_the_byte(tmp_path, shared_file):
    folder = shared_file("../checkpoints/keras_bert_tiny_tf")
    found = tensorflow.read(folder)
    assert len(found) == 139
    assert found["global_step"] == 20
    assert found["bert/embeddings/word_embeddings"].shape == (15, 4)
    assert found["bert/pooler/dense/kernel"].dtype == np.float32
    tensorflow.write(tmp_path / "bert_model.ckpt", found)
    for ending in ENDINGS:
        assert (tmp_path / f"bert_model.ckpt{ending}").read_bytes() == (folder / f"bert_model.ckpt{ending}").read_bytes()


@pytest.mark.parametrize("kind", TYPES)
def test_all_types_and_shapes_come_back(tmp_path, kind):
    rng = np.random.default_rng(0)
    arrays = {str(shape): rng.integers(0, 2, shape).astype(kind) for shape in ((), (1,), (0,), (2, 0, 3), (3, 5), (2, 1, 1, 2))}
    arrays |= {"odd/byte": np.zeros(1, np.int8), "transposed": rng.integers(0, 2, (3, 2)).astype(kind).T}
    tensorflow.write(tmp_path / "one", arrays)
    assert_same(tensorflow.read(tmp_path / "one"), arrays)


def test_the_other_byte_order_is_written_as_little_endian(tmp_path):
    tensorflow.write(tmp_path / "one", {"a": np.arange(3, dtype=">f4")})
    assert_same(tensorflow.read(tmp_path / "one"), {"a": np.arange(3, dtype="<f4")})


def test_many_names_stand_in_several_blocks(tmp_path):
    arrays = {f"{'scope/' * (number % 9)}layer_{number}/kernel": np.float32(number) for number in range(20_000)}
    tensorflow.write(tmp_path / "one", arrays)
    assert os.path.getsize(tmp_path / "one.index") > 2 * sorted_table.BLOCK_BYTES
    assert_same(tensorflow.read(tmp_path / "one"), arrays)


def test_arrays_are_mapped_and_large_ones_checked_in_parts(tmp_path):
    arrays = {"a": np.zeros((1 << 20) + 1, np.uint8), "b": np.arange(1 << 19, dtype=np.float64)}
    tensorflow.write(tmp_path / "one", arrays)
    found = tensorflow.read(tmp_path / "one")
    assert_same(found, arrays)
    with open(tmp_path / "one.data-00000-of-00001", "r+b") as file:
        file.seek(-8, 2)
        file.write(np.float64(0.5).tobytes())
    assert found["b"][-1] == 0.5
    with pytest.raises(ValueError, match="one.data-00000-of-00001: variable b: the checksum does not match"):
        tensorflow.read(tmp_path / "one")


def test_one_array_at_a_time_is_requested(tmp_path):
    class Lazy(dict):
        def __getitem__(self, name):
            return np.full(2, len(name), np.float32)

    tensorflow.write(tmp_path / "one", Lazy.fromkeys(["a", "bb"]))
    assert_same(tensorflow.read(tmp_path / "one"), {"a": np.full(2, 1, np.float32), "bb": np.full(2, 2, np.float32)})


@pytest.mark.parametrize(
    "arrays", [{"a": np.array(["x"])}, {"a": np.array([None])}, {"a": np.zeros(1, "f4,f4")}, {"": np.zeros(1)}, {"a" * 5000: np.zeros(1)}]
)
def test_a_failed_write_leaves_the_old_files(small, arrays):
    with pytest.raises(ValueError, match="variable"):
        tensorflow.write(small, {"0": np.zeros(1)} | arrays)
    assert_same(tensorflow.read(small), SMALL)
    assert len(list(small.parent.iterdir())) == 2


def test_paths_refer_to_a_prefix(small):
    small.with_name("model.ckpt-1000.meta").touch()
    for ending in ("", *ENDINGS, ".meta"):
        assert tensorflow.find_prefix(f"{small}{ending}") == small
    assert tensorflow.find_prefix(small.parent) == small
    (small.parent / ".model.ckpt-2000.17.index").touch()
    tensorflow.write(small.with_name("model.ckpt-999"), SMALL)
    os.utime(f"{small}.index", (1, 1))
    assert tensorflow.find_prefix(small.parent) == small  # of step 1000, whatever the clock said
    assert_same(tensorflow.read(small.parent), SMALL)


def test_other_paths_have_no_prefix(tmp_path):
    for name in ("absent", "", "model.safetensors.index.json", "absent.index", "absent.data-00000-of-00001", "..index"):
        assert tensorflow.find_prefix(tmp_path / name) is None
    with pytest.raises(FileNotFoundError, match="absent.index"):
        tensorflow.read(tmp_path / "absent")


def test_an_absent_data_file_is_named(tmp_path):
    for file in GOLDEN.glob("shards.*"):
        shutil.copy(file, tmp_path)
    (tmp_path / "shards.ckpt.data-00001-of-00003").unlink()
    with pytest.raises(FileNotFoundError, match="shards.ckpt.data-00001-of-00003: absent"):
        tensorflow.read(tmp_path)


def test_a_partitioned_variable_is_refused_by_name():
    with pytest.raises(ValueError, match="slices.ckpt.index: variable table is partitioned"):
        tensorflow.read(GOLDEN / "slices.ckpt")


def test_damage_is_reported_or_harmless(small):
    rng = random.Random(0)
    whole = {ending: Path(f"{small}{ending}").read_bytes() for ending in ENDINGS}
    refused = 0
    for _ in range(2000):
        ending = rng.choice(ENDINGS)
        overwrite(Path(f"{small}{ending}"), mutate(rng, whole[ending], whole[ENDINGS[ending == ENDINGS[0]]]))
        try:
            found = tensorflow.read(small)
        except (ValueError, FileNotFoundError) as error:
            refused += 1
            assert str(error).startswith((f"{small}.index: ", f"{small}.data-0"))
        else:
            assert_same(found, SMALL)
        overwrite(Path(f"{small}{ending}"), whole[ending])
    assert refused > 1600


FIELDS = {
    "big shard number": protobuf.encode_field(3, 1),
    "offset behind the file": protobuf.encode_field(4, 1 << 62),
    "offset of more than 64 bits": protobuf.encode_field(4, (1 << 70) - 1),
    "offset in another": protobuf.encode_field(4, 50),
    "size behind the file": protobuf.encode_field(5, 1 << 40),
    "size of another shape": protobuf.encode_field(5, 15),
    "unknown type": protobuf.encode_field(1, 11),
    "unknown negative type": protobuf.encode_field(1, (1 << 64) - 1),
    "type of another size": protobuf.encode_field(1, 1),
    "type as bytes": protobuf.encode_field(1, b"1"),
    "shape as a number": protobuf.encode_field(2, 3),
    "dimension as a number": protobuf.encode_field(2, protobuf.encode_field(2, 3)),
    "huge dimension": protobuf.encode_field(2, protobuf.encode_field(2, protobuf.encode_field(1, (1 << 64) - 1)) + b"\x12\x00"),
    "many dimensions": protobuf.encode_field(2, protobuf.encode_field(2, protobuf.encode_field(1, 1)) * 40),
    "huge shape": protobuf.encode_field(2, protobuf.encode_field(2, protobuf.encode_field(1, 1 << 62)) * 9000),
    "no checksum": protobuf.encode_field(6, b""),
    "checksum as a number": protobuf.encode_field(6, 5),
    "slices": protobuf.encode_field(7, b""),
    "truncated": b"\x12\x40",
}


@pytest.mark.parametrize("added", FIELDS.values(), ids=FIELDS)
def test_contradicting_entries_are_refused(small, added):
    change_entry(small, b"layer/bias", lambda entry: entry + added)
    with pytest.raises(ValueError, match="model.ckpt-1000"):
        tensorflow.read(small)


def test_variables_that_overlap_are_refused(small):
    pairs = read_pairs(small)
    entry = dict(pairs)[b"embeddings/table"]  # thousands of names for the same gigabytes would keep the checksums busy for hours
    write_pairs(small, [*pairs, (b"another", entry)])
    with pytest.raises(ValueError, match="data-00000-of-00001: variable .* overlaps another"):
        tensorflow.read(small)


@pytest.mark.parametrize(
    "header, message",
    [
        (protobuf.encode_field(1, 1) + protobuf.encode_field(2, 1), "big-endian"),
        (protobuf.encode_field(1, 1) + protobuf.encode_field(3, protobuf.encode_field(2, 2)), "readers of version 2"),
        (b"", "data file 0 of 0"),
        (b"\x1a\x7f", "truncated"),
    ],
)
def test_headers_of_another_kind_are_refused(small, header, message):
    change_entry(small, b"", lambda _: header)
    with pytest.raises(ValueError, match=rf"\.index: .*{message}"):
        tensorflow.read(small)


@pytest.mark.parametrize("pairs", [[], [(b"a", b"")]])
def test_an_index_without_header_is_refused(small, pairs):
    write_pairs(small, pairs)
    with pytest.raises(ValueError, match="no header"):
        tensorflow.read(small)


def test_texts_alone_are_not_weights(tmp_path, small):
    pairs = read_pairs(small)
    write_pairs(small, [pairs[0], (b"text", protobuf.encode_field(1, 7))])
    with pytest.raises(ValueError, match="no numeric variables"):
        tensorflow.read(small)


def test_a_compressed_block_is_reported(small, monkeypatch):
    monkeypatch.setattr(sorted_table, "NO_COMPRESSION", b"\1")
    write_pairs(small, read_pairs_of(SMALL))
    monkeypatch.undo()
    with pytest.raises(ValueError, match="compressed"):
        tensorflow.read(small)


def read_pairs_of(arrays):
    return [(b"", protobuf.encode_field(1, 1)), *((name.encode(), b"") for name in arrays)]


def test_names_that_unpack_without_end_are_refused(tmp_path):
    """Each of 100,000 names repeats the 100,000 letters before it: 400 kB would become 10 GB."""
    block = sorted_table.Block(16)
    block.data += b"\0" + protobuf.encode_varint(100_000) + b"\0" + b"a" * 100_000
    block.data += b"".join(protobuf.encode_varint(100_000 + number) + b"\1\0a" for number in range(100_000))
    index, table = sorted_table.Block(1), bytearray()
    index.add(b"b", sorted_table.append_block(table, block))
    footer = sorted_table.append_block(table, sorted_table.Block(16)) + sorted_table.append_block(table, index)
    (tmp_path / "table").write_bytes(table + footer.ljust(40, b"\0") + sorted_table.MAGIC)
    with open(tmp_path / "table", "rb") as file, pytest.raises(ValueError, match="keys of more than 64 MiB"):
        for _ in sorted_table.read_table(file):
            pass


def test_a_very_long_name_is_refused_and_not_shown(small):
    write_pairs(small, [*read_pairs(small), (b"a" * 5000, b"")])
    with pytest.raises(ValueError, match="index: the name of a variable has 5000 bytes"):
        tensorflow.read(small)


@pytest.mark.parametrize(
    ("state", "found"),
    [
        ('model_checkpoint_path: "old.ckpt"\nall_model_checkpoint_paths: "old.ckpt"\n', "old.ckpt"),
        ('model_checkpoint_path: "/elsewhere/old.ckpt"\n', "old.ckpt"),
        ('model_checkpoint_path: "gone.ckpt"\n', None),
        ("\0 no state", None),
        ("model_checkpoint_path: 'old.ckpt'\n", "old.ckpt"),
        (r'model_checkpoint_path: "o\154d.ckpt"', "old.ckpt"),
        (f'model_checkpoint_path: "{"x" * 5000}"', None),
    ],
)
def test_the_file_checkpoint_names_the_one_to_read(state, found, tmp_path):
    for name in ("old.ckpt", "new.ckpt"):
        tensorflow.write(tmp_path / name, {"a": np.zeros(1, np.float32)})
    (tmp_path / "checkpoint").write_text(state)
    if found is None:
        with pytest.raises(ValueError, match="several trainings, new.ckpt.index, old.ckpt.index; name the one"):
            tensorflow.find_prefix(tmp_path)
    else:
        assert tensorflow.find_prefix(tmp_path) == tmp_path / found
