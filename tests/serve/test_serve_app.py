import socket
import struct
import subprocess
import sys
import time

import pytest
from conftest import ROOT
from fake_bundle import FakeBundle
from serving import PREDICT, metric, serving, wait_until

from src.serve.app import make_app
from src.serve.limits import Limits


@pytest.fixture(scope="module")
def served():
    with serving() as it:
        yield it


def test_predictions_come_in_the_order_of_the_instances(served):
    texts = [f"{'good ' * (number % 7)}{'bad ' * (number % 5)}{number}" for number in range(100)]
    answer = served.predict(*texts)
    expected = served.bundle.predict(texts)
    assert answer.status_code == 200 and answer.json() == {"predictions": expected}
    assert answer.headers["content-type"] == "application/json"


def test_every_form_of_an_instance_means_the_same(served):
    first, *others = served.predict("good", {"text": "good"}, {"text_a": "good"}).json()["predictions"]
    assert others == [first, first]


def test_top_k_keeps_the_most_probable(served):
    (prediction,) = served.predict("bad bad good", top_k=2).json()["predictions"]
    assert list(prediction["probabilities"]) == ["bad", "good"] and prediction["label"] == "bad"
    assert served.predict("bad bad good", top_k=2.0).json()["predictions"] == [prediction]
    assert len(served.predict("good", top_k=1000).json()["predictions"][0]["probabilities"]) == 3


@pytest.mark.parametrize(
    ("kind", "instance", "expected"),
    [
        ("pairs", {"text_a": "good", "text_b": "good"}, {"label": "good"}),
        ("regression", "four", {"score": 4.0}),
        ("ner", "in 北京 Brandenburg", {"entities": [{"type": "LONG", "start": 6, "end": 17, "text": "Brandenburg"}]}),
        ("squad", {"question": "who", "context": "who Angela"}, {"answer": "Angela", "start": 4, "end": 10}),
        ("squad", {"question": "who", "context": "who"}, {"answer": "", "start": None, "end": None}),
    ],
)
def test_every_task_is_served(kind, instance, expected):
    with serving(kind) as served:
        (prediction,) = served.predict(instance).json()["predictions"]
        assert {key: prediction[key] for key in expected} == expected


@pytest.mark.parametrize("kind", ["ner", "regression"])
def test_top_k_is_refused_where_it_means_nothing(kind):
    with serving(kind) as served:
        answer = served.predict("good", top_k=2)
        assert (answer.status_code, answer.json()) == (422, {"error": "parameters: unknown key"})


def test_state_and_description_of_the_model(served):
    answer = served.client.get("/v1/models/fake").json()
    assert answer["model_version_status"] == [{"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}]
    assert (answer["task"], answer["labels"], answer["ready"]) == ("classifier", ["good", "bad", "odd"], True)
    assert answer["limits"]["max_instances"] == 1024
    assert served.client.get("/v1/models").json() == {"models": ["fake"]}
    assert served.client.get("/v1/models/fake/metadata").json()["model_spec"]["name"] == "fake"


def test_unknown_paths_and_methods(served):
    for method, path, status in (
        ("GET", "/v1/models/other", 404),
        ("POST", "/v1/models/other:predict", 404),
        ("POST", "/v1/models/fake:predict/", 404),
        ("GET", "/v1/models/..%2f..%2fetc", 404),
        ("GET", "/nothing", 404),
        ("GET", PREDICT, 405),
        ("DELETE", "/healthz", 405),
        ("POST", "/", 405),
    ):
        answer = served.client.request(method, path)
        assert (answer.status_code, list(answer.json())) == (status, ["error"]), path
    assert "/v1/models/fake" in served.client.get("/v1/models/other").json()["error"]
    assert served.client.get(PREDICT).headers["allow"] == "POST"


def test_health(served):
    assert served.client.get("/healthz").json() == {"status": "ok"}
    assert served.client.head("/healthz").status_code == 200


def test_metrics_count_what_was_done():
    with serving() as served:
        assert [served.predict("good", "bad bad").status_code, served.post(b"{")[0]] == [200, 422]
        served.client.get("/some/path")
        assert metric(served, f'bert_requests_total{{code="200",path="{PREDICT}"}}') == 1
        assert metric(served, f'bert_requests_total{{code="422",path="{PREDICT}"}}') == 1
        assert metric(served, 'bert_requests_total{code="404",path="other"}') == 1
        assert metric(served, "bert_instances_total") == 2
        assert metric(served, 'bert_tokens_total{kind="text"}') == 7
        assert metric(served, 'bert_tokens_total{kind="padding"}') == 1
        assert (metric(served, "bert_batch_rows_count"), metric(served, "bert_batch_rows_sum")) == (1, 2)
        assert metric(served, "bert_queue_rows") == 0


def test_openapi_tells_the_form_of_this_task(served):
    document = served.client.get("/openapi.json").json()
    predict = document["paths"][PREDICT]["post"]
    assert predict["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/PredictRequest"}
    assert set(predict["responses"]) == {"200", "408", "413", "415", "421", "422", "429", "500", "503"}
    schemas = document["components"]["schemas"]
    assert schemas["Instance"]["properties"]["text_a"] == {"maxLength": 20000, "title": "Text A", "type": "string"}
    assert schemas["PredictRequest"]["properties"]["instances"]["maxItems"] == 1024
    assert schemas["Parameters"]["properties"]["top_k"]["minimum"] == 1
    assert "Class" in schemas and "Entity" not in schemas


def test_pages_need_nothing_from_elsewhere_and_say_so(served):
    for path in ("/", "/docs"):
        page = served.client.get(path)
        assert page.status_code == 200 and "http://" not in page.text.replace("http://HOST:PORT", "") and "https://" not in page.text
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'") and page.headers["x-content-type-options"] == "nosniff"
    assert "'unsafe-inline'" not in served.client.get("/").headers["content-security-policy"]
    assert "max_body_bytes" in served.client.get("/v1/models/fake").text


def test_a_name_that_cannot_stand_in_a_path_is_refused():
    bundle = FakeBundle()
    for name in ("", "a/b", "a:b", "..", "情感", "a b"):
        with pytest.raises(ValueError, match="name=.*: letters, digits"):
            make_app(bundle, Limits(), name)


@pytest.mark.parametrize("where", ["encoder", "network", "decoder"])
def test_a_fault_inside_is_told_to_the_log_alone(where, capsys):
    with serving() as served:
        answer = served.predict(f"broken {where}")
        assert (answer.status_code, answer.json()) == (500, {"error": "internal error"})
        assert served.predict("good").status_code == 200
        assert f"secret of the {where}" in capsys.readouterr().out


def test_rows_of_a_client_that_has_gone_are_not_computed():
    with serving(max_batch_tokens=8) as served:
        served.bundle.may_compute.clear()
        body = b'{"instances": ["one two three four five six seven", "never computed, for its client has gone away"]}'
        with socket.create_connection(("127.0.0.1", served.port)) as connection:
            head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            connection.sendall(head + body)
            wait_until(lambda: served.predictor.gate.inside == 1 and served.predictor.batcher.waiting_rows == 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # an abrupt end
        wait_until(lambda: served.predictor.gate.inside == 0)
        assert (served.predictor.batcher.waiting_rows, served.predictor.batcher.waiting_tokens) == (0, 0)
        served.bundle.may_compute.set()
        assert served.predict("good").status_code == 200
        assert [len(batch) for batch in served.bundle.batches] == [1, 1]
        assert metric(served, f'bert_requests_total{{code="499",path="{PREDICT}"}}') == 1


def test_serving_does_not_import_mindspore():
    program = "import sys, src.serve.app, src.serve.server; sys.exit('mindspore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 0


@pytest.mark.slow
def test_answers_do_not_wait_for_acknowledgements(served):
    seconds = []
    for _ in range(20):
        started = time.perf_counter()
        assert served.predict("good").status_code == 200
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.03  # without TCP_NODELAY each takes 40 ms, however idle the machine is
