import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import mindspore.dataset as ds
import numpy as np
import pytest
from mindspore.mindrecord import FileReader, FileWriter
from mindspore.mindrecord.filewriter import ShardWriter

from src.build_records import main
from src.records.files import read_description as read_any_description
from src.records.mindrecord import MindRecordWriter, read_description
from src.records.mindrecord_format import merge_columns
from src.tasks.pretrain.corpus import builder
from src.tasks.pretrain.corpus.workers import open_workers
from src.text.tokenization import fingerprint, read_vocabulary

ROOT = Path(__file__).resolve().parent.parent
WORDS = ["the", "cat", "sat", "on", "a", "mat", "dog", "ran", "fast", "slow", "good", "bad", "very", "not", "it", "was", "xyz", "wordy"]


def write_text(path, documents=12, seed=0):
    generator = random.Random(seed)
    text = ""
    for _ in range(documents):
        for _ in range(generator.randint(1, 12)):
            text += " ".join(generator.choices(WORDS, k=generator.randint(1, 12))) + ".\n"
        text += "\n"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def flags(tmp_path, vocab_file):
    write_text(tmp_path / "text.txt")

    def make(**changes):
        settings = {
            "input_file": tmp_path / "text.txt",
            "output_file": tmp_path / "out" / "x.tfrecord",
            "vocab_file": vocab_file,
            "max_seq_length": 32,
            "max_predictions_per_seq": 5,
            "dupe_factor": 3,
            "workers": 1,
            **changes,
        }
        return [f"--{name}={value}" for name, value in settings.items() if value is not None]

    return make


def read_rows(path):
    path = str(path)
    dataset = ds.TFRecordDataset(path, shuffle=False) if "tfrecord" in path else ds.MindDataset(path, shuffle=False)
    return list(dataset.create_dict_iterator(num_epochs=1, output_numpy=True))


def key_of(row):
    return tuple((name, tuple(row[name].tolist())) for name in sorted(row))


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if "statistics" not in path.name}


def fail(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        main(argv)
    error = capsys.readouterr().err
    assert caught.value.code == 2 and error.startswith("error: ") and error.count("\n") == 1
    return error


def test_both_formats_hold_the_same_rows(flags, tmp_path):
    main(flags())
    main(flags(output_file=tmp_path / "out" / "x.mindrecord"))
    first, second = read_rows(tmp_path / "out" / "x.tfrecord"), read_rows(tmp_path / "out" / "x.mindrecord")
    assert len(first) > 30 and [key_of(row) for row in first] == [key_of(row) for row in second]
    widths = {"masked_lm_positions": 5, "masked_lm_ids": 5, "masked_lm_weights": 5, "next_sentence_labels": 1}
    for row, kind in ((first[0], np.int64), (second[0], np.int32)):
        assert set(row) == {"input_ids", "input_mask", "segment_ids", *widths}
        for name, values in row.items():
            assert values.shape == (widths.get(name, 32),)
            assert values.dtype == (np.float32 if name == "masked_lm_weights" else kind)


def test_rows_are_well_formed(flags, tmp_path, vocab_file):
    main(flags())
    vocabulary = read_vocabulary(vocab_file)
    for row in read_rows(tmp_path / "out" / "x.tfrecord"):
        length = int(row["input_mask"].sum())
        assert (row["input_mask"] == (np.arange(32) < length)).all()
        ids, count = row["input_ids"].copy(), int(row["masked_lm_weights"].sum())
        assert 1 <= count <= min(5, max(1, round(length * 0.15)))
        ids[row["masked_lm_positions"][:count]] = row["masked_lm_ids"][:count]
        assert ids[0] == vocabulary["[CLS]"] and (ids == vocabulary["[SEP]"]).sum() == 2 and ids[length - 1] == vocabulary["[SEP]"]
        assert not (ids == vocabulary["[MASK]"]).any() and not ids[length:].any()
        first = int(np.flatnonzero(ids == vocabulary["[SEP]"])[0]) + 1
        assert (row["segment_ids"] == ((np.arange(32) >= first) & (np.arange(32) < length))).all()


def test_statistics_are_those_of_the_rows(flags, tmp_path, vocab_file):
    main(flags(output_file=tmp_path / "out" / "x.mindrecord", dupe_factor=20))
    rows = read_rows(tmp_path / "out" / "x.mindrecord")
    found = json.loads((tmp_path / "out" / "x.statistics.json").read_text())
    text = (tmp_path / "text.txt").read_text()
    assert found["documents"] == 12 and found["empty_documents"] == 0
    assert found["sentences"] == text.count(".") and found["instances"] == len(rows)
    tokens = sum(int(row["input_mask"].sum()) for row in rows)
    assert found["mean_length"] == pytest.approx(tokens / len(rows))
    assert found["padding_share"] == pytest.approx(1 - tokens / len(rows) / 32)
    assert found["masked_tokens"] == sum(int(row["masked_lm_weights"].sum()) for row in rows)
    assert found["random_next_share"] == pytest.approx(np.mean([row["next_sentence_labels"][0] for row in rows]))
    mask = read_vocabulary(vocab_file)["[MASK]"]
    assert found["mask_share"] == pytest.approx(sum(int((row["input_ids"] == mask).sum()) for row in rows) / found["masked_tokens"])
    assert found["mask_share"] + found["keep_share"] + found["random_share"] == pytest.approx(1)


@pytest.mark.parametrize("file_format", ["tfrecord", "mindrecord"])
def test_any_number_of_workers_gives_the_same_bytes(flags, tmp_path, monkeypatch, file_format):
    monkeypatch.setattr("src.tasks.pretrain.corpus.builder.BLOCK_CHARS", 500)  # several blocks; workers get theirs as tasks
    monkeypatch.setattr("src.tasks.pretrain.corpus.builder.BLOCK_ROWS", 16)
    for workers in (1, 3):
        main(flags(output_file=tmp_path / f"out{workers}" / f"x.{file_format}", workers=workers, shards=2))
    first = bytes_of(tmp_path / "out1")
    assert first == bytes_of(tmp_path / "out3") and len(first) >= 3
    main(flags(output_file=tmp_path / "other" / f"x.{file_format}", random_seed=1, shards=2))
    assert bytes_of(tmp_path / "other") != first


def test_memory_does_not_grow_with_the_text(flags, tmp_path, monkeypatch):
    monkeypatch.setattr(builder, "BLOCK_CHARS", 1 << 12)
    monkeypatch.setattr(builder, "BLOCK_ROWS", 128)
    peaks = []
    for documents in (60, 60, 480):  # the first time, modules and caches are made too
        write_text(tmp_path / "text.txt", documents)
        tracemalloc.start()
        main(flags(output_file=tmp_path / f"{len(peaks)}/x.tfrecord"))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.2 * peaks[1]


def test_shards_divide_the_rows(flags, tmp_path):
    main(flags())
    whole = sorted(map(key_of, read_rows(tmp_path / "out" / "x.tfrecord")))
    main(flags(output_file=tmp_path / "parts" / "x.tfrecord", shards=3))
    names = sorted(path.name for path in (tmp_path / "parts").iterdir())
    assert names == ["x.schema.json", "x.statistics.json", *(f"x.tfrecord-0000{shard}-of-00003" for shard in range(3))]
    parts = [read_rows(tmp_path / "parts" / name) for name in names if "-of-" in name]
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert sorted(key_of(row) for part in parts for row in part) == whole
    main(flags(output_file=tmp_path / "mind" / "x.mindrecord", shards=3))
    again = [read_rows(tmp_path / "mind" / name.replace("tfrecord", "mindrecord")) for name in names if "-of-" in name]
    assert [list(map(key_of, part)) for part in again] == [list(map(key_of, part)) for part in parts]


def test_the_schema_is_the_model_zoos(flags, tmp_path):
    main(flags())
    schema = json.loads((tmp_path / "out" / "x.schema.json").read_text())
    rows = read_rows(tmp_path / "out" / "x.tfrecord")
    assert schema["datasetType"] == "TF" and schema["numRows"] == len(rows)
    assert schema["columns"]["input_ids"] == {"type": "int64", "rank": 1, "shape": [32]}
    assert schema["columns"]["masked_lm_weights"] == {"type": "float32", "rank": 1, "shape": [5]}
    dataset = ds.TFRecordDataset(str(tmp_path / "out" / "x.tfrecord"), schema=str(tmp_path / "out" / "x.schema.json"), shuffle=False)
    again = list(dataset.create_dict_iterator(num_epochs=1, output_numpy=True))
    assert list(map(key_of, again)) == list(map(key_of, rows))


def test_whole_words_come_with_their_borders(flags, tmp_path, vocab_file):
    main(flags(output_file=tmp_path / "x.mindrecord", do_whole_word_mask="true"))
    tokens = list(read_vocabulary(vocab_file))
    for row in read_rows(tmp_path / "x.mindrecord"):
        ids, count = row["input_ids"].copy(), int(row["masked_lm_weights"].sum())
        chosen = row["masked_lm_positions"][:count]
        ids[chosen] = row["masked_lm_ids"][:count]
        np.testing.assert_array_equal(row["word_continues"], [tokens[number].startswith("##") for number in ids])
        for position in range(1, 32):
            if row["word_continues"][position] and ids[position - 1] not in (tokens.index("[CLS]"), tokens.index("[SEP]")):
                assert (position in chosen) == (position - 1 in chosen)


def test_the_description_is_kept_in_the_file(flags, tmp_path, vocab_file):
    main(flags(output_file=tmp_path / "x.mindrecord", shards=2))
    found = read_description(tmp_path / "x.mindrecord-00001-of-00002")
    assert found == json.loads((tmp_path / "x.statistics.json").read_text())["description"]
    assert found["vocabulary"] == fingerprint(read_vocabulary(vocab_file))
    assert (found["max_seq_length"], found["max_predictions_per_seq"], found["do_lower_case"]) == (32, 5, True)
    reader = FileReader(str(tmp_path / "x.mindrecord-00000-of-00002"))
    assert json.loads(reader._header.header.get_meta()[0].get_desc()) == found
    reader.close()


class SmallPages(ShardWriter):
    def open(self, paths, override):
        self.set_page_size(1 << 15)
        return super().open(paths, override)


COLUMNS = {"input_ids": ("int32", 8), "masked_lm_weights": ("float32", 3), "a": ("int32", 1)}


def write_both(folder, num_rows):
    """The same rows by the framework's writer and ours."""
    generator = np.random.default_rng(0)
    rows = {name: generator.integers(0, 30_000, (num_rows, size)).astype(kind) for name, (kind, size) in COLUMNS.items()}
    schema = {name: {"type": kind, "shape": [-1]} for name, (kind, _) in COLUMNS.items()}
    for name in ("theirs", "ours"):
        (folder / name).mkdir()
    theirs = FileWriter(str(folder / "theirs" / "x.mindrecord"), 1)
    theirs.set_page_size(1 << 15)
    theirs.add_schema(schema, "{}")
    theirs.write_raw_data([dict(zip(rows, values)) for values in zip(*rows.values())])
    theirs.commit()
    ours = MindRecordWriter(folder / "ours" / "x.mindrecord", {name: kind for name, (kind, _) in COLUMNS.items()}, {})
    ours.write(merge_columns(rows))
    ours.close()
    return folder / "theirs" / "x.mindrecord", folder / "ours" / "x.mindrecord"


@pytest.mark.parametrize("num_rows", [1, 10, 6000])
def test_mindrecords_are_the_frameworks(tmp_path, num_rows, monkeypatch):
    monkeypatch.setattr("src.records.mindrecord.ShardWriter", SmallPages)
    theirs, ours = write_both(tmp_path, num_rows)
    assert ours.read_bytes() == theirs.read_bytes()
    tables = []
    for path in (theirs, ours):
        connection = sqlite3.connect(f"{path}.db")
        tables.append([connection.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in ("INDEXES", "SHARD_NAME")])
        connection.close()
    assert tables[0] == tables[1] and len(tables[1][0]) == num_rows
    assert num_rows < 6000 or len({row[5] for row in tables[1][0]}) > 3 and len({row[1] for row in tables[1][0]}) > 1  # pages


@pytest.mark.parametrize("name", ["x.tfrecord", "x.mindrecord"])
def test_a_shard_by_itself_has_the_bytes_of_that_shard_of_one_run(flags, tmp_path, name, capsys, monkeypatch, vocab_file):
    settings = {"do_whole_word_mask": "true", "dupe_factor": 20}
    main(flags(output_file=tmp_path / "out" / name, shards=2, **settings))
    whole = bytes_of(tmp_path / "out")
    capsys.readouterr()
    for number in (1, 0):  # the second finds the store of the first, and reads no text
        main(flags(output_file=tmp_path / "parts" / name, shard=f"{number}/2", store_dir=tmp_path / "store", **settings))
        monkeypatch.setattr("src.tasks.pretrain.corpus.builder.read_corpus", None)
    assert "has the tokens and pairs of an earlier run" in capsys.readouterr().out
    assert bytes_of(tmp_path / "parts") == whole
    found = [json.loads((tmp_path / f"parts/x-0000{number}-of-00002.statistics.json").read_text()) for number in range(2)]
    of_both = json.loads((tmp_path / "out/x.statistics.json").read_text())
    assert sum(each["masked_tokens"] for each in found) == of_both["masked_tokens"]
    for each in found:
        assert each["instances"] == of_both["instances"] and each["description"] == of_both["description"]
    description = read_any_description(tmp_path / f"parts/{name}-00001-of-00002")
    assert description["vocabulary"] == fingerprint(read_vocabulary(vocab_file))
    main([f"--output_file={tmp_path / 'parts' / name}", f"--vocab_file={vocab_file}", "--inspect=1"])
    assert "record 0" in capsys.readouterr().out


def test_records_are_described_by_the_run_that_made_them(flags, tmp_path):
    name = tmp_path / "out/x.tfrecord"
    main(flags(output_file=name, shards=2, masked_lm_prob=0.3))
    main(flags(output_file=name, shard="1/2"))  # in place of that of the set
    found = [read_any_description(f"{name}-0000{number}-of-00002")["masked_lm_prob"] for number in range(2)]
    main(flags(output_file=name, shards=2, masked_lm_prob=0.2))
    found += [read_any_description(f"{name}-0000{number}-of-00002")["masked_lm_prob"] for number in range(2)]
    assert found == [0.3, 0.15, 0.2, 0.2]


def test_a_store_serves_only_runs_on_the_same_text_with_the_same_pairs(flags, tmp_path):
    for changes in ({}, {"random_seed": 1}, {"masked_lm_prob": 0.3}, {"max_seq_length": 24}):  # masks are drawn later
        main(flags(store_dir=tmp_path / "store", **changes))
    write_text(tmp_path / "text.txt", seed=5)
    main(flags(store_dir=tmp_path / "store"))
    assert len([path for path in (tmp_path / "store").iterdir() if path.is_dir()]) == 4


def test_other_mindrecords_have_no_description(tmp_path):
    theirs, _ = write_both(tmp_path, 3)
    assert read_description(theirs) == {}
    for data in (b"", b"\5\0\0\0\0\0\0\0hello", b"text of some length"):
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(ValueError, match="not a MindRecord"):
            read_description(tmp_path / "x")


@pytest.mark.parametrize("name", ["x.tfrecord", "x.mindrecord"])
def test_records_are_printed_as_text(flags, tmp_path, capsys, name, vocab_file):
    main(flags(output_file=tmp_path / name, inspect=2, do_whole_word_mask="true"))
    text = capsys.readouterr().out
    assert "record 0\n" in text and "record 1\n" in text and "record 2\n" not in text
    main([f"--output_file={tmp_path / name}", f"--vocab_file={vocab_file}", "--inspect=2"])
    assert text.endswith(capsys.readouterr().out)
    row, tokens = read_rows(tmp_path / name)[0], list(read_vocabulary(vocab_file))
    shown = text[text.index("record 0") : text.index("record 1")]
    position, number = row["masked_lm_positions"][0], row["masked_lm_ids"][0]
    assert f"masked: {position}={tokens[number]}" in shown and "segment 0: [CLS]" in shown
    assert f"next_sentence_label: {row['next_sentence_labels'][0]}" in shown


def test_records_of_another_vocabulary_are_not_printed(flags, tmp_path, capsys, vocab_file):
    main(flags(output_file=tmp_path / "x.mindrecord"))
    main(flags())
    lines = vocab_file.read_text().split()
    other = tmp_path / "other.txt"
    other.write_text("\n".join(lines[:8]))
    error = fail([f"--output_file={tmp_path / 'x.mindrecord'}", f"--vocab_file={other}", "--inspect=2"], capsys)
    assert "x.mindrecord: made with another vocabulary than" in error
    error = fail([f"--output_file={tmp_path / 'out' / 'x.tfrecord'}", f"--vocab_file={other}", "--inspect=50"], capsys)
    assert "is not in" in error and "which has 8 tokens" in error


def test_damaged_records_are_not_printed(flags, tmp_path, capsys, vocab_file):
    main(flags())
    path = tmp_path / "out" / "x.tfrecord"
    path.write_bytes(path.read_bytes()[:-10])
    arguments = [f"--vocab_file={vocab_file}", "--inspect=1000"]
    assert "the file ends inside it" in fail([f"--output_file={path}", *arguments], capsys)
    assert "not a MindRecord" in fail([f"--output_file={tmp_path / 'text.txt'}", *arguments], capsys)
    assert "no such file" in fail([f"--output_file={tmp_path / 'none'}", *arguments], capsys)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_seq_length": 4}, "max_seq_length=4 is not allowed: it must be at least 5"),
        ({"max_predictions_per_seq": 0}, "max_predictions_per_seq=0 is not allowed: it must be at least 1"),
        ({"max_predictions_per_seq": 33}, "max_predictions_per_seq=33 is more than max_seq_length=32"),
        ({"masked_lm_prob": 0}, "masked_lm_prob=0.0 is not allowed: it must be above 0"),
        ({"masked_lm_prob": "much"}, "masked_lm_prob=much: expected a number"),
        ({"short_seq_prob": 1.5}, "short_seq_prob=1.5 is not allowed"),
        ({"dupe_factor": 0}, "dupe_factor=0 is not allowed"),
        ({"random_seed": -1}, "random_seed=-1 is not allowed"),
        ({"workers": -1}, "workers=-1 is not allowed"),
        ({"file_format": "parquet"}, "file_format=parquet is not allowed: it must be one of mindrecord, tfrecord"),
        ({"do_lower_case": "maybe"}, "do_lower_case=maybe: expected true or false"),
        ({"segmenter": "jieba"}, "segmenter=jieba has no use without --do_whole_word_mask true"),
        ({"segmenter": "no_module:f", "do_whole_word_mask": "true"}, "segmenter=no_module:f"),
        ({"input_file": "nothing-*.txt"}, "nothing-*.txt: no such file"),
        ({"input_file": None}, "--input_file is missing"),
        ({"output_file": None}, "--output_file is missing"),
        ({"vocab_file": None}, "--vocab_file is missing"),
        ({"vocab_file": "nothing.txt"}, "nothing.txt: no such vocabulary"),
        ({"store_dir": "{folder}/text.txt"}, "text.txt: is a file; a folder is expected"),
        ({"store_dir": "{folder}/text.txt/store"}, "text.txt/store: Not a directory"),
        ({"shards": 1000}, "shards=1000: there are only"),
        ({"shard": "999/1000"}, "shards=1000: there are only"),
        ({"shard": "3/3"}, "shard=3/3: the shards of 3 have the numbers 0 to 2"),
        ({"shard": "3"}, "shard=3: expected a number and the count of all, at most 1000, such as 3/16"),
        ({"shard": "0/0"}, "shard=0/0: expected a number"),
        ({"shard": "1/3", "shards": 4}, "shards=4 and shard=1/3 tell different counts"),
        ({"dupe": 3}, "--dupe; --help lists them (unknown flag)"),
    ],
)
def test_bad_flags_are_one_line(flags, capsys, tmp_path, changes, message):
    changes = {key: value.format(folder=tmp_path) if key == "store_dir" else value for key, value in changes.items()}
    assert message in fail(flags(**changes), capsys)
    assert not list((tmp_path / "out").glob("*")) and not list((tmp_path / "out").glob(".*"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no text"),
        (b"\n \n", "no text"),
        (b"One. Two.\nThree.\n", "only one document, but next-sentence pairs need two documents"),
        (b'{"text": "the cat"}\n{"text": "the dog"}\n{"text"', "text.txt:3: not JSON"),
        (b"the cat\n\n\xff\n", "text.txt:3: not UTF-8"),
        (b"\x1f\x8b\x08\x00\x00", "text.txt:1: damaged gzip file"),
    ],
)
def test_bad_text_is_one_line(flags, capsys, tmp_path, data, message):
    (tmp_path / "text.txt").write_bytes(data)
    assert message in fail(flags(), capsys)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("input_format", "text", "has_hint"),
    [("plain", "A cat\nOne. Two.\n", True), ("doc", '<doc id="1">\nA cat\n\nOne. Two.\n</doc>\n', False)],
)
def test_one_document_has_the_hint_to_blank_lines_in_plain_text_only(flags, capsys, tmp_path, input_format, text, has_hint):
    (tmp_path / "text.txt").write_text(text)
    assert ("; a blank line separates" in fail(flags(input_format=input_format), capsys)) == has_hint


def test_a_vocabulary_without_mask_is_named(flags, capsys, vocab_file):
    vocab_file.write_text(vocab_file.read_text().replace("[MASK]", "mask"))
    assert f"{vocab_file}: no [MASK] token" in fail(flags(), capsys)


@pytest.mark.parametrize("size", [5, 32])
def test_tiny_and_huge_documents_are_paired(flags, tmp_path, size):
    (tmp_path / "text.txt").write_text("cat\n\n" + "the dog " * 50_000 + "\n\na\n\n.\n")
    main(flags(max_seq_length=size))
    rows = read_rows(tmp_path / "out" / "x.tfrecord")
    assert len(rows) > 100 and all(row["input_mask"].sum() >= 5 for row in rows)


def test_old_records_stay_when_new_ones_fail(flags, tmp_path, capsys):
    main(flags())
    before = bytes_of(tmp_path / "out")
    (tmp_path / "text.txt").write_bytes(b"one\n\ntwo\n\xff")
    fail(flags(), capsys)
    assert bytes_of(tmp_path / "out") == before


@pytest.mark.slow
@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 1), (signal.SIGTERM, 2)])
def test_interrupted_it_leaves_nothing_and_runs_again(flags, tmp_path, number, workers):
    write_text(tmp_path / "text.txt", documents=3000)
    command = [sys.executable, "-m", "src.build_records", *flags(dupe_factor=200, workers=workers)]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not list((tmp_path / "out").glob(".*/files/pairs.bin")):  # the second of three stages
        assert child.poll() is None, child.stderr.read()
        time.sleep(0.02)
    os.killpg(child.pid, number) if number == signal.SIGINT else child.send_signal(number)  # Ctrl-C reaches the workers too
    _, error = child.communicate(timeout=20)
    assert child.returncode == 128 + number and error == ""
    assert list((tmp_path / "out").iterdir()) == []
    main(flags())
    assert read_rows(tmp_path / "out" / "x.tfrecord")


def test_a_killed_worker_is_told():
    with pytest.raises(MemoryError, match="a worker process was killed"), open_workers(2) as run:
        list(run(os._exit, [(1,), (1,)]))


def test_options_come_without_the_framework():
    code = "import sys, src.tasks.pretrain.corpus.builder, src.build_records; sys.exit('mindspore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
