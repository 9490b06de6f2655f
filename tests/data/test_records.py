import json
import random
import sqlite3
import struct
from contextlib import closing

import numpy as np
import pytest

from src.records import files as record_files
from src.records import record_set as records
from src.records.plan import Batch
from src.records.record_set import RecordSet, join_rows
from src.records.tfrecord import check_tfrecord, encode_examples, masked_crc
from src.tasks.classifier.task import LAYOUT
from src.tasks.pretrain import records as pretraining
from src.tasks.pretrain.corpus import inspection

SIZE = 8
ROWS = [
    {"input_ids": [2, 7, 9, 3], "token_type_ids": [0, 0, 1, 1], "label_ids": 1},
    {"input_ids": [2, 3], "token_type_ids": [0, 1], "label_ids": 0},
    {"input_ids": [2, 5, 6, 7, 8, 9, 4, 3], "token_type_ids": [0, 0, 0, 0, 1, 1, 1, 1], "label_ids": 2},
]


def make_zoo_row(row):
    pad = SIZE - len(row["input_ids"])
    mask = [1] * len(row["input_ids"]) + [0] * pad
    segments = row["token_type_ids"] + [0] * pad
    return {"input_ids": row["input_ids"] + [0] * pad, "input_mask": mask, "segment_ids": segments, "label_ids": [row["label_ids"]]}


def make_frames(rows):
    """Frames of a TFRecord file; tests/data/test_tfrecord.py shows that they are right."""
    rows = list(rows)
    return encode_examples({name: np.array([row[name] for row in rows]) for name in rows[0]})


def write_tfrecord(path, rows):
    path.write_bytes(b"".join(make_frames(rows)))
    return path


def read_all(path, schema_file=None):
    return list(record_files.read_record_file(path, LAYOUT, schema_file))


def plain(chunks):
    """The rows of chunks as dicts."""
    rows = []
    for chunk in chunks:
        ends = np.cumsum(chunk.lengths)
        for row, end in enumerate(ends):
            tokens = {name: values[end - chunk.lengths[row] : end].tolist() for name, values in chunk.tokens.items()}
            rows.append(tokens | {name: values[row].tolist() for name, values in chunk.rows.items()})
    return rows


COLUMNS = ["input_mask", *LAYOUT.tokens, "label_ids"]
EXPECTED = ROWS


def test_tfrecord_of_the_model_zoo_is_read(tmp_path):
    path = write_tfrecord(tmp_path / "train.tf_record", map(make_zoo_row, ROWS))
    assert record_files.is_record_file(path)
    assert plain(read_all(path)) == EXPECTED


def test_tfrecord_is_read_with_a_schema(tmp_path):
    columns = {name: {"type": "int64", "rank": 1, "shape": [1 if name == "label_ids" else SIZE]} for name in COLUMNS}
    (tmp_path / "schema.json").write_text(json.dumps({"datasetType": "TF", "numRows": 3, "columns": columns}))
    path = write_tfrecord(tmp_path / "train.tf_record", map(make_zoo_row, ROWS))
    assert plain(read_all(path, str(tmp_path / "schema.json"))) == EXPECTED


def test_rows_that_a_schema_leaves_out_are_told(tmp_path, capsys):
    columns = {name: {"type": "int64", "rank": 1, "shape": [1 if name == "label_ids" else SIZE]} for name in COLUMNS}
    (tmp_path / "schema.json").write_text(json.dumps({"datasetType": "TF", "numRows": 2, "columns": columns}))
    path = write_tfrecord(tmp_path / "train.tf_record", map(make_zoo_row, ROWS))
    assert plain(read_all(path, str(tmp_path / "schema.json"))) == EXPECTED[:2]
    assert f"schema.json: numRows takes 2 of the 3 rows of {path}" in capsys.readouterr().out


def test_a_row_with_two_labels_is_refused(tmp_path):
    rows = [{**make_zoo_row(row), "label_ids": [0, 1]} for row in ROWS]
    with pytest.raises(ValueError, match="a row has 2 values in label_ids, 1 expected"):
        read_all(write_tfrecord(tmp_path / "train.tf_record", rows))


def test_truncated_tfrecord_is_refused(tmp_path):
    path = write_tfrecord(tmp_path / "train.tf_record", map(make_zoo_row, ROWS))
    data = path.read_bytes()
    ends = np.cumsum([len(frame) for frame in make_frames(map(make_zoo_row, ROWS))])
    for length in range(len(data)):
        if length in ends:
            continue  # a shorter file, but a whole one
        path.write_bytes(data[:length])
        with pytest.raises(ValueError):
            check_tfrecord(path)
    for length in (0, 5, 12, 40, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match="train.tf_record"):
            read_all(path)


def test_altered_tfrecord_is_refused(tmp_path):
    path = write_tfrecord(tmp_path / "train.tf_record", map(make_zoo_row, ROWS))
    original, generator = path.read_bytes(), random.Random(1)
    for _ in range(300):
        data = bytearray(original)
        data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        path.write_bytes(data)
        with pytest.raises(ValueError, match="record [123]: "):
            check_tfrecord(path)
    with pytest.raises(ValueError, match="train.tf_record"):
        read_all(path)


def test_tfrecord_without_a_column_is_refused(tmp_path):
    rows = [{name: values for name, values in make_zoo_row(row).items() if name != "segment_ids"} for row in ROWS]
    with pytest.raises(ValueError, match=r"train.tf_record: .*segment_ids"):
        read_all(write_tfrecord(tmp_path / "train.tf_record", rows))


def test_tfrecord_of_other_messages_is_refused(tmp_path):
    data, length = b"\xff\xff nonsense", struct.pack("<Q", 11)
    frame = length + struct.pack("<I", masked_crc(length)) + data + struct.pack("<I", masked_crc(data))
    (tmp_path / "train.tf_record").write_bytes(frame)
    with pytest.raises(ValueError, match="train.tf_record"):
        read_all(tmp_path / "train.tf_record")


@pytest.mark.parametrize("wrong", [{"segment_ids": [0] * 3}, {"input_ids": [2, 3]}, {"input_mask": [0] * SIZE}])
def test_columns_of_unlike_lengths_are_refused(wrong, tmp_path):
    rows = [{**make_zoo_row(row), **wrong} for row in ROWS]
    with pytest.raises(ValueError, match="train.tf_record"):
        read_all(write_tfrecord(tmp_path / "train.tf_record", rows))


@pytest.mark.parametrize("mask", [[0, 1, 1, 1], [1, 0, 1, 0]])
def test_padding_before_a_token_is_refused_because_other_tokens_would_be_taken(mask, tmp_path):
    rows = [make_zoo_row(ROWS[1]), {**make_zoo_row(ROWS[0]), "input_mask": mask + [0] * 4}]
    with pytest.raises(ValueError, match=r"train.tf_record: .*input_mask has padding before a token"):
        read_all(write_tfrecord(tmp_path / "train.tf_record", rows))


@pytest.mark.parametrize("name", ["input_ids", "segment_ids"])
def test_negative_ids_are_refused(name, monkeypatch):
    rows = list(map(make_zoo_row, ROWS))
    columns = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    columns[name][1, 1] = -7
    monkeypatch.setattr(record_files, "_open", lambda *arguments: [columns])
    with pytest.raises(ValueError, match=rf"a.mindrecord: .*{name} has the negative number -7"):
        read_all("a.mindrecord")


def test_negative_ids_of_masked_tokens_are_refused(monkeypatch):
    names = ("input_ids", "input_mask", "segment_ids", "masked_lm_positions", "masked_lm_ids")
    columns = {name: np.ones((1, 3), np.int32) for name in names} | {"next_sentence_labels": np.ones((1, 1), np.int32)}
    columns |= {"masked_lm_weights": np.array([[1, 1, 0]], np.float32)}
    monkeypatch.setattr(record_files, "_open", lambda *arguments: [columns])
    columns["masked_lm_ids"][0, 2] = -1  # where there is no masked token
    assert len(list(pretraining.read_chunks(["a.mindrecord"], pretraining.LAYOUT, None, None))) == 1
    columns["masked_lm_ids"][0, 1] = -1
    with pytest.raises(ValueError, match="a.mindrecord: masked_lm_ids has a negative number"):
        list(pretraining.read_chunks(["a.mindrecord"], pretraining.LAYOUT, None, None))


@pytest.fixture(scope="module")
def mindrecord(tmp_path_factory):
    """Bytes of a MindRecord file as the model zoo wrote it, and of its index."""
    from mindspore.mindrecord import FileWriter

    path = tmp_path_factory.mktemp("mindrecord") / "train.mindrecord"
    writer = FileWriter(str(path), 1)
    writer.set_page_size(1 << 15)
    writer.add_schema({name: {"type": "int64", "shape": [-1]} for name in COLUMNS}, "zoo")
    writer.write_raw_data([{name: np.array(values, np.int64) for name, values in make_zoo_row(row).items()} for row in ROWS])
    writer.commit()
    return path.read_bytes(), path.with_name("train.mindrecord.db").read_bytes()


def write_mindrecord(folder, data, index):
    (folder / "train.mindrecord").write_bytes(data)
    (folder / "train.mindrecord.db").write_bytes(index)
    return folder / "train.mindrecord"


def test_mindrecord_of_the_model_zoo_is_read(mindrecord, tmp_path):
    path = write_mindrecord(tmp_path, *mindrecord)
    assert record_files.is_record_file(path)
    found = sorted(plain(read_all(path)), key=lambda row: len(row["input_ids"]))
    assert found == sorted(EXPECTED, key=lambda row: len(row["input_ids"]))


@pytest.mark.parametrize("keep", [0, 10, 200, 0.5, -1])
def test_truncated_mindrecord_is_refused(keep, mindrecord, tmp_path):
    data, index = mindrecord
    path = write_mindrecord(tmp_path, data[: int(keep * len(data)) if isinstance(keep, float) else keep], index)
    with pytest.raises(ValueError, match="train.mindrecord"):
        read_all(path)


def test_mindrecord_with_a_damaged_header_is_refused(mindrecord, tmp_path):
    data, index = mindrecord
    start = data.index(b"{")
    path = write_mindrecord(tmp_path, data[:start] + b"#" + data[start + 1 :], index)
    with pytest.raises(ValueError, match="train.mindrecord"):
        read_all(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("DELETE FROM INDEXES", "the index .*train.mindrecord.db has no rows"),
        ("DROP TABLE INDEXES", "train.mindrecord.db is no index of a MindRecord: no such table: INDEXES"),
        (None, "train.mindrecord.db is no index of a MindRecord: file is not a database"),
    ],
)
def test_mindrecord_whose_index_has_no_rows_is_refused_before_the_framework_sees_it(change, message, mindrecord, tmp_path, monkeypatch):
    data, index = mindrecord
    path = write_mindrecord(tmp_path, data, b"no index" * 100 if change is None else index)
    if change:
        with closing(sqlite3.connect(f"{path}.db")) as connection, connection:
            connection.execute(change)
    monkeypatch.setattr(record_files.ds, "MindDataset", None)
    monkeypatch.setattr(record_files.subprocess, "run", None)
    with pytest.raises(ValueError, match=message):
        read_all(path)
    monkeypatch.undo()
    if change == "DELETE FROM INDEXES":
        with pytest.raises(ValueError, match="has no rows"):
            inspection._read(str(path), {}, "vocab.txt", 1, "mlm_nsp")


def test_mindrecord_without_its_index_is_refused(mindrecord, tmp_path):
    path = write_mindrecord(tmp_path, *mindrecord)
    path.with_name("train.mindrecord.db").unlink()
    with pytest.raises(ValueError, match="train.mindrecord"):
        read_all(path)


@pytest.mark.parametrize("data", [b"", b"label\tsentence\n1\tthe cat\n", b"\0" * 40])
def test_text_is_no_record_file(data, tmp_path):
    (tmp_path / "train.tsv").write_bytes(data)
    assert not record_files.is_record_file(tmp_path / "train.tsv")


def cached(folder, make_chunks=lambda: [join_rows(ROWS[:2]), join_rows(ROWS[2:])]):
    return records.cached_records(folder / "rows", make_chunks)


def pad(row, length):
    return row + [0] * (length - len(row))


def test_batch_pads_with_zeros(tmp_path):
    found = cached(tmp_path)
    for row_ids in ([0, 1, 2], [2, 0], [1, 1, 1, 0], [2]):
        for length in (8, 11):
            for name in ("input_ids", "token_type_ids"):
                expected = [pad(ROWS[number][name], length) for number in row_ids]
                np.testing.assert_array_equal(found.column(name, Batch(np.array(row_ids), len(row_ids), length)), expected)
            mask = [pad([1] * len(ROWS[number]["input_ids"]), length) for number in row_ids]
            np.testing.assert_array_equal(found.column("input_mask", Batch(np.array(row_ids), 1, length)), mask)
            labels = found.column("label_ids", Batch(np.array(row_ids), 1, length))
            np.testing.assert_array_equal(labels, [ROWS[number]["label_ids"] for number in row_ids])
    assert {
        found.column(name, Batch(np.array([0]), 1, 8)).dtype for name in ("input_ids", "token_type_ids", "input_mask", "label_ids")
    } == {np.dtype("i4")}


def test_batch_equals_brute_force_on_many_rows():
    random = np.random.default_rng(0)
    lengths = random.integers(1, 20, 200).astype(np.int32)
    rows = [random.integers(1, 99, length).tolist() for length in lengths]
    found = RecordSet(lengths, {"input_ids": np.concatenate(rows).astype(np.int32)}, {})
    row_ids = random.permutation(200)
    np.testing.assert_array_equal(found.column("input_ids", Batch(row_ids, 1, 24)), [pad(rows[number], 24) for number in row_ids])


def test_rows_are_made_once(tmp_path):
    calls = []

    def make_chunks():
        calls.append(1)
        yield join_rows(ROWS)

    first, second = cached(tmp_path, make_chunks), cached(tmp_path, make_chunks)
    assert len(calls) == 1
    np.testing.assert_array_equal(first.lengths, [4, 2, 8])
    np.testing.assert_array_equal(second.lengths, first.lengths)
    assert set(first.tokens) == set(second.tokens) == {"input_ids", "token_type_ids"}
    assert set(first.rows) == {"label_ids"}


@pytest.mark.parametrize("sizes", [[1, 1, 1], [3], [2, 1]])
def test_chunks_of_any_size_make_the_same_rows(sizes, tmp_path):
    def make_chunks():
        start = 0
        for size in sizes:
            yield join_rows(ROWS[start : start + size])
            start += size

    found = cached(tmp_path, make_chunks)
    np.testing.assert_array_equal(found.tokens["input_ids"], np.concatenate([row["input_ids"] for row in ROWS]))
    np.testing.assert_array_equal(found.rows["label_ids"], [1, 0, 2])


def test_lists_of_values_must_be_alike_in_all_chunks(tmp_path):
    chunks = [records.Chunk(np.array([1]), {"input_ids": np.array([5])}, {"masked_lm_ids": np.zeros((1, size))}) for size in (3, 4)]
    with pytest.raises(ValueError, match="masked_lm_ids"):
        cached(tmp_path, lambda: chunks)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_failed_cache_leaves_nothing(tmp_path):
    def make_chunks():
        yield join_rows(ROWS)
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError) as caught:
        cached(tmp_path, make_chunks)
    assert caught.value.filename == str(tmp_path / "rows")
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    assert len(cached(tmp_path).lengths) == 3


def test_key_follows_from_contents_and_settings(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("x")
    second.write_text("x")
    key = records.make_key(first, True, 128)
    assert key == records.make_key(second, True, 128)
    second.write_text("y")
    others = [
        records.make_key(second, True, 128),
        records.make_key(first, False, 128),
        records.make_key(first, True, 64),
        records.make_key(first, True),
    ]
    assert len({key, *others}) == 5
