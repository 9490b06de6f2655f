import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import httpx
import pytest
from conftest import ROOT
from fake_bundle import FakeBundle
from serving import PREDICT, wait_until
from tiny_models import make_model, write_model

from src import signals
from src.bundle import folder as bundle_folder
from src.serve.__main__ import main
from src.serve.server import open_socket
from src.tasks.task import TASKS

FAKE = (ROOT / "tests" / "serve" / "fake_server.py",)


@contextmanager
def process(bundle, *flags, program=FAKE):
    """A process of the server, its address, and the line it started with."""
    command = [sys.executable, *program, "--bundle", bundle, "--port", "0", *flags]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    try:
        line = running.stdout.readline()
        yield running, re.search(r"http://\S+", line).group(), line
    finally:
        if running.poll() is None:
            running.kill()
        running.communicate()


def ask(url, results, texts):
    """Append the status of one request after another until the server refuses or has gone."""
    with httpx.Client(base_url=url, timeout=20) as client:
        while True:
            try:
                answer = client.post(PREDICT, json={"instances": texts})
            except httpx.ConnectError:
                results.append("refused")
                return
            except httpx.TransportError as error:  # an idle connection that was closed as the request was written
                results.append(type(error).__name__)
                return
            results.append(answer.status_code)
            if answer.status_code != 200:
                return
            assert len(answer.json()["predictions"]) == len(texts)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load_finishes_what_was_accepted(number):
    with process("classifier-0.05", "--name", "fake") as (server, url, line):
        assert re.fullmatch(r"serving fake at http://127\.0\.0\.1:\d+ graph=onnx\n", line)
        results = [[] for _ in range(16)]
        clients = [threading.Thread(target=ask, args=(url, part, ["good"] * (1 + index))) for index, part in enumerate(results)]
        for client in clients:
            client.start()
        wait_until(lambda: all(len(part) >= 2 for part in results))
        server.send_signal(number)
        for client in clients:
            client.join(20)
        output, _ = server.communicate(timeout=10)
        assert server.returncode == 0
        for part in results:
            assert len(part) > 1 and set(part[:-1]) == {200} and part[-1] in (503, "refused"), part
        assert re.fullmatch(r"stopping: \d+ requests? to finish\n", output)


@pytest.mark.slow
def test_a_signal_under_load_loses_no_answer_of_a_real_graph(tmp_path):
    onnx_graph = pytest.importorskip("src.export.onnx_graph", reason="onnx is not installed (requirements-serve.txt)")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (requirements-serve.txt)")
    labels, settings = ("a", "b", "c"), {"seq_length": 24}
    folder, arrays = write_model(tmp_path / "bundle", kind="classifier", labels=labels)
    onnx_graph.save(
        onnx_graph.build(make_model(), arrays, TASKS["classifier"], {**settings, "labels": list(labels)}), folder / "model.onnx"
    )
    bundle_folder.write(folder, "fake", "classifier", settings, labels, {"onnx": "model.onnx"})
    with process(folder, program=("-m", "src.serve")) as (server, url, _):
        results = [[] for _ in range(8)]
        clients = [threading.Thread(target=ask, args=(url, part, ["word1 word2"] * (1 + index))) for index, part in enumerate(results)]
        for client in clients:
            client.start()
        time.sleep(1.5)
        server.terminate()
        for client in clients:
            client.join(20)
        output, _ = server.communicate(timeout=10)
    assert server.returncode == 0 and re.fullmatch(r"stopping: \d+ requests? to finish\n", output), output
    for part in results:
        assert len(part) > 1 and set(part[:-1]) == {200} and part[-1] in (503, "refused"), part


@pytest.mark.slow
def test_a_draining_server_says_so_and_still_finishes():
    with process("classifier-2") as (server, url, _):
        long = []
        client = threading.Thread(target=lambda: long.append(httpx.post(url + PREDICT, json={"instances": ["good"]}, timeout=20)))
        client.start()
        wait_until(lambda: "bert_requests_inside 1.0" in httpx.get(url + "/metrics").text)
        server.terminate()
        wait_until(lambda: httpx.get(url + "/healthz").status_code == 503)
        refused = httpx.post(url + PREDICT, content=b" " * 3_000_000)
        assert (refused.status_code, refused.json()) == (503, {"error": "the server is stopping; send this to another one"})
        assert httpx.get(url + "/v1/models/fake").json()["model_version_status"][0]["state"] == "UNLOADING"
        client.join(20)
        assert long[0].status_code == 200 and server.wait(10) == 0


@pytest.mark.slow
def test_a_second_signal_ends_at_once():
    with process("classifier-1") as (server, url, _):
        connection = socket.create_connection(url.removeprefix("http://").split(":"))
        connection.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n".encode())  # whose body never comes
        wait_until(lambda: "bert_requests_inside 1.0" in httpx.get(url + "/metrics").text)
        server.terminate()
        wait_until(lambda: httpx.get(url + "/healthz").status_code == 503)
        server.terminate()
        assert server.wait(5) == 128 + signal.SIGTERM  # the wait for the request would be longer
        connection.close()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--bundle", "nothing"], "error: bundle=nothing: no such bundle"),
        (["--bundle", "ner", "--name", "a/b"], "error: name=a/b: letters, digits, dots, dashes and underscores are allowed"),
        (["--bundle", "ner", "--max_queue", "10"], "error: max_instances=1024 is above 5, half of max_queue=10"),
        (["--bundle", "ner", "--host", "203.0.113.1"], "error: cannot listen on 203.0.113.1:0: Cannot assign requested address"),
        (["--bundle", "ner", "--host", "a..b"], "error: cannot listen on a..b:0: a..b is no name of a host"),
        (["--bundle", "ner", "--port", "99999"], "error: port=99999 must be 0 to 65535"),
    ],
)
def test_bad_options_end_with_one_line(flags, message, monkeypatch, capsys):
    monkeypatch.setattr(signals, "watch", lambda: None)  # it would take the signals of this process
    with pytest.raises(SystemExit) as exit_:
        main([*flags, *([] if "--port" in flags else ["--port", "0"])], FakeBundle.open)
    output = capsys.readouterr()
    assert (exit_.value.code, output.out) == (2, "") and output.err.startswith(message) and output.err.count("\n") == 1, output.err


def test_more_threads_than_can_help_are_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--bundle", "ner", "--threads", "100000"], FakeBundle.open)
    assert "--threads 100000: 0 to 1024 is expected" in capsys.readouterr().err


def test_a_taken_port_ends_with_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="cannot listen on 127.0.0.1:.*already in use"):
        open_socket("127.0.0.1", taken.getsockname()[1])
