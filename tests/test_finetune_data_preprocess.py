import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from contextlib import nullcontext

import mindspore.dataset as ds
import numpy as np
import pytest

from src.finetune_data_preprocess import main
from src.records.files import read_record_file
from src.records.mindrecord import read_description
from src.tasks.ner import task as ner
from src.tasks.ner.inputs import LAYOUT
from src.tasks.ner.options import NerOptions
from src.text.tokenization import Tokenizer
from tests.conftest import ROOT

TOKENS = "[PAD] [UNK] [CLS] [SEP] 王 小 明 在 北 京 三 月 见 到 李 ， 中 国 人 cat ##s"
SENTENCES = """<?xml version="1.0" encoding="UTF-8"?>
<ROOT>
<SENTENCE><w><NAMEX TYPE="PERSON">王小明</NAMEX></w><w>在</w><w><NAMEX TYPE="LOCATION">北京</NAMEX></w><w>见</w><w>到</w>
<w><NAMEX TYPE="PERSON">李</NAMEX></w></SENTENCE>
<SENTENCE><w><TIMEX TYPE="DATE">三月</TIMEX></w><w>，</w><w>龘</w><w>在</w><w><NAMEX TYPE="LOCATION">中国</NAMEX></w></SENTENCE>
<SENTENCE><w>中</w><w>国</w><w>人</w></SENTENCE>
<SENTENCE><w><NAMEX TYPE="PERSON">Cats</NAMEX></w><w>在</w></SENTENCE>
</ROOT>
"""


@pytest.fixture
def make(tmp_path):
    """Run the command; `make(**flags)` gives the columns that MindDataset reads back (None leaves a flag out)."""
    (tmp_path / "vocab.txt").write_text(TOKENS.replace(" ", "\n"), encoding="utf-8")
    (tmp_path / "data.xml").write_text(SENTENCES, encoding="utf-8")
    (tmp_path / "types.txt").write_text("LOCATION\nPERSON\nDATE\n", encoding="utf-8")

    def run(*more, **flags):
        files = {"data_dir": "data.xml", "vocab_file": "vocab.txt", "label2id": "types.txt", "save_path": "out.mindrecord"}
        files = {name: tmp_path / flags.pop(name, default) for name, default in files.items()}
        settings = {**files, "max_seq_len": 12, **flags}
        main([*(f"--{name}={value}" for name, value in settings.items() if value is not None), *more])
        return read(files["save_path"])

    return run


def read(path):
    rows = list(ds.MindDataset([str(path)], shuffle=False).create_dict_iterator(output_numpy=True, num_epochs=1))
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def test_rows_are_those_of_the_model_zoo(make):
    columns = make()
    assert list(columns) == ["input_ids", "input_mask", "label_ids", "segment_ids"]
    assert all(values.dtype == np.int32 and values.shape == (4, 12) for values in columns.values())
    # the zoo: [CLS], a token a character, [SEP]; O 0, LOCATION S B M E 1 to 4, PERSON 5 to 8, DATE 9 to 12; 0 at the special tokens
    assert columns["input_ids"][0].tolist() == [2, 4, 5, 6, 7, 8, 9, 12, 13, 14, 3, 0]
    assert columns["label_ids"][0].tolist() == [0, 6, 7, 8, 0, 2, 4, 0, 0, 5, 0, 0]
    assert columns["input_mask"][0].tolist() == [1] * 11 + [0]
    assert columns["input_ids"][1].tolist() == [2, 10, 11, 15, 1, 7, 16, 17, 3, 0, 0, 0]
    assert columns["label_ids"][1].tolist() == [0, 10, 12, 0, 0, 0, 2, 4, 0, 0, 0, 0]
    assert columns["label_ids"][2].tolist() == [0] * 12
    # Latin letters: word pieces, as run_ner.py makes of text
    assert columns["input_ids"][3, :5].tolist() == [2, 19, 20, 7, 3] and columns["label_ids"][3, :5].tolist() == [0, 6, 8, 0, 0]
    assert not columns["segment_ids"].any()


@pytest.mark.parametrize(
    ("flags", "settings", "message"),
    [
        ({}, {}, None),
        ({"do_lower_case": "false"}, {}, "out.mindrecord: made with do_lower_case=false, here it is true; give --do_lower_case"),
        ({}, {"strip_accents": False}, "out.mindrecord: made with strip_accents=null, here it is false"),
    ],
)
def test_run_ner_refuses_records_of_another_tokenizer(make, tmp_path, flags, settings, message):
    make(**flags)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    header = read_description(tmp_path / "out.mindrecord")
    config = NerOptions(labels=tuple(header["labels"]), vocab_file_path=str(tmp_path / "vocab.txt"))
    with pytest.raises(ValueError, match=message) if message else nullcontext():
        ner.check_header(config, Tokenizer(config.vocab_file_path), tmp_path / "out.mindrecord", header)


def test_run_ner_reads_the_same_rows(make, tmp_path):
    columns = make()
    (chunk,) = read_record_file(tmp_path / "out.mindrecord", LAYOUT)
    assert chunk.lengths.tolist() == [11, 9, 5, 5]
    assert chunk.tokens["label_ids"].tolist() == columns["label_ids"][columns["input_mask"] > 0].tolist()


def test_two_halves_make_the_whole(make):
    whole, halves = make(), [make(split_end=0.5), make(split_begin=0.5)]
    assert [len(half["input_ids"]) for half in halves] == [2, 2]
    for name, values in whole.items():
        np.testing.assert_array_equal(np.concatenate([half[name] for half in halves]), values)


@pytest.mark.parametrize(
    ("words", "labels"),
    [
        (["--class_filter", "NAMEX", "TIMEX"], [10, 12, 0, 0, 0, 2, 4]),
        (["--class_filter=TIMEX,NAMEX"], [10, 12, 0, 0, 0, 2, 4]),
        (["--class_filter"], [10, 12, 0, 0, 0, 2, 4]),
        (["--class_filter=TIMEX"], [10, 12, 0, 0, 0, 0, 0]),
        (["--class_filter", "NAMEX", "--split_end=1.0"], [0, 0, 0, 0, 0, 2, 4]),
    ],
)
def test_class_filter_takes_words(words, labels, make):
    assert make(*words)["label_ids"][1, 1:8].tolist() == labels


def test_row_ends_before_an_entity_that_is_cut(make, capsys, tmp_path):
    columns = make(max_seq_len=8)  # room for six: the sixth is the second half of Beijing
    assert columns["input_ids"][0].tolist() == [2, 4, 5, 6, 7, 8, 9, 3]
    columns = make(max_seq_len=7)
    assert columns["input_ids"].tolist()[:2] == [[2, 4, 5, 6, 7, 3, 0], [2, 10, 11, 15, 1, 7, 3]]
    assert columns["label_ids"].tolist()[:2] == [[0, 6, 7, 8, 0, 0, 0], [0, 10, 12, 0, 0, 0, 0]]
    assert f"{tmp_path / 'data.xml'}: 2 of 4 sentences cut, and 3 entities" in capsys.readouterr().out
    assert make(max_seq_len=3)["input_ids"].tolist() == [[2, 16, 3]]
    output = capsys.readouterr().out
    assert "3 sentences left out: the entity that they begin with is cut" in output
    assert output.splitlines()[-1] == f"{tmp_path / 'out.mindrecord'} rows=1 entities=0 LOCATION=0 PERSON=0 DATE=0"


def test_other_tagged_files_and_label_files_are_taken(make, tmp_path):
    (tmp_path / "data.txt").write_text("王 B-PER\n小 I-PER\n在 O\n\n中 B-LOC\n", encoding="utf-8")
    (tmp_path / "tags.json").write_text('{"O": 0, "B-LOC": 1, "I-LOC": 2, "B-PER": 3, "I-PER": 4}', encoding="utf-8")
    columns = make(data_dir="data.txt", label2id="tags.json", max_seq_len=5)
    assert columns["label_ids"].tolist() == [[0, 3, 4, 0, 0], [0, 1, 0, 0, 0]]
    (tmp_path / "data.json").write_text('{"text": "小明在", "label": {"LOC": {"在": [[2, 2]]}}}\n', encoding="utf-8")
    columns = make(data_dir="data.json", label2id="tags.json", max_seq_len=5, save_path="other")
    assert columns["label_ids"].tolist() == [[0, 0, 0, 1, 0]]
    description = read_description(tmp_path / "other")
    assert (description["labels"], description["max_seq_len"]) == (["O", "B-LOC", "I-LOC", "B-PER", "I-PER"], 5)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"split_begin": -0.1}, "split_begin=-0.1 is not allowed: it must be at least 0 and at most 1"),
        ({"split_end": 1.5}, "split_end=1.5 is not allowed"),
        ({"split_begin": 0.5, "split_end": 0.5}, "split_begin=0.5 must be less than split_end=0.5"),
        ({"split_begin": 0.0, "split_end": 0.2}, "data.xml: of its 4 sentences none is in split_begin=0.0 to split_end=0.2"),
        ({"max_seq_len": 2}, "max_seq_len=2 is not allowed: it must be at least 3"),
        ({"max_seq_len": 3, "split_end": 0.5}, "data.xml: no row is left; max_seq_len=3 is too short"),
        ({"class_filter": "NAMES"}, "data.xml: no element NAMES"),
        ({"data_dir": "no.xml"}, "no.xml: no such file"),
        ({"vocab_file": "no.txt"}, "no.txt: no such vocabulary"),
        ({"label2id": "no.txt"}, "no.txt: no such file"),
        ({"label2id": "few.txt"}, "data.xml:5: the labels have no tag for DATE"),
        ({"save_path": "folder"}, "folder: Is a directory"),
        ({"save_path": "vocab.txt/out"}, "vocab.txt: File exists"),
        ({"do_lower_case": "maybe"}, "do_lower_case=maybe: expected true or false"),
    ],
)
def test_bad_input_is_one_line_and_no_file(flags, message, make, capsys, tmp_path):
    (tmp_path / "few.txt").write_text("LOCATION\nPERSON\n", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SystemExit) as caught:
        make(**flags)
    error = capsys.readouterr().err
    assert caught.value.code == 2 and message in error and error.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"data.xml", "few.txt", "folder", "types.txt", "vocab.txt"}


def test_missing_flags_are_named(capsys):
    with pytest.raises(SystemExit):
        main(["--vocab_file=vocab.txt"])
    assert capsys.readouterr().err == "error: --data_dir is missing\n"


def run(*parts, cwd):
    return subprocess.run([sys.executable, *map(str, parts)], cwd=cwd, capture_output=True, text=True)


def test_command_runs_from_any_folder(make, tmp_path):
    expected = make()
    (tmp_path / "there").mkdir()
    flags = ["--data_dir=../data.xml", "--vocab_file=../vocab.txt", "--label2id=../types.txt", "--max_seq_len=12"]
    done = run(ROOT / "src" / "finetune_data_preprocess.py", *flags, "--class_filter", "NAMEX", "TIMEX", cwd=tmp_path / "there")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("./my.mindrecord rows=4 entities=6 LOCATION=2 PERSON=3 DATE=1\n")
    assert {path.name for path in (tmp_path / "there").iterdir()} == {"my.mindrecord", "my.mindrecord.db"}
    found = read(tmp_path / "there" / "my.mindrecord")
    assert all(np.array_equal(found[name], values) for name, values in expected.items())


def test_command_runs_as_a_module():
    done = run("-m", "src.finetune_data_preprocess", "--help", cwd=ROOT)
    assert done.returncode == 0 and "--class_filter" in done.stdout


def test_mindspore_is_imported_only_when_writing():
    done = run("-c", "import sys, src.finetune_data_preprocess; print('mindspore' in sys.modules)", cwd=ROOT)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_real_sentences_keep_every_entity(make, shared_file, tmp_path, capsys):
    path = shared_file("msra_ner/xml_format/msra_dataset.reconstructed.xml")
    (tmp_path / "types.txt").write_text("LOCATION\nORGANIZATION\nPERSON\n", encoding="utf-8")
    columns = make(data_dir=path, vocab_file=shared_file("vocab/bert-base-chinese-vocab.txt"), max_seq_len=512, class_filter="NAMEX")
    root = ElementTree.parse(path).getroot()
    elements = [element.text for element in root.iter("NAMEX")]
    assert columns["label_ids"].shape == (len(root), 512) == (600, 512)
    assert capsys.readouterr().out.splitlines()[-1].endswith("rows=600 entities=1323 LOCATION=725 ORGANIZATION=333 PERSON=265")
    labels = columns["label_ids"]
    assert np.count_nonzero((labels % 4 == 1) | (labels % 4 == 2)) == len(elements) == 1323  # S or B
