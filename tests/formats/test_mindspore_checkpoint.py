import random
import re

import mindspore
import numpy as np
import pytest
from mindspore import Tensor
from mindspore.train.checkpoint_pb2 import Checkpoint
from mutations import assert_bits, overwrite, read_damaged

from src.formats import mindspore_checkpoint, protobuf

ARRAYS = {
    "weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7,
    "half": np.arange(5, dtype=np.float16) / 3,
    "double": np.array([[1 / 3]]),
    "step": np.array(3_000_000_000, np.int64),
    "position": np.array([7, -1], np.int64),
    "flags": np.array([True, False, True]),
    "bytes": np.array([0, 255], np.uint8),
    "scale": np.array(65536.0, np.float32),
    "one": np.ones(1, np.int32),
}


@pytest.fixture
def written(tmp_path):
    """`written(arrays)`: write them with MindSpore; returns the path."""

    def write(arrays, crc_check=True):
        path = tmp_path / "a.ckpt"
        mindspore.save_checkpoint([{"name": name, "data": Tensor(array)} for name, array in arrays.items()], str(path), crc_check=crc_check)
        return path

    return write


def add(message, name, array, kind="Float32", dims=None):
    value = message.value.add(tag=name)
    value.tensor.dims.extend(array.shape if dims is None else dims)
    value.tensor.tensor_type, value.tensor.tensor_content = kind, array.tobytes()


@pytest.mark.parametrize("crc_check", [True, False])
def test_arrays_are_what_mindspore_wrote_and_reads(written, crc_check):
    path = written(ARRAYS, crc_check)
    found = mindspore_checkpoint.read(path)
    theirs = mindspore.load_checkpoint(str(path))
    assert list(found) == list(ARRAYS) == list(theirs)
    for name, array in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape) == (theirs[name].asnumpy().dtype, theirs[name].shape), (
            name
        )
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_files_are_mindspores_to_the_byte(written, tmp_path):
    mindspore_checkpoint.write(tmp_path / "ours.ckpt", ARRAYS)
    assert (tmp_path / "ours.ckpt").read_bytes() == written(ARRAYS, crc_check=True).read_bytes()


def test_mindspore_reads_our_files(tmp_path):
    arrays = ARRAYS | {"empty": np.zeros((0, 3), np.float32), "transposed": ARRAYS["weight"].T, "größe": np.ones((1, 1), np.uint16)}
    arrays |= {kind: np.array([[1, 0]], kind) for kind in ("int8", "int16", "uint16", "uint32", "uint64", "float64", "bool")}
    mindspore_checkpoint.write(tmp_path / "a.ckpt", arrays)
    theirs = mindspore.load_checkpoint(str(tmp_path / "a.ckpt"))
    assert_bits({name: parameter.asnumpy() for name, parameter in theirs.items()}, arrays)
    assert_bits(mindspore_checkpoint.read(tmp_path / "a.ckpt"), arrays)


@pytest.mark.parametrize("part_bytes", [1, 8, 40, 96])
def test_large_tensors_are_written_in_parts(part_bytes, tmp_path, monkeypatch):
    monkeypatch.setattr(mindspore_checkpoint, "PART_BYTES", part_bytes)
    mindspore_checkpoint.write(tmp_path / "a.ckpt", ARRAYS)
    message = Checkpoint()
    message.ParseFromString((tmp_path / "a.ckpt").read_bytes()[:-17])
    assert sum(value.tag == "weight" for value in message.value) == -(-96 // part_bytes)
    assert_bits(mindspore_checkpoint.read(tmp_path / "a.ckpt"), ARRAYS)
    theirs = mindspore.load_checkpoint(str(tmp_path / "a.ckpt"))
    assert_bits({name: parameter.asnumpy() for name, parameter in theirs.items()}, ARRAYS)


def test_an_empty_vector_is_not_a_scalar(tmp_path):
    arrays = {"empty": np.zeros(0, np.float32), "scalar": np.array(1.5, np.float32)}
    mindspore_checkpoint.write(tmp_path / "a.ckpt", arrays)
    assert_bits(mindspore_checkpoint.read(tmp_path / "a.ckpt"), arrays)


def test_a_scalar_as_earlier_versions_wrote_it_is_read(tmp_path):
    message = Checkpoint()
    add(message, "scalar", np.array(1.5, np.float32), dims=(0,))
    (tmp_path / "a.ckpt").write_bytes(message.SerializeToString())
    assert_bits(mindspore_checkpoint.read(tmp_path / "a.ckpt"), {"scalar": np.array(1.5, np.float32)})


def test_a_failed_write_leaves_the_old_file(tmp_path):
    mindspore_checkpoint.write(tmp_path / "a.ckpt", ARRAYS)
    for array in (np.array(["x"]), np.array([None]), np.zeros(1, np.complex64)):
        with pytest.raises(ValueError, match="a.ckpt: parameter a is of type"):
            mindspore_checkpoint.write(tmp_path / "a.ckpt", {"first": np.ones(1), "a": array})
    assert_bits(mindspore_checkpoint.read(tmp_path / "a.ckpt"), ARRAYS)
    assert len(list(tmp_path.iterdir())) == 1


def test_bfloat16_scalars_become_float32(written):
    found = mindspore_checkpoint.read(written({"scale": Tensor(1.5, mindspore.bfloat16)}))
    assert_bits(found, {"scale": np.array(1.5, np.float32)})


def test_bfloat16_becomes_float32(written):
    values = np.array([[1.5, -2.0], [3e38, 0.1]], np.float32)
    found = mindspore_checkpoint.read(written({"weight": Tensor(values).astype(mindspore.bfloat16)}))["weight"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, Tensor(values).astype(mindspore.bfloat16).astype(mindspore.float32).asnumpy())


def test_parts_of_a_large_tensor_are_joined(tmp_path):
    whole, message = np.arange(12, dtype=np.float32).reshape(4, 3), Checkpoint()
    for part in np.array_split(whole, 3):
        add(message, "large", part, dims=whole.shape)
    add(message, "small", whole[0])
    message.value.add(tag="text").tensor.MergeFrom(type(message.value[0].tensor)(dims=[1], tensor_type="str", tensor_content=b"a\0\0\0"))
    (tmp_path / "a.ckpt").write_bytes(message.SerializeToString())
    found = mindspore_checkpoint.read(tmp_path / "a.ckpt")
    assert list(found) == ["large", "small"]
    np.testing.assert_array_equal(found["large"], whole)


def test_inconsistent_values_are_refused(tmp_path):
    values = np.ones(6, np.float32)
    cases = {
        r"shape \(7,\) and type Float32 has 24 bytes": [("a", values, "Float32", (7,))],
        "is of type Complex": [("a", values, "Complex", None)],
        "parameter a occurs twice": [("a", values), ("b", values), ("a", values)],
        r"shape \(0, 36893488147419103232\)": [("a", values[:0], "Float32", None)],
    }
    for message, given in cases.items():
        content = Checkpoint()
        for arguments in given:
            add(content, *arguments)
        data = content.SerializeToString()
        if "36893488147419103232" in message:  # a number of ten bytes, which MindSpore cannot write
            data = data.replace(b"\x08\x00", b"\x08\x00\x08" + b"\x80" * 9 + b"\x04").replace(b"\x12\x0d", b"\x12\x18")
            data = data[:1] + bytes([data[1] + 11]) + data[2:]
        (tmp_path / "a.ckpt").write_bytes(data)
        with pytest.raises(ValueError, match=message):
            mindspore_checkpoint.read(tmp_path / "a.ckpt")


def test_a_truncated_file_is_refused(written):
    path = written(ARRAYS)
    data = path.read_bytes()
    for size in range(len(data) - 1):
        overwrite(path, data[:size])
        try:
            found = mindspore_checkpoint.read(path)  # without its checksum a file may end after any of its values
        except ValueError:
            continue
        assert found.keys() < ARRAYS.keys() or size >= len(data) - 17


def test_a_flipped_byte_is_refused(written):
    path, generator = written(ARRAYS), random.Random(1)
    original = path.read_bytes()
    for _ in range(2000):
        data = bytearray(original)
        data[generator.randrange(len(data) - 17)] ^= generator.randrange(1, 256)
        overwrite(path, data)
        with pytest.raises(ValueError, match="checksum"):
            mindspore_checkpoint.read(path)


def test_the_checksum_reveals_damage(written):
    path = written({"weight": ARRAYS["weight"]})  # a file of several arrays may be cut off after one of them
    mark = len(path.read_bytes()) - 17
    outcomes = {"refused": 0, "right": 0, "without its mark": 0}
    for data, found in read_damaged(path, lambda: mindspore_checkpoint.read(path), 2):
        if found is None:
            outcomes["refused"] += 1
        elif data[-17:-10] == b"crc_num":
            assert_bits(found, {"weight": ARRAYS["weight"]})
            outcomes["right"] += 1
        else:
            assert len(data) < mark + 17 or data[mark : mark + 7] != b"crc_num"
            outcomes["without its mark"] += 1
    assert all(outcomes.values()) and outcomes["refused"] > 1800


def test_damage_without_checksum_gives_arrays_or_value_error(written):
    path, outcomes = written(ARRAYS, crc_check=False), set()
    for data, found in read_damaged(path, lambda: mindspore_checkpoint.read(path), 3):
        outcomes.add(found is None)
        assert found is None or sum(array.nbytes for array in found.values()) <= 2 * len(data)
    assert outcomes == {True, False}


NAME = protobuf.encode_field(1, b"a")


def encode_value(name=NAME, dims=b"", rest=b""):
    tensor = dims + protobuf.encode_field(2, b"Float32") + protobuf.encode_field(3, bytes(4)) + rest
    return protobuf.encode_field(1, name + protobuf.encode_field(2, tensor))


CONTRADICTIONS = {
    "two names": encode_value(name=protobuf.encode_field(1, b"a") * 2),
    "a name that is a number": encode_value(name=protobuf.encode_field(1, 7)),
    "a name that is no text": encode_value(name=protobuf.encode_field(1, b"\xff")),
    "no name": encode_value(name=b""),
    "two types": encode_value(rest=protobuf.encode_field(2, b"Float32")),
    "two contents": encode_value(rest=protobuf.encode_field(3, bytes(4))),
    "a negative dimension": encode_value(dims=b"\x08" + b"\xff" * 9 + b"\x01"),
    "many dimensions": encode_value(dims=protobuf.encode_field(1, 1) * 100),
    "dimensions without end": encode_value(dims=protobuf.encode_field(1, 1) * 100_000),
    "huge dimensions without end": encode_value(dims=(b"\x08" + b"\xff" * 9 + b"\x7f") * 5000),
    "packed dimensions without end": encode_value(dims=protobuf.encode_field(1, b"\1" * 100_000)),
    "a value that is a number": protobuf.encode_field(1, 7),
    "a long name of another type": encode_value(name=protobuf.encode_field(1, b"a" * 100_000), dims=protobuf.encode_field(1, 3)),
}


@pytest.mark.parametrize("data", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_contradicting_values_are_refused(data, tmp_path):
    good = tmp_path / "good.ckpt"
    good.write_bytes(encode_value(dims=protobuf.encode_field(1, b"\1\1")))
    assert_bits(mindspore_checkpoint.read(good), {"a": np.zeros((1, 1), np.float32)})
    path = tmp_path / "a.ckpt"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: not a readable checkpoint") as caught:
        mindspore_checkpoint.read(path)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("content", [b"", b"\0", b"not a checkpoint", b"\x0a", b"\xff" * 40, b"crc_num0000000000"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "a.ckpt").write_bytes(content)
    with pytest.raises(ValueError):
        mindspore_checkpoint.read(tmp_path / "a.ckpt")
