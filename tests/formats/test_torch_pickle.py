import os
import pickle
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from mutations import assert_bits, overwrite, read_damaged

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
def test_storages_without_a_weight_are_not_read(name, monkeypatch):
    read, sizes = torch_pickle.Storage.array.func, []
    monkeypatch.setattr(torch_pickle.Storage, "array", property(lambda storage: sizes.append(storage.count) or read(storage)))
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
    headers = [pickle.dumps(part, 2) for part in (torch_pickle.LEGACY_MAGIC, torch_pickle.LEGACY_PROTOCOL, {})]
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
    """Whether the data were read; any error but a ValueError that names the file fails the test."""
    overwrite(path, data)
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
def test_damage_is_reported_or_gives_arrays_of_bounded_size(name, tmp_path, expected):
    path, outcomes = tmp_path / name, set()
    path.write_bytes((GOLDEN / name).read_bytes())
    for data, found in read_damaged(path, lambda: torch_pickle.read(path), 3):
        outcomes.add(found is None)
        assert found is None or sum(array.nbytes for array in found.values()) <= 16 * len(data) + (1 << 24)
    assert outcomes == {True, False}
    assert_bits(torch_pickle.read(path), expected)


TEXT = b"X%c\0\0\0%s"  # a string: its length and its letters
STORAGE = b"(" + TEXT % (7, b"storage") + b"ctorch\nFloatStorage\n" + TEXT % (1, b"0") + TEXT % (3, b"cpu") + b"K\x01tQ"
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE + b"K\0%s%s\x89NtR"  # offset 0, a shape, strides, no gradient
LARGE = TENSOR % (b"J\0\0\xff\0\x85", b"K\0\x85")  # 64 MB of one repeated element
SMALL = TENSOR % (b"K\x01\x85", b"K\x01\x85")
HUGE = b"\x8b\0\0\x10\0" + b"\1" * (1 << 20)  # an int of a megabyte
NESTED = b")" + b"\x85" * 200_000  # tuples in each other, whose hash overflows C's stack


def write_state_dict(path, *items, compression=zipfile.ZIP_STORED):
    """Write a PyTorch file holding a dict made of pickled items, keys and values in turn."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}(" + b"".join(items) + b"u.")
        archive.writestr("archive/data/0", np.ones(1, np.float32).tobytes())
    return path


def name(text):
    return TEXT % (len(text), text)


def test_keys_that_are_not_names_and_values_that_are_not_tensors_are_left_out(tmp_path):
    path = write_state_dict(tmp_path / "a.bin", b"K\5", SMALL, name(b"a"), SMALL, b"N", SMALL, name(b"b"), b"K\5", b"K\1\x85", SMALL)
    assert_bits(torch_pickle.read(path), {"a": np.ones(1, np.float32)})


TRICKS = {
    "names without end": [part for number in range(9) for part in (name(b"%d" % number), LARGE)],
    "sizes of a megabyte": [name(b"a"), TENSOR % (HUGE + HUGE + HUGE + b"\x87", b"K\1K\1K\1\x87")],
    "dimensions without end": [name(b"a"), TENSOR % (b"(" + b"K\1" * 100_000 + b"t", b"(" + b"K\0" * 100_000 + b"t")],
    "a nested key": [NESTED, SMALL],
    "a nested key of a storage": [name(b"a"), SMALL.replace(TEXT % (1, b"0"), NESTED[:5000])],
    "a nested key of an ordered dict": [name(b"a"), b"ccollections\nOrderedDict\n](" + NESTED[:5000] + b"K\1\x86e\x85R"],
    "bytes of a terabyte": [name(b"a"), b"\x96" + (1 << 40).to_bytes(8, "little")],
    "more bytes than memory": [name(b"a"), b"\x8e" + (1 << 62).to_bytes(8, "little")],
    "no storage": [name(b"a"), TENSOR.replace(STORAGE, b"K\1") % (b"K\1\x85", b"K\1\x85")],
    "a changed reader": [name(b"a"), SMALL + b"}" + name(b"to_array") + b"csome\nfunction\nsb", name(b"b"), b"K\1", b"bad"],
}


@pytest.mark.parametrize("items", TRICKS.values(), ids=TRICKS)
def test_tricks_of_pickle_are_refused(items, tmp_path):
    path = write_state_dict(tmp_path / "a.bin", *items)
    with pytest.raises(ValueError, match="a.bin: not a readable PyTorch file") as caught:
        torch_pickle.read(path)
    assert len(str(caught.value)) < 1000


def test_state_changes_nothing(tmp_path):
    """The state of an object is not set: that of a function would stay, and a tensor's could replace its methods."""
    state = b"(" + b"N}" + name(b"__defaults__") + b"(K\1K\1t" + b"st"
    function = b"ctorch._utils\n_rebuild_tensor_v2\n" + state + b"b"
    changed = SMALL + b"}" + name(b"to_array") + b"csome\nfunction\nsb"
    ordered = b"ccollections\nOrderedDict\n)R}" + name(b"_metadata") + b"K\1sb"
    path = write_state_dict(tmp_path / "a.bin", name(b"a"), changed, name(b"f"), function, name(b"o"), ordered)
    assert_bits(torch_pickle.read(path), {"a": np.ones(1, np.float32)})
    assert torch_pickle.rebuild_tensor.__defaults__ is None


def test_a_compressed_archive_is_refused(tmp_path):
    path = write_state_dict(tmp_path / "a.bin", name(b"a"), SMALL, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="a.bin: .*compressed"):
        torch_pickle.read(path)


def test_an_element_may_be_repeated(tmp_path):
    tensor = TENSOR % (b"K\2K\3\x86", b"K\0K\0\x86")
    assert_bits(torch_pickle.read(write_state_dict(tmp_path / "a.bin", name(b"a"), tensor)), {"a": np.ones((2, 3), np.float32)})


def make_tensor(shape, stride, offset):
    storage = torch_pickle.Storage("FloatStorage", 4, np.arange(4, dtype=np.float32).tobytes)
    return torch_pickle.StoredTensor(storage, offset, shape, stride)


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


def test_an_absent_file_is_reported_as_absent(tmp_path):
    with pytest.raises(FileNotFoundError):
        torch_pickle.read(tmp_path / "none.bin")


def test_tuples_that_unfold_without_end_are_refused_at_once(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(b"\x80\x02}(I1\n" + b"2\x86" * 20 + b"Nu.")  # each holds the one before twice, and the last is a key
    with pytest.raises(ValueError, match="a tuple of more than 65536 parts"):
        torch_pickle.read(path)


def test_a_long_tuple_is_hashed_once(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(b"\x80\x02(" + b"K\x01" * 60000 + b"tq\x00}" + b"h\x00K\x01s" * 20000 + b".")  # one key, 20,000 times
    started = time.process_time()
    with pytest.raises(ValueError, match="legacy form"):
        torch_pickle.read(path)
    assert time.process_time() - started < 4  # 0.3 s; each time anew 9 s
