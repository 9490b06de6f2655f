import dataclasses
import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT
from mindspore import Tensor
from tiny_models import make_model, write_model

import run_eval_onnx
from src import predict
from src.bundle.model import Bundle
from src.export import __main__ as export_command
from src.export import comparison, exporting, zoo_flags
from src.tasks.task import TASKS
from src.train import runtime
from tests.published_commands import zoo_files

pytest.importorskip("onnx", reason="onnx is not installed: pip install -r requirements-serve.txt")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install -r requirements-serve.txt")

TAGS = ("O", "B-X", "I-X", "B-Y", "I-Y")
KINDS = {
    "classifier": ("classifier", {"labels": ("a", "b", "c")}, {"task_name": "custom", "columns": "text_a=0,label=1", "seq_length": 24}),
    "ner": ("tagger", {"labels": TAGS}, {"seq_length": 24, "use_crf": True}),
    "pointer": ("pointer", {"labels": ("X", "Y")}, {"seq_length": 24, "head": "global_pointer"}),
    "squad": ("span", {}, {"seq_length": 32, "doc_stride": 8, "max_query_length": 12}),
    "embed": ("encoder", {}, {"seq_length": 24, "pooling": "mean", "normalize": True}),
    "fill_mask": ("pretraining", {}, {}),
    "pretrain": ("pretraining", {}, {}),
}
INSTANCES = {
    "classifier": ["word1 word2", "word3"],
    "ner": ["word1 word2"],
    "pointer": ["word1 word2 " * 20],
    "squad": [{"question": "word1", "context": "word2 word3 word4 " * 9}],
    "embed": ["word1 word2", {"text": "word3"}],
    "fill_mask": ["word1 [MASK]", "[MASK] [MASK] word2"],
}


@pytest.fixture
def export(tmp_path):
    """Export a tiny model; gives the folder of the bundle."""

    def run(task, *flags, positions="absolute"):
        kind, described, trained_with = KINDS[task]
        name = "ner" if kind == "pointer" else task
        if not (tmp_path / task).exists():
            write_model(tmp_path / task, make_model(positions), kind, trained_with=trained_with, **described)
        export_command.main(["--task", name, "--checkpoint", str(tmp_path / task), "--output", str(tmp_path / "bundle"), *flags])
        return tmp_path / "bundle"

    return run


@pytest.mark.parametrize("task", KINDS)
def test_an_onnx_bundle_is_compared_and_answers(task, export):
    folder = export(task, "--name", "tiny")
    report = json.loads((folder / "export_report.json").read_text())
    assert report["graphs"][0]["graph"] == "onnx"
    assert report["graphs"][0]["largest_difference"] < 1e-5
    if task == "pretrain":
        with pytest.raises(ValueError, match="it answers no texts"):
            Bundle(folder)
    else:
        bundle = Bundle(folder)
        assert len(bundle.predict(INSTANCES[task])) == len(INSTANCES[task])
        assert bundle.example.keys() == set(bundle.describe()["instance"]["required"])


def test_the_example_of_a_bundle_is_an_instance(export):
    example = {"question": "Who ran?", "context": "A dog ran."}
    folder = export("squad", "--example", json.dumps(example))
    assert Bundle(folder).example == example
    described = json.loads((folder / "bundle.json").read_text())
    described["settings"]["example"] = {"text": "A dog ran."}
    (folder / "bundle.json").write_text(json.dumps(described))
    with pytest.raises(ValueError, match="an object with the texts question, context is expected"):
        Bundle(folder)


def test_the_exported_network_of_an_ascend_has_ops_of_every_device(tmp_path):
    write_model(tmp_path / "weights", make_model(), "tagger", trained_with={"seq_length": 24, "use_crf": True}, labels=TAGS)
    flags = ["--task", "ner", "--checkpoint", f"{tmp_path}/weights", "--output", f"{tmp_path}/bundle", "--use_crf", "true"]
    _, config = export_command.parse(flags)
    config = dataclasses.replace(config, device=runtime.settings("Ascend"))
    task = TASKS["ner"]
    network = exporting.make_network(task, task.export.settle(config, tmp_path / "weights"), tmp_path / "weights")
    assert not [cell for cell in network.cells_and_names() if type(cell[1]).__module__ == "src.models.ascend"]
    path, *_ = network(*(Tensor(np.ones((2, 5), np.int32)) for _ in task.training.INPUTS))
    assert path.shape[0] == 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ner", "pointer"])
def test_mindir_answers_as_onnx_does(kind, export):
    results = []
    for flags in (["--file_format", "ONNX", "--int8"], ["--file_format", "MINDIR"]):
        folder = export(kind, *flags)
        bundle = Bundle(folder)
        work = bundle.encode(["word1 word2 " * 20, "word3"])
        results.append([array for row in bundle.compute(work.rows) for array in row])
    assert sorted(path.name for path in folder.glob("model*")) == ["model.mindir"]  # those of the older bundle are gone
    assert json.loads((folder / "bundle.json").read_text())["graphs"] == {"mindir": "model.mindir"}
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=3e-6, atol=1e-5)  # float32 rounding, of -10000 too where spans are impossible


def test_another_graph_than_the_network_is_not_kept(export, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(comparison, "TOLERANCE", 0.0)
    with pytest.raises(SystemExit, match="1"):
        export("classifier")
    assert "error: onnx: outputs differ from the network's by" in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--use_crf", "true"], "unknown flag"),
        (["--example", "  "], "--example : a text is expected"),
        (["--vocab_file_path", "nowhere.txt"], "nowhere.txt"),
        (["--num_class", "4"], "num_class=4: the weights have 3 classes: a, b, c"),
    ],
)
def test_bad_flags_end_with_2(flags, message, export, capsys, tmp_path):
    with pytest.raises(SystemExit, match="2"):
        export("classifier", *flags)
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("bundle/*"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--file_format", "MINDIR", "--int8"], "int8=true is for --file_format ONNX"),
        (["--name", "a/b"], "name=a/b: letters, digits"),
        (["--output", "file"], "--output file: is a file; a folder is expected"),
        (["--output", ""], "--output is empty: a folder is expected"),
        (["--output", "other"], "--output other: holds other files and no bundle (bundle.json)"),
        (["--checkpoint", "seeds"], "seeds: was trained with several seeds: give one of them, such as --checkpoint seeds/seed-7"),
        (["--do_train"], "--do_train: a setting of a run, on which nothing depends here (unknown flag)"),
        (["--epoch_num", "0"], "--epoch_num: a setting of a run"),
        (["--learning_rate", "1"], "--learning_rate: a setting of a run"),
        (["--task", "ner"], "weights: was trained for the task classifier, not ner: give --task classifier"),
        (["--task", "pretrain"], "weights: was trained for the task classifier, not pretrain: give --task classifier"),
        (["--checkpoint", "gone"], "gone: "),
    ],
)
def test_flags_that_do_not_fit_are_found_before_mindspore_is_imported(flags, message, tmp_path):
    kind, described, trained_with = KINDS["classifier"]
    write_model(tmp_path / "weights", make_model(), kind, trained_with=trained_with, **described)
    (tmp_path / "file").touch()
    (tmp_path / "seeds" / "seed-7" / "ckpt").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").touch()
    without = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.modules['mindspore'] = None; from src.export.__main__ import main; main()"
    )
    command = [sys.executable, "-c", without, "--task", "classifier", "--checkpoint", "weights", "--output", "bundle", *flags]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 2 and ended.stderr.startswith(f"error: {message}") and ended.stderr.count("\n") == 1, ended.stderr


def test_padding_is_not_compared(export, monkeypatch):
    class OtherAtPadding(comparison.OnnxGraph):
        def run(self, *arrays):
            padding = 1 - arrays[self.inputs.index("input_mask")]
            return [logits + 0.001 * padding for logits in super().run(*arrays)]  # a unit in the last place of -10000

    monkeypatch.setattr(comparison, "OnnxGraph", OtherAtPadding)
    assert json.loads((export("squad") / "export_report.json").read_text())["graphs"][0]["largest_difference"] < 1e-5


def test_a_file_is_predicted_line_by_line(export, tmp_path, capsys):
    folder = export("classifier")
    (tmp_path / "in.txt").write_text("word1\n\nword2 word3\n")
    (tmp_path / "in.jsonl").write_text('"word1"\n\n{"text": ""}\n \t\n{"text_a": "word2 word3"}\n\n')
    results = []
    for name in ("in.txt", "in.jsonl"):
        predict.main(["--bundle", str(folder), "--input", str(tmp_path / name), "--output", str(tmp_path / "out.jsonl"), "--top_k", "2"])
        results.append([json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()])
    assert results[0] == results[1] == Bundle(folder).predict(["word1", "", "word2 word3"], top_k=2)
    (tmp_path / "in.jsonl").write_text('"word1"\n\n{"text"\n')
    (tmp_path / "out.jsonl").unlink()
    with pytest.raises(SystemExit, match="2"):
        predict.main(["--bundle", str(folder), "--input", str(tmp_path / "in.jsonl"), "--output", str(tmp_path / "out.jsonl")])
    assert "in.jsonl:3: not JSON" in capsys.readouterr().err
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("status", "content", "message"),
    [
        (200, {"predictions": []}, "its answer does not have one prediction for each of 2 instances"),
        (200, {"predictions": [1, 2]}, "its answer does not have one prediction"),
        (200, [], "200: []"),
        (500, ["x"], "500: ['x']"),
        (503, {"error": "the server is ending"}, "503: the server is ending"),
    ],
)
def test_what_a_server_answers_otherwise_is_told(status, content, message, tmp_path, monkeypatch, capsys):
    httpx = pytest.importorskip("httpx", reason="httpx is not installed: pip install -r requirements-serve.txt")
    answers = {"GET": httpx.Response(200, json={}), "POST": httpx.Response(status, json=content)}
    monkeypatch.setattr(httpx.Client, "request", lambda client, method, *_, **__: answers[method])
    (tmp_path / "in.txt").write_text("a\nb\n")
    (tmp_path / "out.jsonl").write_text("old")
    with pytest.raises(SystemExit, match="2"):
        predict.main(["--server", "http://x/v1/models/y", "--input", str(tmp_path / "in.txt"), "--output", str(tmp_path / "out.jsonl")])
    assert message in capsys.readouterr().err
    assert (tmp_path / "out.jsonl").read_text() == "old"


def test_an_address_without_a_model_and_an_absent_file_are_named(tmp_path, capsys):
    pytest.importorskip("httpx", reason="httpx is not installed: pip install -r requirements-serve.txt")
    (tmp_path / "in.txt").write_text("a\n")
    for flags, part in (
        (["--server", "http://127.0.0.1:8000", "--input", str(tmp_path / "in.txt")], "whose address is http://HOST:PORT/v1/models/NAME"),
        (["--server", "http://x/v1/models/y", "--input", str(tmp_path / "gone.txt")], "gone.txt: No such file"),
    ):
        with pytest.raises(SystemExit, match="2"):
            predict.main([*flags, "--output", str(tmp_path / "out.jsonl")])
        assert part in capsys.readouterr().err


def test_the_weights_own_folder_is_not_exported_to(export, tmp_path, capsys):
    export("classifier")
    (tmp_path / "classifier" / "bundle.json").touch()
    with pytest.raises(SystemExit, match="2"):
        export_command.main(
            ["--task", "classifier", "--checkpoint", str(tmp_path / "classifier"), "--output", str(tmp_path / "classifier")]
        )
    assert "the weights are there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("task", "kind", "message"),
    [
        ("classifier", "encoder", "it is pretrained and has no head"),
        ("squad", "classifier", "is of another network: head.span"),  # whose labels are no setting of squad
    ],
)
def test_weights_without_the_head_of_the_task_are_refused(task, kind, message, tmp_path, capsys):
    write_model(tmp_path / "weights", kind=kind, labels=("a", "b", "c") if kind == "classifier" else ())
    flags = ["--checkpoint", str(tmp_path / "weights"), "--output", str(tmp_path / "bundle"), "--seq_length", "32"]
    flags += ["--max_query_length", "8", "--doc_stride", "8"] if task == "squad" else []
    with pytest.raises(SystemExit, match="2"):
        export_command.main(["--task", task, *flags])
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "bundle").exists()


def test_a_bundle_stays_whole_where_another_cannot_take_its_place(tmp_path):
    for folder, content in (("new", "new"), ("old", "old")):
        (tmp_path / folder).mkdir()
        for name in ("bundle.json", "config.json", "model.onnx"):
            (tmp_path / folder / name).write_text(content)
    (tmp_path / "old" / "model.mindir").mkdir()
    with pytest.raises(ValueError, match="--output .*/old: model.mindir is a folder there"):
        exporting.move_bundle(tmp_path / "new", tmp_path / "old")
    assert {path.read_text() for path in (tmp_path / "old").iterdir() if path.is_file()} == {"old"}


@pytest.mark.parametrize(
    ("task", "positions"),
    [
        ("ner", "absolute"),
        pytest.param("squad", "sinusoidal", marks=pytest.mark.slow),
        pytest.param("classifier", "learned", marks=pytest.mark.slow),
    ],
)
def test_graphs_of_fixed_shapes_compute_the_same(task, positions, export):
    """The copies that a compiler for Ascend takes: no free size is left in them."""
    folder = export(task, "--static_shapes", "2x16,1x32", positions=positions)
    report = json.loads((folder / "export_report.json").read_text())["graphs"]
    assert [entry["graph"] for entry in report] == ["onnx", "2x16", "1x32"]
    assert all(entry["largest_difference"] < 1e-5 for entry in report)
    graphs = []
    for batch, length in ((2, 16), (1, 32)):
        session = onnxruntime.InferenceSession(folder / f"model.{batch}x{length}.onnx", providers=["CPUExecutionProvider"])
        assert [value.shape for value in session.get_inputs()] == [[batch, length]] * 3
        run = lambda columns, session=session: session.run(None, columns)  # noqa: E731
        graphs.append(SimpleNamespace(shape=(batch, length), run=run))
    bundle = Bundle(folder)
    expected, found = bundle.predict(INSTANCES[task]), Bundle(folder, fixed=graphs).predict(INSTANCES[task])
    assert json.dumps(expected)[:80] == json.dumps(found)[:80]


def test_another_export_removes_the_copies_of_the_last(tmp_path):
    for folder, name in (("hidden", "model.onnx"), ("bundle", "model.1x16.onnx"), ("bundle", "model.onnx")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).touch()
    exporting.move_bundle(tmp_path / "hidden", tmp_path / "bundle")
    assert [path.name for path in (tmp_path / "bundle").iterdir()] == ["model.onnx"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--static_shapes", "1x600"), "static_shapes=600 is above model.max_position_embeddings=32"),
        (("--static_shapes", "128"), "128: batch sizes and lengths are expected, such as 1x128,8x64"),
        (("--static_shapes", "1x16", "--file_format", "MINDIR"), "--static_shapes is for --file_format ONNX"),
    ],
)
def test_shapes_that_cannot_be_are_refused(flags, message, export, capsys):
    with pytest.raises(SystemExit, match="2"):
        export("classifier", *flags)
    assert message in capsys.readouterr().err


def test_the_model_zoos_export_writes_a_bundle(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    kind, described, trained_with = KINDS["classifier"]
    write_model(tmp_path / "trained", make_model(), kind, trained_with=trained_with, **described)
    network = {**zoo_files.NETWORK, "seq_length": 24}
    path = zoo_files.write(tmp_path, "task_classifier_config.yaml", bert_net_cfg=network, num_class=3)
    zoo_flags.main(["--config_path", str(path), "--export_ckpt", "trained", "--export_file_name", "bert_cls.onnx", "--file_format", "ONNX"])
    assert (tmp_path / "bert_cls/model.onnx").is_file()
    assert "has no effect" not in capsys.readouterr().out
    (tmp_path / "dev.tsv").write_text("word1 word2\ta\nword3\tb\n", encoding="utf-8")
    run_eval_onnx.main(["--export_file_name", "bert_cls", "--eval_data_file_path", "dev.tsv"])
    assert "total_num 2, accuracy " in capsys.readouterr().out
    (tmp_path / "trained/config.json").write_text((tmp_path / "trained/config.json").read_text().replace("task_name", "task_title"))
    for flags, message in (
        ((), "export_ckpt_file: give the trained weights"),
        (("--export_ckpt_file", "trained", "--file_format", "AIR"), "file_format=AIR: CANN's compiler takes ONNX as well"),
        (("--export_ckpt_file", "trained", "--description", "run_x"), "description=run_x is not allowed: it must be one of run_classifier"),
        (("--export_ckpt_file", "trained"), "trained: does not say which task it was trained for"),
    ):
        with pytest.raises(SystemExit, match="2"):
            zoo_flags.main(list(flags))
        assert message in capsys.readouterr().err
