import random

import mindspore
import numpy as np
import pytest
from mindspore import Tensor
from mindspore.train.checkpoint_pb2 import Checkpoint

from src.formats import mindspore_checkpoint

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
    """Write arrays by MindSpore; gives the path."""

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


def test_bfloat16_comes_as_float32(written):
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


def test_what_does_not_fit_is_refused(tmp_path):
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
        path.write_bytes(data[:size])
        try:
            found = mindspore_checkpoint.read(path)  # without its check sum a file may end behind any of its values
        except ValueError:
            continue
        assert found.keys() < ARRAYS.keys() or size >= len(data) - 17


def test_a_flipped_byte_is_refused(written):
    path, generator = written(ARRAYS), random.Random(1)
    original = path.read_bytes()
    for _ in range(2000):
        data = bytearray(original)
        data[generator.randrange(len(data) - 17)] ^= generator.randrange(1, 256)
        path.write_bytes(data)
        with pytest.raises(ValueError, match="check sum"):
            mindspore_checkpoint.read(path)


def test_any_bytes_give_arrays_or_value_error(written):
    path, generator = written(ARRAYS, crc_check=False), random.Random(2)
    original, outcomes = path.read_bytes(), set()
    for _ in range(2000):
        data = bytearray(original)
        for _ in range(generator.randrange(1, 4)):
            data[generator.randrange(len(data))] = generator.randrange(256)
        path.write_bytes(data)
        try:
            found = mindspore_checkpoint.read(path)
            assert sum(array.nbytes for array in found.values()) <= 2 * len(data)
            outcomes.add("read")
        except ValueError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


@pytest.mark.parametrize("content", [b"", b"\0", b"not a checkpoint", b"\x0a", b"\xff" * 40, b"crc_num0000000000"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "a.ckpt").write_bytes(content)
    with pytest.raises(ValueError):
        mindspore_checkpoint.read(tmp_path / "a.ckpt")
