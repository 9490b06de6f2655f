from types import SimpleNamespace

import numpy as np
import pytest

from src.records.files import Layout, read_record_file
from src.records.plan import Batch
from src.records.record_set import Chunk, RecordSet, cached_records
from src.records.streamed import StreamedRecords, make_index
from src.records.tfrecord import encode_examples

LAYOUT = Layout(
    {"input_ids": "input_ids", "segment_ids": "token_type_ids", "word_continues": "word_continues"},
    {"next_sentence_labels": "next_sentence_labels"},
    {"masked_lm_weights": "masked_lm_weights"},
    optional=("word_continues",),
)
# integers are stored in as few bytes as they need: all widths, their bounds, both signs
VALUES = np.array([0, 1, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, -1, -128, -129, -32769, -(2**31)])


def make_columns(count, width=11, seed=0, signed=False):
    random = np.random.default_rng(seed)
    lengths = random.integers(1, width + 1, count)
    is_token = np.arange(width) < lengths[:, None]
    return {
        "input_ids": random.choice(VALUES[:11], (count, width)) * is_token,  # ids are not negative
        "word_continues": random.choice(VALUES if signed else VALUES[:11], (count, width)) * is_token,
        "input_mask": is_token.astype(np.int64),
        "segment_ids": random.integers(0, 2, (count, width)) * is_token,
        "masked_lm_weights": random.random((count, 3)).astype(np.float32),
        "next_sentence_labels": random.integers(0, 2, (count, 1)),
    }


def write_tfrecord(path, columns):
    path.write_bytes(b"".join(encode_examples(columns)))
    return path


def write_mindrecord(path, columns, kind="int32", page_kb=1 << 5):
    from mindspore.mindrecord import FileWriter

    writer = FileWriter(str(path), 1)
    writer.set_page_size(page_kb << 10)
    types = {name: "float32" if values.dtype.kind == "f" else kind for name, values in columns.items()}
    writer.add_schema({name: {"type": each, "shape": [-1]} for name, each in types.items()}, "zoo")
    converted = {name: values.astype(types[name]) for name, values in columns.items()}
    writer.write_raw_data([{name: values[row] for name, values in converted.items()} for row in range(len(columns["input_ids"]))])
    writer.commit()
    return path


def read(paths):
    return ((number, chunk) for number, path in enumerate(paths) for chunk in read_record_file(path, LAYOUT))


def index(folder, paths):
    return cached_records(folder / "index/train-1", lambda: make_index(paths, LAYOUT, "masked_lm_weights", read(paths)))


def assert_same_rows(found, expected):
    for kind in ("tokens", "rows"):
        columns, others = getattr(found, kind), getattr(expected, kind)
        assert columns.keys() == others.keys()
        for name, values in columns.items():
            np.testing.assert_array_equal(values, others[name], err_msg=name)
            assert values.dtype == others[name].dtype, name


@pytest.fixture(autouse=True)
def opened_here(monkeypatch):
    """MindRecords are not first opened in another process, which takes seconds: tests/data/test_records.py."""
    monkeypatch.setattr("src.records.files.subprocess.run", lambda *arguments, **settings: SimpleNamespace(returncode=0))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files of both formats; the second MindRecord has several pages, wider rows and 64-bit integers."""
    folder = tmp_path_factory.mktemp("files")
    return [
        write_mindrecord(folder / "a.mindrecord", make_columns(150, signed=True)),
        write_tfrecord(folder / "b.tfrecord", make_columns(70, width=9, seed=1)),
        write_mindrecord(folder / "c.mindrecord", make_columns(400, width=13, seed=2, signed=True), "int64"),
    ]


def test_rows_read_by_their_places_are_those_of_the_framework(files, tmp_path):
    """The oracle is the cache that holds a copy of all rows, as MindSpore's readers give them."""
    copy = cached_records(tmp_path / "copy", lambda: (chunk for _, chunk in read(files)))
    streamed = StreamedRecords(files, LAYOUT, index(tmp_path, files))
    assert len(streamed.lengths) == 620
    np.testing.assert_array_equal(streamed.lengths, copy.lengths)
    np.testing.assert_allclose(streamed.predictions, copy.rows["masked_lm_weights"].sum(1), rtol=1e-6)
    assert {name: value for name, value in streamed.maxima().items() if name != "width"} == copy.maxima()
    assert streamed.maxima()["width"] == 3
    random = np.random.default_rng(0)
    for row_ids in (np.arange(620), random.permutation(620)[:37], np.array([619]), np.array([3, 3, 200])):
        found = streamed.take(row_ids)
        assert_same_rows(found, copy.take(row_ids))
        batch = Batch(np.arange(len(row_ids)), len(row_ids), 16)
        for name in ("input_ids", "input_mask", "token_type_ids", "masked_lm_weights"):
            expected = copy.column(name, Batch(row_ids, len(row_ids), 16))
            np.testing.assert_array_equal(found.column(name, batch), expected)


def test_the_index_is_small_and_made_once(files, tmp_path, monkeypatch):
    made = index(tmp_path, files)
    assert {array.dtype.itemsize for array in made.rows.values()} == {4, 8} and not made.tokens
    assert made.rows["start"].dtype == np.uint64  # files may have more than 4 GB
    monkeypatch.setattr("src.records.files.check_tfrecord", None)
    again = StreamedRecords(files, LAYOUT, index(tmp_path, files))
    assert again.key == made.key and len(again.take(np.arange(5)).lengths) == 5


def test_only_the_first_rows_of_a_file_may_be_indexed(files, tmp_path):
    some = [(0, next(read_record_file(files[0], LAYOUT)).head(20))]
    made = cached_records(tmp_path / "index", lambda: make_index(files, LAYOUT, "masked_lm_weights", some))
    assert_same_rows(StreamedRecords(files, LAYOUT, made).take(np.arange(20)), RecordSet(*(vars(some[0][1]).values())).take(np.arange(20)))


@pytest.mark.parametrize("change", ["cut", "altered"])
def test_a_file_that_changes_after_its_index_was_made_is_refused(change, tmp_path):
    path = write_tfrecord(tmp_path / "x.tfrecord", make_columns(30))
    streamed = StreamedRecords([path], LAYOUT, index(tmp_path, [path]))
    data = bytearray(path.read_bytes())
    if change == "altered":
        data[-20] ^= 1
    path.write_bytes(data[:-30] if change == "cut" else data)
    with pytest.raises(ValueError, match="x.tfrecord: was changed after its index was made"):
        streamed.take(np.array([2, 29]))


def test_rows_in_an_order_that_is_not_the_files_are_refused(files):
    chunk = next(read_record_file(files[0], LAYOUT))
    order = np.arange(len(chunk.lengths))[::-1]
    other = RecordSet(chunk.lengths, chunk.tokens, chunk.rows).take(order)
    with pytest.raises(ValueError, match="a.mindrecord: .* is stored in a form that is not known"):
        list(make_index(files, LAYOUT, "masked_lm_weights", [(0, Chunk(other.lengths, other.tokens, other.rows))]))
