"""The server with bundles that were exported, of every task."""

import threading
from contextlib import contextmanager

import pytest
from tiny_models import make_model, write_model

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
    "ner": ("tagger", {"labels": ("O", "B-X", "I-X", "B-Y", "I-Y")}, {"seq_length": 24, "use_crf": True}),
    "pointer": ("pointer", {"labels": ("X", "Y")}, {"seq_length": 24, "head": "global_pointer"}),
    "squad": ("span", {}, {"seq_length": 32, "doc_stride": 8, "max_query_length": 12}),
}
INSTANCES = {
    "classifier": ["word1 word2", {"text": "王小明"}, ""],
    "ner": ["word1 word2 " * 40, "word3"],
    "pointer": ["word1 word2 " * 40, "word3"],
    "squad": [{"question": "word1", "context": "word2 word3 word4 " * 20}, {"question": "word1", "context": "word5"}],
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


@pytest.mark.parametrize("task", TASKS)
def test_the_server_answers_what_the_bundle_does(task, tmp_path):
    kind, described, trained_with = TASKS[task]
    write_model(tmp_path / "weights", make_model(), kind, trained_with=trained_with, **described)
    name = "ner" if task == "pointer" else task
    export_command.main(["--task", name, "--checkpoint", str(tmp_path / "weights"), "--output", str(tmp_path / "bundle"), "--name", "tiny"])
    bundle = Bundle(tmp_path / "bundle")
    with serving(bundle) as client:
        answer = client.post("/v1/models/tiny:predict", json={"instances": INSTANCES[task]})
        assert answer.status_code == 200, answer.text
        expected = bundle.predict(INSTANCES[task])
        assert len(answer.json()["predictions"]) == len(expected)
        for found, result in zip(answer.json()["predictions"], expected):
            assert found.keys() == result.keys()
            if task == "classifier":
                assert found["probabilities"] == pytest.approx(result["probabilities"], abs=1e-5)  # float32 rounding
        assert client.get("/v1/models/tiny").json()["model_version_status"][0]["state"] == "AVAILABLE"
        refused = client.post("/v1/models/tiny:predict", json={"instances": [{"nonsense": 1}]})
        assert refused.status_code == 422
        assert "instances[0]" in refused.json()["error"]
