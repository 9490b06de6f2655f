import gzip
import hashlib
import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

from src import predict
from src.bundle import folder as bundle_folder
from src.bundle.graphs import MindirGraph, OnnxGraph
from src.bundle.model import Bundle
from src.config.model import ModelConfig
from src.convert.description import Description, write_description
from src.formats import onnx_file
from src.tasks.ner.serving import find_best_path
from src.tasks.task import TASKS

onnx = pytest.importorskip("onnx", reason="onnx is not installed (requirements-serve.txt)")
onnx_graph = pytest.importorskip("src.export.onnx_graph", reason="onnx is not installed (requirements-serve.txt)")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (requirements-serve.txt)")

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"word{number}" for number in range(20)), *"ab王小明在上海"]
SIZES = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
SIZES["max_position_embeddings"] = 32
SQUAD = {"doc_stride": 4, "max_query_length": 6, "language": "en", "n_best_size": 20, "max_answer_length": 5}
SQUAD |= {"version_2_with_negative": False, "null_score_diff_threshold": 0.0}
TAGS = ("O", "B-X", "I-X")


def make_arrays(model, task, num_outputs, crf):
    """Random weights of an encoder and a head."""
    rng, size, inner = np.random.default_rng(3), model.hidden_size, model.intermediate_size
    layer = "bert.encoder.layers.0"
    linear = {f"{layer}.attention.{part}": (size, size) for part in ("query", "key", "value", "output")}
    linear |= {f"{layer}.intermediate": (inner, size), f"{layer}.output": (size, inner)}
    linear |= {"head.span" if task == "squad" else "head.dense": (num_outputs, size)}
    if task == "classifier":
        linear["bert.pooler"] = (size, size)
    norms = ("bert.embeddings.norm", f"{layer}.attention_norm", f"{layer}.output_norm")
    rows = {"word": model.vocab_size, "position": model.max_position_embeddings, "token_type": model.type_vocab_size}
    shapes = {f"bert.embeddings.{name}.weight": (count, size) for name, count in rows.items()}
    for name, shape in (linear | dict.fromkeys(norms, (size,))).items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    if crf:
        shapes |= {"head.crf.transitions": (num_outputs, num_outputs), "head.crf.start": (num_outputs,), "head.crf.end": (num_outputs,)}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture
def make(tmp_path):
    """Write a bundle of random weights; gives its folder."""

    def write(task="classifier", labels=("bad", "good", "odd"), num_outputs=None, **settings):
        model = ModelConfig(**SIZES)
        path = tmp_path / f"{task}{len(list(tmp_path.iterdir()))}"
        path.mkdir()
        arrays = make_arrays(model, task, num_outputs or (2 if task == "squad" else len(labels)), settings.get("use_crf"))
        if task == "ner":
            arrays["head.dense.bias"] += np.array([0, 20, 20], np.float32)  # some entities
        vocabulary = "".join(f"{token}\n" for token in TOKENS).encode()
        described = Description(model, labels, {}, "", None, vocabulary, {"do_lower_case": False}, ())
        write_description(path, "mindspore", described, arrays)
        onnx_graph.save(onnx_graph.build(model, arrays, TASKS[task], {**settings, "labels": list(labels)}), path / "model.onnx")
        bundle_folder.write(path, "tiny", task, {"seq_length": 16, **settings}, labels, {"onnx": "model.onnx"})
        return path

    return write


def test_classes_are_those_of_the_logits(make):
    bundle = Bundle(make())
    texts = ["word1 word2", "word3", ""]
    found = bundle.predict(texts)
    work = bundle.encode(texts)
    for result, (logits,) in zip(found, bundle.compute(work.rows)):
        shares = np.exp(logits) / np.exp(logits).sum()
        assert result["label"] == bundle.labels[int(logits.argmax())]
        assert result["probabilities"] == pytest.approx(dict(zip(bundle.labels, shares.tolist())), abs=1e-6)
        assert result["probability"] == max(result["probabilities"].values())
    (best, *_), (two, *_) = bundle.predict(texts, top_k=1), bundle.predict(texts, top_k=2)
    assert list(best["probabilities"]) == [best["label"]]
    assert list(two["probabilities"].values()) == sorted(two["probabilities"].values(), reverse=True)
    assert bundle.predict([{"text": "word1 word2"}, {"text_a": "word1 word2"}]) == [found[0]] * 2


def test_a_row_does_not_depend_on_its_batch(make):
    bundle = Bundle(make())
    texts = [" ".join(f"word{number}" for number in range(count)) for count in (12, 1, 5, 9, 0, 3)]
    together, alone = bundle.predict(texts, batch_size=6), [bundle.predict([text])[0] for text in texts]
    assert [result["label"] for result in together] == [result["label"] for result in alone]
    assert [result["probability"] for result in together] == pytest.approx([result["probability"] for result in alone], abs=1e-5)


def test_pairs_and_scores(make):
    bundle = Bundle(make(labels=(), num_outputs=1, regression=True, pairs=True))
    first, second = bundle.predict([{"text_a": "word1", "text_b": "word2"}, {"text_a": "word2", "text_b": "word1"}])
    assert set(first) == {"score"}
    assert first["score"] != second["score"]
    with pytest.raises(ValueError, match=r"instances\[0\]: an object with text_a, text_b is expected$"):
        bundle.predict(["word1"])


@pytest.mark.parametrize("use_crf", [False, True])
def test_entities_stand_where_they_are_said_to(make, use_crf):
    bundle = Bundle(make("ner", TAGS, use_crf=use_crf))
    long = " ".join(f"word{number % 20}" for number in range(60))  # several windows
    texts = [long, "王小明在上海", "", "word1  word2"]
    found = bundle.predict(texts)
    assert [result["text"] for result in found] == texts
    assert any(result["entities"] for result in found)
    for text, result in zip(texts, found):
        for entity in result["entities"]:
            assert entity["type"] == "X"
            assert text[entity["start"] : entity["end"]] == entity["text"] != ""
    assert len(bundle.encode([long]).rows) > 1


def test_entities_are_those_of_the_tokens_tags(make):
    bundle, words = Bundle(make("ner", TAGS)), ["word3", "word1", "word7", "word2", "word9"]
    work = bundle.encode([" ".join(words)])
    ((logits,),) = bundle.compute(work.rows)
    tags = [TAGS[number] for number in logits[1:-1].argmax(-1)]
    assert len(tags) == len(words)
    starts = [sum(len(word) + 1 for word in words[:number]) for number in range(len(words))]
    expected = []
    for tag, start, word in zip(tags, starts, words):
        if tag == "I-X" and expected and expected[-1][1] == start - 1:
            expected[-1] = (expected[-1][0], start + len(word))
        elif tag != "O":
            expected.append((start, start + len(word)))
    assert expected
    assert [(entity["start"], entity["end"]) for entity in bundle.predict([" ".join(words)])[0]["entities"]] == expected


def test_the_best_path_is_the_best_of_all():
    rng = np.random.default_rng(1)
    for length in (1, 2, 4):
        emissions, transitions, start, end = rng.standard_normal((length, 3)), *(rng.standard_normal(shape) for shape in ((3, 3), 3, 3))

        def score(path, emissions=emissions, transitions=transitions, start=start, end=end):
            moves = sum(transitions[pair] for pair in itertools.pairwise(path))
            return start[path[0]] + end[path[-1]] + moves + sum(row[tag] for row, tag in zip(emissions, path))

        best = max(itertools.product(range(3), repeat=length), key=score)
        assert tuple(find_best_path(emissions, transitions, start, end)) == best


def test_answers_stand_where_they_are_said_to(make):
    bundle = Bundle(make("squad", (), **SQUAD))
    context = " ".join(f"word{number % 20}" for number in range(30))
    instances = [{"question": "word1 word2", "context": context}, {"question": "word3", "context": "  "}]
    answered, empty = bundle.predict(instances, top_k=4)
    assert context[answered["start"] : answered["end"]] == answered["answer"] != ""
    assert len(answered["n_best"]) == 4
    for best in answered["n_best"]:
        assert context[best["start"] : best["end"]] == best["text"]
    assert answered["n_best"][0] == {key: answered[key] for key in ("start", "end", "probability")} | {"text": answered["answer"]}
    assert (empty["answer"], empty["start"], empty["end"]) == ("", None, None)


def test_the_answer_is_found_beside_none_where_one_alone_is_listed(make):
    settings = SQUAD | {"version_2_with_negative": True, "n_best_size": 1}
    context = " ".join(f"word{number % 20}" for number in range(30))
    for threshold in (-1e6, 0.0, 1e6):
        bundle = Bundle(make("squad", (), **settings | {"null_score_diff_threshold": threshold}))
        (found,) = bundle.predict([{"question": "word1", "context": context}])
        assert (found["answer"] == "") == (found["start"] is None)
        assert threshold == 0.0 or (found["answer"] == "") == (threshold < 0)


@pytest.mark.parametrize(
    ("instances", "message"),
    [
        ([], "instances: a list with one instance at least is expected"),
        ("word1", "instances: a list"),
        ([3], r"instances\[0\]: an object with text_a is expected, or a text"),
        (["a", {}], r"instances\[1\].text_a: is missing"),
        ([{"text_a": None}], r"instances\[0\].text_a: a text is expected, not null"),
        ([{"text_a": 5}], r"instances\[0\].text_a: a text is expected, not int"),
        ([{"text_a": "a", "label": "x"}], r"instances\[0\]: unknown key 'label'"),
        (["a\ud800b"], r"instances\[0\].text_a: half a surrogate pair at character 1"),
    ],
)
def test_a_bad_instance_is_named(make, instances, message):
    with pytest.raises(ValueError, match=message):
        Bundle(make()).encode(instances)


def edit(path, **changes):
    (path / "bundle.json").write_text(json.dumps({**json.loads((path / "bundle.json").read_text()), **changes}))


def test_altered_and_absent_files_are_refused(make):
    path = make()
    for name in ("model.onnx", "config.json", "vocab.txt", "tokenizer_config.json"):
        content = (path / name).read_bytes()
        (path / name).write_bytes(content + b" ")
        with pytest.raises(ValueError, match=f"{name}: is not the file that bundle.json was written for"):
            Bundle(path)
        (path / name).unlink()
        with pytest.raises(FileNotFoundError, match=f"{name}: absent; bundle.json names it"):
            Bundle(path)
        (path / name).write_bytes(content)
    Bundle(path)
    os.unlink(path / "bundle.json")
    with pytest.raises(FileNotFoundError, match="no bundle; bundle.json is absent"):
        Bundle(path)


@pytest.mark.parametrize("location", ["weights.bin", "../weights.bin", "/etc/passwd"])
def test_weights_outside_the_list_are_refused(make, location):
    path = make()
    graph = onnx.load(path / "model.onnx")
    weights = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    (path / "weights.bin").write_bytes(weights.raw_data)
    onnx.external_data_helper.set_external_data(weights, location)
    weights.ClearField("raw_data")
    (path / "model.onnx").write_bytes(graph.SerializeToString())
    assert onnx_file.find_external_files(path / "model.onnx") == {location}
    files = ("model.onnx", "weights.bin", "config.json", "vocab.txt", "tokenizer_config.json")
    digests = {name: hashlib.sha256((path / name).read_bytes()).hexdigest() for name in files}
    edit(path, sha256={name: digest for name, digest in digests.items() if name != "weights.bin"})
    with pytest.raises(ValueError, match=f"model.onnx: takes weights from {location}, which bundle.json does not list"):
        Bundle(path)
    if location == "weights.bin":
        edit(path, sha256=digests)
        Bundle(path)


def test_weights_outside_the_file_are_found_wherever_a_tensor_may_be(tmp_path):
    def outside(name):
        entries = [onnx.StringStringEntryProto(key=key, value=value) for key, value in (("offset", "0"), ("location", name))]
        return onnx.TensorProto(name=name, data_type=1, dims=[1], data_location=1, external_data=entries)

    def node(*attributes):
        return onnx.NodeProto(op_type="X", attribute=attributes)

    def attribute(**values):
        return onnx.AttributeProto(name="a", **values)

    inner = onnx.GraphProto(initializer=[outside("subgraph")], node=[node(attribute(tensors=[outside("tensors")]))])
    sparse = onnx.SparseTensorProto(values=outside("values"), indices=outside("indices"))
    nodes = [node(attribute(t=outside("constant")), attribute(g=inner), attribute(sparse_tensor=sparse))]
    graph = onnx.GraphProto(initializer=[outside("initializer"), onnx.TensorProto(name="inside")], node=nodes, sparse_initializer=[sparse])
    function = onnx.FunctionProto(name="f", node=[node(attribute(t=outside("function")))])
    (tmp_path / "a.onnx").write_bytes(onnx.ModelProto(graph=graph, functions=[function]).SerializeToString())
    expected = {"subgraph", "tensors", "values", "indices", "constant", "initializer", "function"}
    assert onnx_file.find_external_files(tmp_path / "a.onnx") == expected
    for data in (b"", b"\xff" * 9, (tmp_path / "a.onnx").read_bytes()[:-3]):
        (tmp_path / "b.onnx").write_bytes(data)
        with pytest.raises(ValueError, match="b.onnx: no ONNX file"):
            onnx_file.find_external_files(tmp_path / "b.onnx")


@pytest.mark.parametrize("trick", ["../model.onnx", "/etc/passwd", "sub/model.onnx", "..", ".", ""])
def test_a_file_elsewhere_is_refused(make, trick):
    path = make()
    digests = json.loads((path / "bundle.json").read_text())["sha256"]
    edit(path, graphs={"onnx": trick}, sha256={**digests, trick: "0"})
    with pytest.raises(ValueError, match="does not lie beside it"):
        Bundle(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "format=2: this program reads 1"),
        ({"format": "1"}, "format='1': this program reads 1"),
        ({"format": True}, "format=True: this program reads 1"),
        ({"task": "chat"}, "task=chat: classifier, .*pretrain are known"),
        ({"task": "pretrain"}, "it answers no texts"),
        ({"name": "../x"}, "name=../x: letters"),
        ({"labels": ["one"]}, r"gives {'logits': \(2, 3\)} for 2 rows, its task and labels mean {'logits': \(2, 1\)}"),
        ({"labels": [1, 2, 3]}, "labels, graphs and sha256 hold texts"),
        ({"settings": {}}, "seq_length=None: a number from 3 to 32"),
        ({"settings": {"seq_length": 600}}, "seq_length=600: a number from 3 to 32"),
        ({"settings": {"seq_length": True}}, "seq_length=True"),
        ({"task": "squad", "settings": {"seq_length": 16}}, "doc_stride=None: a whole number from 1"),
        ({"settings": {"seq_length": 16, "pairs": 1}}, "pairs must be true or false"),
        ({"labels": ["a", "a", "b"]}, "a label stands there twice"),
        ({"labels": ["a", "b", "\ud800"]}, "half a surrogate pair: .* surrogates not allowed"),
        ({"settings": {"seq_length": 16, "threshold": float("nan")}}, "NaN, infinity or .*: Out of range"),
        ({"task": "ner", "labels": ["O", "B-X", "I-X"]}, r"its parts do not fit: .* mean {'logits': \(2, 4, 3\)}"),
        ({"task": "ner", "settings": {"seq_length": 16, "tagged_pieces": "last"}}, "tagged_pieces must be all or first"),
        ({"graphs": {}}, "one or more of onnx, int8, mindir"),
        ({"graphs": {"torch": "model.onnx"}}, "one or more of onnx, int8, mindir"),
        ({"sha256": []}, "sha256 must be an object"),
    ],
)
def test_parts_that_do_not_fit_are_refused(make, changes, message):
    path = make()
    edit(path, **changes)
    with pytest.raises(ValueError, match=message):
        Bundle(path)


def test_a_graph_that_is_none_is_refused(make):
    path = make()
    (path / "model.onnx").write_bytes(b"no graph")
    bundle_folder.write(path, "tiny", "classifier", {"seq_length": 16}, ("a", "b", "c"), {"onnx": "model.onnx"})
    with pytest.raises(ValueError, match="model.onnx: no ONNX file"):
        Bundle(path)


def test_what_a_bundle_tells(make):
    told = Bundle(make()).describe()
    assert (told["name"], told["task"], told["graph"], told["labels"]) == ("tiny", "classifier", "onnx", ["bad", "good", "odd"])
    assert told["instance"] == {"required": ["text_a"], "text_stands_for": "text_a"}


def rewrite(path, settings=None, labels=("bad", "good", "odd"), **files):
    """Other content of files of a bundle, and a bundle.json for it."""
    for name, content in files.items():
        (path / f"{name}.json").write_text(json.dumps(content))
    bundle_folder.write(path, "tiny", "classifier", settings or {"seq_length": 16}, labels, {"onnx": "model.onnx"})


def test_a_shape_and_a_casing_that_are_none_are_named(make):
    path = make()
    config = json.loads((path / "config.json").read_text())
    rewrite(path, config={**config, "vocab_size": "x"})
    with pytest.raises(ValueError, match="config.json: model.vocab_size=x"):
        Bundle(path)
    rewrite(path, config={**config, "problem_type": "multi_label_classification"})
    with pytest.raises(ValueError, match="config.json: problem_type=multi_label_classification: several labels a text"):
        Bundle(path)
    rewrite(path, config=config, tokenizer_config={"do_lower_case": 3})
    with pytest.raises(ValueError, match="tokenizer_config.json: do_lower_case must be true or false"):
        Bundle(path)
    digests = json.loads((path / "bundle.json").read_text())["sha256"]
    del digests["tokenizer_config.json"]
    edit(path, sha256=digests)
    with pytest.raises(ValueError, match="sha256 has no entry for tokenizer_config.json"):
        Bundle(path)


def test_a_graph_for_fewer_positions_or_rows_than_the_bundle_claims_is_refused(make):
    onnx, path = pytest.importorskip("onnx"), make()
    rewrite(path, {"seq_length": 40}, config={**json.loads((path / "config.json").read_text()), "max_position_embeddings": 64})
    with pytest.raises(ValueError, match="its parts do not fit: RuntimeError: onnxruntime"):
        Bundle(path)
    path = make()
    graph = onnx.load(path / "model.onnx")
    for value in graph.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(graph, path / "model.onnx")
    rewrite(path)
    with pytest.raises(ValueError, match="its parts do not fit: RuntimeError: onnxruntime"):
        Bundle(path)


def test_the_graph_of_another_task_is_refused_by_its_outputs(make):
    path = make("squad", (), **SQUAD)
    rewrite(path)
    with pytest.raises(ValueError, match="the graph gives {'start_logits': .*mean {'logits'"):
        Bundle(path)


def test_settings_do_not_hide_what_a_bundle_tells(make):
    path = make()
    told = Bundle(path).describe()
    edit(path, settings={"seq_length": 16, "labels": 7, "instance": 3, "name": "other", "mine": 1})
    assert Bundle(path).describe() == {**told, "mine": 1}


def test_onnxruntime_sends_nothing_to_its_makers():
    code = "import os, src; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    for asked, expected in (({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0")):
        environ = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"} | asked
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True)
        assert done.stdout.split() == [expected], done.stderr


def test_mindspore_that_is_absent_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mindspore", None)
    with pytest.raises(ValueError, match="model.mindir: MindSpore is not installed"):
        MindirGraph("model.mindir")


def test_what_onnxruntime_refuses_is_a_runtime_error(make):
    graph = OnnxGraph(make() / "model.onnx")
    with pytest.raises(RuntimeError, match="onnxruntime: .*data type"):
        graph.run(*[np.zeros((1, 3), np.float32)] * 3)


def predict_file(bundle, file):
    """Results of src.predict."""
    output = file.parent / "out.jsonl"
    predict.main(["--bundle", str(bundle), "--input", str(file), "--output", str(output)])
    return [json.loads(line) for line in output.read_text().splitlines()]


def test_a_tab_is_part_of_a_single_text_and_cuts_a_pair(make, tmp_path):
    (tmp_path / "in.txt").write_text("word1\tword2\n")
    single, pairs = make("ner", TAGS), make(pairs=True)
    assert predict_file(single, tmp_path / "in.txt")[0]["text"] == "word1\tword2"
    assert predict_file(pairs, tmp_path / "in.txt") == Bundle(pairs).predict([{"text_a": "word1", "text_b": "word2"}])


def test_a_question_that_is_refused_is_named(make, tmp_path, capsys):
    asked = [{"id": "first", "question": "word1"}, {"id": "second", "question": " "}]
    (tmp_path / "in.json").write_text(json.dumps({"data": [{"paragraphs": [{"context": "word2", "qas": asked}]}]}))
    with pytest.raises(SystemExit, match="2"):
        predict_file(make("squad", (), **SQUAD), tmp_path / "in.json")
    assert "in.json, instances 0 to 1, question second: instances[1].question: is empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "not JSON: Expecting property name"),
        (b"NaN", "not JSON: Out of range float values"),
        (b"1e999", "not JSON: Out of range float values"),
        (b'{"text": "\\ud800"}', "not JSON: .*surrogates not allowed"),
        (b"9" * 5000, "not JSON: Exceeds the limit"),
        (b'"\xff"', "not UTF-8: invalid start byte"),
    ],
)
def test_a_line_that_no_model_can_be_asked_is_named(line, message, tmp_path):
    (tmp_path / "in.jsonl").write_bytes(b'"word1"\n\n' + line + b'\n"word2"\n')
    with pytest.raises(ValueError, match=f"in.jsonl:3: {message}"):
        list(predict.read_instances(tmp_path / "in.jsonl", False))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--server", ""], "--server is empty"),
        (["--bundle", "b", "--output", ""], "--output is empty"),
        (["--bundle", "b", "--output", "."], "--output .: is a folder; a file is expected"),
        (["--bundle", "b", "--output", "./in.txt"], "--output in.txt: is the input; give another file"),
        (["--bundle", "b", "--batch_size", "9" * 20], "--batch_size must be 1 to 1000000"),
    ],
)
def test_flags_that_cannot_be_are_refused_before_the_bundle_is_opened(flags, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.txt").write_text("word1\n")
    with pytest.raises(SystemExit, match="2"):
        predict.main(["--input", "in.txt", "--output", "out.jsonl", *flags])
    assert message in capsys.readouterr().err
    assert (tmp_path / "in.txt").read_text() == "word1\n"


def test_each_line_is_an_instance_whatever_ends_it(tmp_path):
    path = tmp_path / "in.txt"
    for data in (b"a\r\rb\tc\r", b"\xef\xbb\xbfa\r\n\r\nb\tc", gzip.compress(b"a\r\rb\tc")):
        path.write_bytes(data)
        assert list(predict.read_instances(path, True)) == ["a", "", {"text_a": "b", "text_b": "c"}]
    path.write_bytes(b"a\r\rb\tc\r")
    assert predict.count_instances(path) == 3


def test_the_bar_knows_the_lines_that_count(tmp_path):
    (tmp_path / "in.txt").write_text("a\n\nb")
    (tmp_path / "in.jsonl").write_text('"a"\n \n"b"\n')
    (tmp_path / "in.jsonl.gz").write_bytes(gzip.compress(b'"a"\n'))
    (tmp_path / "zipped.txt").write_bytes(gzip.compress(b"a\nb\n"))  # told by its content
    assert list(predict.read_instances(tmp_path / "zipped.txt", False)) == ["a", "b"]
    os.mkfifo(tmp_path / "in.fifo")
    counts = [predict.count_instances(tmp_path / name) for name in ("in.txt", "in.jsonl", "in.jsonl.gz", "in.fifo")]
    assert counts == [3, 2, None, None]


@pytest.mark.parametrize("error", [FloatingPointError("not finite"), RuntimeError("onnxruntime: no memory")])
def test_a_graph_that_fails_ends_with_one_line(error, make, tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise error

    (tmp_path / "in.txt").write_text("word1\n")
    monkeypatch.setattr(Bundle, "predict", fail)
    with pytest.raises(SystemExit, match="2"):
        predict_file(make(), tmp_path / "in.txt")
    assert capsys.readouterr().err == f"error: {tmp_path}/in.txt, instances 0 to 0: {error}\n"
