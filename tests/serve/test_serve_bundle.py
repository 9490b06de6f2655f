"""The server with bundles that were exported, of every task."""

import threading
from contextlib import contextmanager

import pytest
from tiny_models import make_model, make_weights, write_model

pytest.importorskip("onnx", reason="onnx is not installed: pip install -r requirements-serve.txt")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install -r requirements-serve.txt")
pytest.importorskip("fastapi", reason="fastapi is not installed: pip install -r requirements-serve.txt")
httpx = pytest.importorskip("httpx", reason="httpx is not installed: pip install -r requirements-serve.txt")

from src.bundle.model import Bundle  # noqa: E402
from src.export import __main__ as export_command  # noqa: E402
from src.serve.app import make_app  # noqa: E402
from src.serve.limits import Limits  # noqa: E402
from src.serve.server import Server, open_socket  # noqa: E402

TASKS = {
    "classifier": ("classifier", {"labels": ("a", "b", "c")}, {"task_name": "custom", "columns": "text_a=0,label=1", "seq_length": 24}),
    "labels": (
        "classifier",
        {"labels": ("a", "b", "c")},
        {"task_name": "custom", "columns": "text_a=0,label=1", "seq_length": 24, "multi_label": True, "thresholds": ["0.4", "b=0.9"]},
    ),
    "choices": ("classifier", {}, {"task_name": "swag", "seq_length": 24, "num_class": 1}),
    "ner": ("tagger", {"labels": ("O", "B-X", "I-X", "B-Y", "I-Y")}, {"seq_length": 24, "use_crf": True}),
    "pointer": ("pointer", {"labels": ("X", "Y")}, {"seq_length": 24, "head": "global_pointer"}),
    "squad": ("span", {}, {"seq_length": 32, "doc_stride": 8, "max_query_length": 12}),
    "embed": ("encoder", {}, {"seq_length": 24, "pooling": "cls", "normalize": True}),
    "fill_mask": ("pretraining", {}, {}),
}
INSTANCES = {
    "classifier": ["word1 word2", {"text": "王小明"}, ""],
    "labels": ["word1 word2", {"text": "王小明"}],
    "choices": [
        {"text_a": "word1", "text_b": "word2", "choices": "word3\nword4\nword5"},
        {"text_a": "a", "text_b": "b", "choices": "c\nd"},
    ],
    "ner": ["word1 word2 " * 40, "word3"],
    "pointer": ["word1 word2 " * 40, "word3"],
    "squad": [{"question": "word1", "context": "word2 word3 word4 " * 20}, {"question": "word1", "context": "word5"}],
    "embed": ["word1 word2", {"text": "word3"}],
    "fill_mask": ["word1 [MASK] word2", {"text": "[MASK] [MASK]"}],
}


@contextmanager
def serving(bundle):
    """A client of a server that has this bundle."""
    listening, server = open_socket("127.0.0.1", 0), Server(make_app(bundle, Limits()))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=20) as client:
            yield client
    finally:
        server.stop()
        thread.join(20)


SLOW = ("labels", "choices")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in TASKS])
def test_the_server_answers_what_the_bundle_does(name, tmp_path):
    kind, described, trained_with = TASKS[name]
    task = {**dict.fromkeys(SLOW, "classifier"), "pointer": "ner"}.get(name, name)
    arrays = make_weights(make_model(), kind)
    if name == "choices":
        arrays |= {part: arrays[part][:1] for part in ("head.dense.weight", "head.dense.bias")}
    write_model(tmp_path / "weights", make_model(), kind, arrays=arrays, trained_with=trained_with, **described)
    export_command.main(["--task", task, "--checkpoint", str(tmp_path / "weights"), "--output", str(tmp_path / "bundle"), "--name", "tiny"])
    bundle = Bundle(tmp_path / "bundle")
    with serving(bundle) as client:
        answer = client.post("/v1/models/tiny:predict", json={"instances": INSTANCES[name]})
        assert answer.status_code == 200, answer.text
        expected = bundle.predict(INSTANCES[name])
        assert len(answer.json()["predictions"]) == len(expected)
        for found, result in zip(answer.json()["predictions"], expected):
            assert found.keys() == result.keys()
            if name == "labels":
                assert found["labels"] == [label for label, p in found["probabilities"].items() if p >= {"b": 0.9}.get(label, 0.4)]
            if task == "classifier":
                assert found["probabilities"] == pytest.approx(result["probabilities"], abs=1e-5)  # float32 rounding
        assert client.get("/v1/models/tiny").json()["model_version_status"][0]["state"] == "AVAILABLE"
        refused = client.post("/v1/models/tiny:predict", json={"instances": [{"nonsense": 1}]})
        assert refused.status_code == 422
        assert "instances[0]" in refused.json()["error"]
