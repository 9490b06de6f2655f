import json

import numpy as np
import pytest
from mutations import assert_bits, read_damaged
from safetensors import TensorSpec, serialize
from safetensors.numpy import load_file, save_file

from src.formats import safetensors_file

TYPES = ["bool", *(f"float{bits}" for bits in (16, 32, 64)), *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64))]
SHAPES = [(), (1,), (0,), (2, 0, 3), (3, 5), (2, 1, 1, 2)]
SMALL = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([1, -2], np.int64), "c": np.float16(0.5).reshape(())}


def make_arrays(kind):
    rng = np.random.default_rng(0)
    return {f"of {shape}": rng.integers(0, 2, shape).astype(kind) for shape in SHAPES}


def write_raw(path, header, data=b"", size=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if size is None else size).to_bytes(8, "little") + text + data)
    return path


def sort(arrays):
    return dict(sorted(arrays.items()))


@pytest.mark.parametrize("kind", TYPES)
def test_files_of_the_library_are_read(kind, tmp_path):
    arrays = make_arrays(kind)
    save_file(arrays, tmp_path / "a.safetensors", metadata={"format": "pt"})
    found = safetensors_file.read(tmp_path / "a.safetensors")
    assert_bits(sort(found), sort(arrays))
    assert not any(array.flags.writeable for array in found.values())


def test_bfloat16_of_the_library_becomes_float32(tmp_path):
    bits = np.array([[0x3F80, 0xC020], [0x7F80, 0x0001]], np.uint16)  # 1, -2.5, infinity, the least above 0
    data = serialize({"a": TensorSpec(dtype="bfloat16", shape=bits.shape, data_ptr=bits.ctypes.data, data_len=bits.nbytes)})
    (tmp_path / "a.safetensors").write_bytes(data)
    expected = np.array([[1, -2.5], [np.inf, 2.0**-133]], np.float32)
    assert_bits(safetensors_file.read(tmp_path / "a.safetensors"), {"a": expected})


@pytest.mark.parametrize("kind", TYPES)
def test_files_of_one_type_are_the_librarys_to_the_byte(kind, tmp_path):
    arrays = make_arrays(kind) | {"größe/重み": np.ones(3, kind)}
    safetensors_file.write(tmp_path / "ours.safetensors", arrays)
    save_file(arrays, tmp_path / "theirs.safetensors", metadata={"format": "pt"})
    assert (tmp_path / "ours.safetensors").read_bytes() == (tmp_path / "theirs.safetensors").read_bytes()


def test_thousands_of_empty_tensors_are_refused_at_once(tmp_path):
    def header(count):
        return {f"bert.{number}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for number in range(count)}

    assert len(safetensors_file.read(write_raw(tmp_path / "a.safetensors", header(20_000)))) == 20_000
    with pytest.raises(ValueError, match="a.safetensors: .*20001 tensors, more than 20000"):
        safetensors_file.read(write_raw(tmp_path / "a.safetensors", header(20_001)))


def test_the_library_reads_our_files(tmp_path):
    arrays = {f"{kind} {name}": array for kind in TYPES for name, array in make_arrays(kind).items()}
    safetensors_file.write(tmp_path / "a.safetensors", arrays)
    assert_bits(sort(load_file(tmp_path / "a.safetensors")), sort(arrays))
    assert_bits(sort(safetensors_file.read(tmp_path / "a.safetensors")), sort(arrays))


def test_arrays_of_any_strides_are_written_in_c_order(tmp_path):
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    arrays = {"a": array.T, "b": array[:, ::2], "c": np.broadcast_to(np.float32(2), (2, 2))}
    safetensors_file.write(tmp_path / "a.safetensors", arrays)
    assert_bits(sort(load_file(tmp_path / "a.safetensors")), arrays)


def entry(start=0, end=4, dtype="F32", shape=(1,)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


REFUSED = {
    "a gap": ({"a": entry(), "b": entry(5, 9)}, 9),
    "bytes before the first": ({"a": entry(4, 8)}, 8),
    "an overlap": ({"a": entry(), "b": entry(2, 6)}, 6),
    "the same bytes twice": ({"a": entry(), "b": entry()}, 4),
    "bytes behind": ({"a": entry()}, 5),
    "bytes missing": ({"a": entry()}, 3),
    "no bytes at all": ({"a": entry()}, 0),
    "end before start": ({"a": entry(4, 0)}, 4),
    "a shape of other bytes": ({"a": entry(shape=(2,))}, 4),
    "a negative dimension": ({"a": entry(shape=(-1,))}, 4),
    "two negative dimensions": ({"a": entry(shape=(-1, -1))}, 4),
    "a dimension that is a bool": ({"a": entry(shape=(True,))}, 4),
    "a dimension that is no whole number": ({"a": entry(shape=(1.0,))}, 4),
    "a dimension that is a text": ({"a": entry(shape=("1",))}, 4),
    "an offset that is a bool": ({"a": {**entry(), "data_offsets": [False, 4]}}, 4),
    "an offset that is a text": ({"a": {**entry(), "data_offsets": "04"}}, 4),
    "offsets of several kinds": ({"a": entry(), "b": {**entry(), "data_offsets": ["0", "4"]}}, 4),
    "three offsets": ({"a": {**entry(), "data_offsets": [0, 2, 4]}}, 4),
    "a shape that is a number": ({"a": {**entry(), "shape": 1}}, 4),
    "a shape that is an object": ({"a": {**entry(), "shape": {}}}, 4),
    "more dimensions than NumPy has": ({"a": entry(shape=(1,) * 100)}, 4),
    "a huge dimension": ({"a": entry(0, 0, shape=(0, 1 << 70))}, 0),
    "no dtype": ({"a": {"shape": [1], "data_offsets": [0, 4]}}, 4),
    "a dtype that is a list": ({"a": entry(dtype=["F32"])}, 4),
    "an entry that is a number": ({"a": 4}, 4),
    "a list": ([entry()], 4),
    "a number": (4, 4),
    "null": (None, 4),
    "deep nesting": (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 4),
    "a name twice": (b'{"a":%(a)s,"a":%(a)s}' % {b"a": json.dumps(entry()).encode()}, 4),
    "a key of an entry twice": (b'{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4),
    "a long number": (b'{"a":{"dtype":"F32","shape":[%s],"data_offsets":[0,4]}}' % (b"1" * 5000), 4),
    "no JSON": (b'{"a":', 4),
    "another encoding": (json.dumps({"a": entry()}).encode("utf-16"), 4),
}


@pytest.mark.parametrize(("header", "size"), REFUSED.values(), ids=REFUSED)
def test_contradicting_headers_are_refused(header, size, tmp_path):
    path = write_raw(tmp_path / "a.safetensors", header, bytes(size))
    with pytest.raises(ValueError, match="a.safetensors: not a readable safetensors file"):
        safetensors_file.read(path)


def test_the_cases_differ_from_a_good_file_by_their_fault_alone(tmp_path):
    path = write_raw(tmp_path / "a.safetensors", {"a": entry(), "b": entry(4, 8), "__metadata__": {"any": "thing"}}, bytes(8))
    assert_bits(safetensors_file.read(path), {"a": np.zeros(1, np.float32), "b": np.zeros(1, np.float32)})


@pytest.mark.parametrize("kind", ["F8_E4M3", "C64", "F4", "f32", ""])
def test_an_unknown_type_is_named(kind, tmp_path):
    path = write_raw(tmp_path / "a.safetensors", {"a": entry(dtype=kind)}, bytes(4))
    with pytest.raises(ValueError, match=f"a is of type {kind}; F16, F32"):
        safetensors_file.read(path)


def test_a_header_larger_than_the_file_is_refused(tmp_path):
    for size, message in ((1000, "truncated in the header"), (1 << 63, "a header of 9223372036854775808 bytes")):
        path = write_raw(tmp_path / "a.safetensors", {"a": entry()}, bytes(4), size)
        with pytest.raises(ValueError, match=message):
            safetensors_file.read(path)


def test_types_that_the_format_lacks_are_not_written(tmp_path):
    safetensors_file.write(tmp_path / "a.safetensors", SMALL)
    for array in (np.array(["x"]), np.array([None]), np.zeros(1, np.complex128)):
        with pytest.raises(ValueError, match="a.safetensors: parameter a is of type"):
            safetensors_file.write(tmp_path / "a.safetensors", {"a": array})
    assert_bits(sort(safetensors_file.read(tmp_path / "a.safetensors")), SMALL)
    assert len(list(tmp_path.iterdir())) == 1


def test_damage_is_reported_or_gives_arrays_no_larger_than_the_file(tmp_path):
    path, outcomes = tmp_path / "a.safetensors", set()
    safetensors_file.write(path, SMALL)
    for data, found in read_damaged(path, lambda: safetensors_file.read(path), 1):
        outcomes.add(found is None)
        assert found is None or sum(array.nbytes for array in found.values()) <= 2 * len(data)  # bfloat16 doubles
    assert outcomes == {True, False}
    assert_bits(sort(safetensors_file.read(path)), SMALL)
