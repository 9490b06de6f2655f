import os
import pickle
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest

from src.formats import torch_pickle

GOLDEN = Path(__file__).parent.parent / "golden" / "torch"
FORMS = ("zip.pt", "legacy.bin")


@pytest.fixture(scope="module")
def expected():
    return dict(np.load(GOLDEN / "expected.npz"))


@pytest.mark.parametrize("name", [*FORMS, "under_model.pt"])
def test_tensors_equal_what_torch_wrote(name, expected):
    found = torch_pickle.read(GOLDEN / name)
    assert list(found) == list(expected)
    for key, array in expected.items():
        assert found[key].dtype == array.dtype, key
        assert found[key].shape == array.shape, key
        np.testing.assert_array_equal(found[key], array, err_msg=key)


def test_state_dict_is_found_under_its_key():
    found = torch_pickle.read(GOLDEN / "under_state_dict.pt")
    assert {name: array.shape for name, array in found.items()} == {"weight": (3, 2), "bias": (3,)}


@pytest.mark.parametrize("name", ["nvidia_zip.pt", "nvidia_legacy.pt"])
def test_what_is_no_weight_is_not_read(name, monkeypatch):
    read, sizes = torch_pickle._Storage.array.func, []
    monkeypatch.setattr(torch_pickle._Storage, "array", property(lambda storage: sizes.append(storage.count) or read(storage)))
    found = torch_pickle.read(GOLDEN / name)
    assert "bert.pooler.dense_act.weight" in found and len(sizes) == len(found)


def test_arrays_do_not_share_memory():
    found = torch_pickle.read(GOLDEN / "zip.pt")
    found["shared"][:] = -1
    assert found["shared_part"].min() > 0


@pytest.mark.parametrize("name", ["payload_zip.pt", "payload_legacy.bin"])
def test_payload_beside_tensors_does_not_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert b"system" in (GOLDEN / name).read_bytes()
    np.testing.assert_array_equal(torch_pickle.read(GOLDEN / name)["weight"], np.ones(2, np.float32))
    assert not list(tmp_path.iterdir())


class Payload:
    def __init__(self, function, argument):
        self.function, self.argument = function, argument

    def __reduce__(self):
        return self.function, (self.argument,)


def write_zip(path, data):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)


def write_legacy(path, data):
    headers = [pickle.dumps(part, 2) for part in (torch_pickle._LEGACY_MAGIC, torch_pickle._LEGACY_PROTOCOL, {})]
    path.write_bytes(b"".join([*headers, data, pickle.dumps([], 2)]))


@pytest.mark.parametrize("write", [write_zip, write_legacy])
@pytest.mark.parametrize("function", [os.system, eval, exec], ids=["system", "eval", "exec"])
@pytest.mark.parametrize("nested", [False, True], ids=["top", "nested"])
def test_payload_does_not_run(write, function, nested, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    marker = tmp_path / "payload_ran"
    payload = Payload(function, "touch payload_ran" if function is os.system else "open('payload_ran', 'w')")
    data = pickle.dumps({"model": {"weight": payload}} if nested else payload, 2)
    pickle.loads(data)
    assert marker.exists(), "the payload is none, and the test would prove nothing"
    marker.unlink()
    write(tmp_path / "weights.bin", data)
    with pytest.raises(ValueError, match="weights.bin"):
        torch_pickle.read(tmp_path / "weights.bin")
    assert not marker.exists()


def read_or_refuse(path, data):
    """Whether the data were read; fails on any error but a ValueError that names the file."""
    path.write_bytes(data)
    try:
        found = torch_pickle.read(path)
    except ValueError as error:
        assert str(path) in str(error)
        return False
    assert all(isinstance(array, np.ndarray) for array in found.values())
    return True


@pytest.mark.parametrize("name", FORMS)
def test_truncated_file_is_refused(name, tmp_path):
    data = (GOLDEN / name).read_bytes()
    assert read_or_refuse(tmp_path / name, data)
    for length in range(0, len(data), 23):
        assert not read_or_refuse(tmp_path / name, data[:length]), length
    assert not read_or_refuse(tmp_path / name, data[:-1])


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.filterwarnings("ignore")  # CPython complains of its own bytearray when a pickle of one ends early
def test_flipped_bytes_give_arrays_or_value_error(name, tmp_path):
    original, generator = (GOLDEN / name).read_bytes(), random.Random(3)
    outcomes = set()
    for _ in range(300):
        data = bytearray(original)
        data[generator.randrange(len(data))] ^= generator.randrange(1, 256)
        outcomes.add(read_or_refuse(tmp_path / name, bytes(data)))
    assert outcomes == {True, False}


def make_tensor(shape, stride, offset):
    storage = torch_pickle._Storage("FloatStorage", 4, np.arange(4, dtype=np.float32).tobytes)
    return torch_pickle._Tensor(storage, offset, shape, stride)


@pytest.mark.parametrize(
    ("shape", "stride", "offset"),
    [((4,), (1,), 1), ((2, 2), (3, 1), 0), ((-1,), (1,), 0), ((2,), (-1,), 1), ((2,), (1, 1), 0), ((2**40,), (0,), 0)],
)
def test_view_outside_its_storage_is_refused(shape, stride, offset):
    np.testing.assert_array_equal(make_tensor((2, 2), (2, 1), 0).to_array(), [[0, 1], [2, 3]])
    with pytest.raises(ValueError):
        make_tensor(shape, stride, offset).to_array()


@pytest.mark.parametrize("data", [b"", b"PK", b"not a pickle", pickle.dumps({"a": 1}), b"\x80\x02}q\x00."])
def test_file_without_tensors_is_refused(data, tmp_path):
    assert not read_or_refuse(tmp_path / "weights.bin", data)


def test_absent_file_is_told_as_absent(tmp_path):
    with pytest.raises(FileNotFoundError):
        torch_pickle.read(tmp_path / "none.bin")
