"""The data of a run is read once and passed."""

import json

import pytest

from src.config import loader
from src.tasks.task import TASKS
from src.text import tokenization

QUESTION = {"id": "1", "question": "b", "answers": [{"text": "a", "answer_start": 0}]}
FILES = {
    "classifier": ("a\tyes\nb\tno\n", ["--columns=text_a=0,label=1"]),
    "ner": ("a B-x\nb O\n", []),
    "squad": (json.dumps({"data": [{"paragraphs": [{"context": "a b", "qas": [QUESTION]}]}]}), ["--max_query_length=4", "--doc_stride=4"]),
}


@pytest.mark.parametrize("name", FILES)
def test_tokenizer_files_are_read_once_for_rows_and_description(name, tmp_path, vocab_file, monkeypatch):
    content, flags = FILES[name]
    (tmp_path / "data").write_text(content, encoding="utf-8")
    files = [f"--{split}_data_file_path={tmp_path}/data" for split in ("train", "eval")]
    flags = ["--do_train", "--do_eval", f"--vocab_file_path={vocab_file}", f"--output_dir={tmp_path}/out", *files, *flags]
    options = loader.load(TASKS[name].options, [*flags, "--seq_length=16"])
    read, genuine = [], tokenization.read_tokenizer_files
    monkeypatch.setattr(tokenization, "read_tokenizer_files", lambda path: read.append(path) or genuine(path))
    prepared = TASKS[name].training.prepare(options)
    described = TASKS[name].training.describe(prepared)
    assert read == [str(vocab_file)]
    assert described.tokens == vocab_file.read_text(encoding="utf-8").splitlines()
    assert sorted(prepared.records) == ["eval", "train"]
