"""What src.predict takes for JSON, for SQuAD's form and for text."""

import gzip
import json

import pytest

from src import predict

INSTANCES = ["a", {"text_a": "b", "text_b": "é"}, {"question": "q?", "context": "c"}]
SQUAD = {"data": [{"paragraphs": [{"context": "c", "qas": [{"id": "q1", "question": "q?"}]}]}]}
LINES = "".join(json.dumps(instance, ensure_ascii=False) + "\n" for instance in INSTANCES)
PLAIN = [{"instance": instance} for instance in INSTANCES]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """`run(name, content, flags)` is what a bundle that gives back its instances makes of a file."""
    monkeypatch.setattr(predict, "open_bundle", lambda *_: (lambda instances, top_k: [{"instance": one} for one in instances], True))

    def run(name, content, *flags):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        output = tmp_path / "out.jsonl"
        predict.main(["--bundle", "b", "--input", str(tmp_path / name), "--output", str(output), "--batch_size", "2", *flags])
        return [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]

    return run


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.JSON"])
@pytest.mark.parametrize(
    "content", [LINES, "\n" + LINES.replace("\n", ",\n"), json.dumps(INSTANCES), json.dumps(INSTANCES, indent=1), LINES.encode("utf-16")]
)
def test_instances_may_be_lines_or_an_array(run, name, content):
    assert run(name, content) == PLAIN


def test_a_json_file_with_data_has_squads_form(run):
    expected = [{"id": "q1", "instance": {"question": "q?", "context": "c"}}]
    for content in (json.dumps(SQUAD), json.dumps(SQUAD, indent=1), gzip.compress(json.dumps(SQUAD).encode())):
        assert run("a.json.gz" if isinstance(content, bytes) else "a.json", content) == expected


def test_text_in_another_encoding(run):
    assert run("a.txt", "一\t二\n三\n".encode("gb18030"), "--encoding", "gbk") == [
        {"instance": {"text_a": "一", "text_b": "二"}},
        {"instance": "三"},
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{\n", "a.json: not JSON"),
        ("a.json", '["a",\n"\\ud800"]', "a.json:2: not JSON: .*surrogates"),
        ("a.jsonl", '["a",\n]x', "a.jsonl:2: damaged JSON array: text after the end"),
        ("a.txt", "这是".encode("gb18030"), "a.txt:1: not UTF-8"),
    ],
)
def test_defect_of_the_input_is_named(run, capsys, name, content, message):
    with pytest.raises(SystemExit, match="2"):
        run(name, content)
    error = capsys.readouterr().err
    assert all(part in error for part in message.split(".*")), error
