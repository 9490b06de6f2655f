import os
import struct
import subprocess
import sys

import mindspore
import mindspore.dataset as ds
import numpy as np
import pytest
from conftest import ROOT

from src import form_of_protobuf
from src.records.tfrecord import check_tfrecord, encode_examples

# as tensorflow 2.21's tf.train.Example and TFRecordWriter give them
INTS = [0, 1, 127, 128, 300, 16383, 16384, 30521, 1 << 40]
INTS_MESSAGE = "0a280a260a09696e7075745f69647312191a170a1500017f8001ac02ff7f808001b9ee01808080808020"
FLOATS = [1.0, 0.0, 0.5]
FLOATS_FRAME = "290000000000000037ff5f000a270a250a116d61736b65645f6c6d5f776569676874731210120e0a0c0000803f000000000000003f98b950f5"


def encode_varint(number):
    data = bytearray()
    while number > 127:
        data.append(number & 127 | 128)
        number >>= 7
    return bytes([*data, number])


def encode_field(number, data):
    return bytes([number << 3 | 2]) + encode_varint(len(data)) + data


def encode_example(row):
    """Protobuf's rules read literally, a number at a time."""
    entries = b""
    for name, values in row.items():
        if values.dtype.kind == "f":
            feature = encode_field(2, encode_field(1, struct.pack(f"<{len(values)}f", *values)))
        else:
            feature = encode_field(3, encode_field(1, b"".join(encode_varint(int(value)) for value in values)))
        entries += encode_field(1, encode_field(1, name.encode()) + encode_field(2, feature))
    return encode_field(1, entries)


def make_columns(rows, seed=0):
    generator = np.random.default_rng(seed)
    return {
        "input_ids": generator.integers(0, 30_000, (rows, 128)).astype(np.int32),
        "input_mask": (np.arange(128) < generator.integers(1, 129, (rows, 1))).astype(np.int32),
        "masked_lm_weights": generator.random((rows, 20)).astype(np.float32),
        "large": generator.integers(0, 1 << 62, (rows, 3)) >> generator.integers(0, 62, (rows, 3)),
        "next_sentence_labels": generator.integers(0, 2, (rows, 1)),
    }


def test_messages_are_tensorflows():
    assert encode_examples({"input_ids": np.array([INTS])})[0][12:-4].hex() == INTS_MESSAGE


def test_frames_are_tensorflows():
    assert encode_examples({"masked_lm_weights": np.array([FLOATS], np.float32)})[0].hex() == FLOATS_FRAME


def test_messages_follow_protobufs_rules():
    columns = make_columns(300)
    frames = encode_examples(columns)
    assert len(frames) == 300 and len({len(frame) for frame in frames}) > 10
    for row, frame in enumerate(frames):
        assert frame[12:-4] == encode_example({name: values[row] for name, values in columns.items()})


def test_frames_have_their_checksums(tmp_path):
    (tmp_path / "x").write_bytes(b"".join(encode_examples(make_columns(50))))
    assert check_tfrecord(tmp_path / "x") == 50
    data = bytearray((tmp_path / "x").read_bytes())
    data[1000] ^= 1
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(ValueError, match="record 2: checksum does not match"):
        check_tfrecord(tmp_path / "x")


def test_mindspore_reads_what_was_written(tmp_path):
    columns = make_columns(40, seed=3)
    (tmp_path / "x.tfrecord").write_bytes(b"".join(encode_examples(columns)))
    rows = list(ds.TFRecordDataset(str(tmp_path / "x.tfrecord"), shuffle=False).create_dict_iterator(num_epochs=1, output_numpy=True))
    for name, values in columns.items():
        np.testing.assert_array_equal(np.stack([row[name] for row in rows]), values)


def test_protobufs_compiled_form_is_used_also_after_mindspore_was_imported():
    code = "import src, mindspore; from google.protobuf.internal import api_implementation as form; print(form.Type())"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PROTOCOL_BUFFERS")}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True)
    expected = "python" if mindspore.__version__.startswith("2.7.") else "upb"
    assert done.stdout.split()[-1:] == [expected], done.stderr


def test_messages_of_an_old_generator_need_protobufs_form_in_python(tmp_path):
    (tmp_path / "train").mkdir()
    for code, form in (("DESCRIPTOR = _descriptor.FileDescriptor(", "upb"), ("fields=[\n    _descriptor.FieldDescriptor(", "python")):
        (tmp_path / "train/checkpoint_pb2.py").write_text(code)
        assert form_of_protobuf([str(tmp_path)]) == form
    assert form_of_protobuf([]) == "upb"
