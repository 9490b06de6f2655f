import json
import random
import re
import select
import socket
import sys
import time

import pytest
from serving import PREDICT, body_of, serving, wait_until

from src.serve import bodies, http_headers, limits
from src.serve.hosts import AllowedHosts
from src.serve.limits import Limits


@pytest.fixture(scope="module")
def served():
    with serving(max_body_bytes=20_000, max_instances=50, max_text_chars=1000) as it:
        yield it


@pytest.fixture(scope="module")
def pairs():
    with serving("pairs") as it:
        yield it


NOT_JSON = {
    b"": "the body is not JSON: Expecting value, line 1 column 1",
    b"instances": "the body is not JSON: Expecting value, line 1 column 1",
    b'{"instances": ["a"]': "the body is not JSON: Expecting ',' delimiter, line 1 column 20",
    b'{"instances": ["a"]} {}': "the body is not JSON: Extra data, line 1 column 22",
    b'{"instances": ["a\nb"]}': "the body is not JSON: Invalid control character at, line 1 column 18",
    b'{"instances": ["a\x00b"]}': "the body is not JSON: Invalid control character at, line 1 column 18",
    b'{"instances": [NaN]}': "the body is not JSON: NaN is no JSON number",
    b'{"instances": [-Infinity]}': "the body is not JSON: -Infinity is no JSON number",
    b'{"instances": ["\xe9t\xe9"]}': "the body is not UTF-8: byte 16",
    '{"instances": ["a"]}'.encode("utf-16"): "the body is not UTF-8: byte 0",
    b'{"instances": ["a"], "instances": ["b"]}': 'the key "instances" stands twice in one object',
    b'{"instances": [{"text": "a", "text": "b"}]}': 'the key "text" stands twice in one object',
    b"[" * 9000: "the body is nested too deeply",
    b'{"a":' * 3000: "the body is nested too deeply",
    b"9" * 9000: "the body holds a number with too many digits",
}


@pytest.fixture
def usual_recursion():
    """MindSpore, which other tests import, lets Python nest far deeper; a server sets the limit back."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.parametrize("body", NOT_JSON, ids=lambda body: repr(body[:24]))
def test_what_is_not_json_is_told(usual_recursion, served, body):
    assert served.post(body) == (422, NOT_JSON[body])


WRONG = {
    "[]": "body: must be an object, not a list",
    '"text"': "body: must be an object, not a string",
    "null": "body: must be an object, not null",
    "{}": "instances: is missing",
    '{"instances": []}': "instances: is empty",
    '{"instances": "a"}': "instances: must be a list, not a string",
    '{"instances": {"text": "a"}}': "instances: must be a list, not an object",
    '{"instances": [1]}': "instances[0]: must be a string or an object with the key text_a",
    '{"instances": ["a", null]}': "instances[1]: must be a string or an object with the key text_a",
    '{"instances": ["a", {}]}': "instances[1].text_a: is missing",
    '{"instances": [{"text": 1}]}': "instances[0].text: must be a string, not a number",
    '{"instances": [{"text": true}]}': "instances[0].text: must be a string, not a boolean",
    '{"instances": [{"text_a": ["a"]}]}': "instances[0].text_a: must be a string, not a list",
    '{"instances": [{"text_a": "a", "text_b": "b"}]}': "instances[0].text_b: unknown key",
    '{"instances": [{"text_a": "a", "object": "b"}]}': "instances[0].object: unknown key",
    '{"instances": ["a", "\\ud800b"]}': "instances[1]: holds half of a surrogate pair, which is no character",
    '{"instances": [{"text_a": "\\udc00"}]}': "instances[0].text_a: holds half of a surrogate pair, which is no character",
    '{"instances": ["a"], "\\ud800": 1}': "the body is not UTF-8: a key holds half of a surrogate pair",
    '{"instances": ["a"], "parameter": {}}': "parameter: unknown key",
    '{"instances": ["a"], "parameters": {"k": 2}}': "parameters.k: unknown key",
    '{"instances": ["a"], "parameters": {"top_k": "2"}}': "parameters.top_k: must be an integer, not a string",
    '{"instances": ["a"], "parameters": {"top_k": 2.5}}': "parameters.top_k: must be an integer, not a number",
    '{"instances": ["a"], "parameters": {"top_k": true}}': "parameters.top_k: must be an integer, not a boolean",
    '{"instances": ["a"], "parameters": {"top_k": 0}}': "parameters.top_k: Input should be greater than or equal to 1",
    '{"instances": ["a"], "parameters": {"top_k": 1e999}}': "parameters.top_k: must be an integer, not a number",
    '{"instances": ["a"], "parameters": [1]}': "parameters: must be an object, not a list",
    '{"instances": ["a"], "signature_name": "other"}': "signature_name: Input should be 'serving_default'",
    '{"instances": ["unencodable"]}': "instances[0].text_a: cannot be encoded",
}


@pytest.mark.parametrize("body", WRONG)
def test_the_place_of_a_wrong_value_is_told(served, body):
    assert served.post(body.encode()) == (422, WRONG[body])


def test_a_pair_needs_both_texts(pairs):
    assert pairs.post(b'{"instances": ["a"]}') == (422, "instances[0]: must be an object, not a string")
    assert pairs.post(b'{"instances": [{"text_a": "a"}]}') == (422, "instances[0].text_b: is missing")


def test_a_blank_question_is_refused():
    with serving("squad") as served:
        for blank in ("", " \n\u3000", "\x1c\x85"):
            answer = served.predict({"question": blank, "context": ""})
            assert (answer.status_code, answer.json()) == (422, {"error": "instances[0].question: is empty"})
        assert served.predict({"question": "中", "context": ""}).status_code == 200


def test_only_the_first_errors_are_told(served):
    status, error = served.post(body_of(*range(40)))
    assert status == 422 and error.count("instances[") == 5 and error.endswith("; and 35 more")
    status, error = served.post(json.dumps({"x" * 9000: 1}).encode())
    assert status == 422 and len(error) < 200


def test_unusual_texts_are_predicted(served):
    texts = ["", " ", "\x00", "a\x07\x1b[0m\u200b\ufeff", "\u202egood", "𝒢😀", "good" * 250]
    answer = served.predict(*texts)
    assert answer.status_code == 200 and len(answer.json()["predictions"]) == len(texts)
    assert served.post(b"\xef\xbb\xbf" + body_of("a byte order mark"))[0] == 200
    assert served.post(b'{"instances": ["a"], "signature_name": "serving_default"}')[0] == 200


def test_too_many_instances_and_too_long_texts(served):
    assert served.post(body_of(*["a"] * 50))[0] == 200
    assert served.post(body_of(*["a"] * 51)) == (422, "instances: more than 50 at once")
    assert served.post(body_of("a" * 1000))[0] == 200
    assert served.post(body_of("ok", "a" * 1001)) == (422, "instances[1]: is longer than 1000 characters")
    assert served.post(body_of({"text_a": "中" * 1001})) == (422, "instances[0].text_a: is longer than 1000 characters")


def test_too_large_bodies_are_refused_with_and_without_a_declared_length(served):
    def parts(size):
        for _ in range(size // 1000):
            yield b" " * 1000

    too_large = (413, "the body is larger than 20000 bytes; send fewer instances at once")
    assert served.post(body_of("a").ljust(20_000))[0] == 200
    assert served.post(body_of("a").ljust(20_001)) == too_large
    assert served.post(b" " * 10_000_000) == too_large
    assert served.post(parts(20_000))[0] == 422
    assert served.post(parts(21_000)) == too_large
    assert served.post(parts(10_000_000)) == too_large
    assert served.predictor.gate.held_bytes == 0


def test_a_client_that_waits_for_continue_is_refused_before_it_writes(served):
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\nExpect: 100-continue\r\n\r\n"
    answer = served.send(head.encode(), timeout=3)
    assert answer.startswith(b"HTTP/1.1 413 ") and b"larger than 20000 bytes" in answer


def test_a_compressed_body_is_refused(served):
    assert served.post(b"\x1f\x8b", **{"content-encoding": "gzip"})[0] == 415


def test_a_body_that_does_not_come_is_not_waited_for(served, monkeypatch):
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.1)
    answer = served.send(f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n[".encode())
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert served.predictor.gate.inside == 0


def test_a_connection_closed_within_a_body_leaves_nothing_behind(served):
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", served.port)) as connection:
            connection.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n[".encode())
    wait_until(lambda: served.predictor.gate.inside == 0 and served.predictor.gate.held_bytes == 0)


def test_a_head_that_does_not_end_is_refused(served):
    get = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
    chunked = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n".encode()
    trailer = b"c: d\r\n"
    for begin, part in ((get, b"a"), (get, b"a: b\r\n"), (b"GET /", b"a"), (chunked, trailer)):
        with socket.create_connection(("127.0.0.1", served.port), 5) as connection:
            connection.sendall(begin)
            if part == trailer:  # the head is whole, and was another read
                wait_until(lambda: served.predictor.gate.inside == 1)
            connection.sendall((part * http_headers.MAX_BYTES)[: http_headers.MAX_BYTES + 1])
            answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
        assert answer.startswith(b"HTTP/1.1 431 ") and answer.endswith(b'{"error": "the head of the request is larger than 65536 bytes"}')
    assert served.send(get + b"a: " + b"a" * 60_000 + b"\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    whole = get + b"a: " + b"a" * 30_000 + b"\r\n"
    assert served.send((whole + b"\r\n") * 5 + whole + b"Connection: close\r\n\r\n").count(b"HTTP/1.1 200 ") == 6


def test_a_slow_head_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(limits, "HEAD_SECONDS", 0.3)
    half = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
    with serving(seconds=0.6) as served:
        answer = served.send(half)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert answer.endswith(b'{"error": "the head of the request did not arrive within 0.3 seconds"}')
        assert re.findall(rb"HTTP/1.1 (\d+)", served.send(half + b"\r\n" + half)) == [b"200", b"408"]
        assert served.send(b"") == b""  # a connection without any request
        with socket.create_connection(("127.0.0.1", served.port), 5) as connection:
            drops = iter(half)
            while not select.select([connection], [], [], 0.02)[0]:
                connection.sendall(bytes([next(drops)]))
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 408 ")
        assert served.predict("slower than a head may be").status_code == 200
        body = body_of("one")
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", served.port), 5) as connection:
            connection.sendall(head)
            time.sleep(0.6)  # the head is there, the body has its own limit
            connection.sendall(body)
            assert b"".join(iter(lambda: connection.recv(1 << 16), b"")).startswith(b"HTTP/1.1 200 ")


OTHER_HOST = b'{"error": "the Host header names another host; --allowed_hosts of the server takes further names"}'


@pytest.mark.parametrize(
    ("lines", "is_allowed"),
    [
        (["Host: localhost"], True),
        (["Host: LocalHost:8000"], True),
        (["Host: localhost."], True),
        (["Host: 127.0.0.1:1"], True),
        (["Host: 10.1.2.3"], True),
        (["Host: [::1]:8000"], True),
        (["Host: [fe80::1]"], True),
        ([f"Host: {socket.gethostname()}:80"], True),
        (["Host: attacker.example"], False),
        (["Host: attacker.example:8000"], False),
        (["Host: localhost.attacker.example"], False),
        (["Host: 127.0.0.1.attacker.example"], False),
        (["Host: localhost:8000:attacker.example"], False),
        (["Host: localhost@attacker.example"], False),
        (["Host: "], False),
        (["Host: attacker.example", "Host: localhost"], False),
        (["Host: localhost", "Host: localhost"], False),
        (["Host: \xe9"], False),
    ],
)
def test_a_request_to_another_host_is_refused(served, lines, is_allowed):
    answer = served.send("\r\n".join(["GET /healthz HTTP/1.1", *lines, "Connection: close", "", ""]).encode("latin-1"))
    assert answer.startswith(b"HTTP/1.1 200 " if is_allowed else b"HTTP/1.1 421 ")
    assert is_allowed or answer.endswith(OTHER_HOST)


def test_a_request_of_http_1_0_need_not_name_a_host(served):
    assert served.send(b"GET /healthz HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")


def test_further_hosts_are_allowed_by_name():
    async def app(scope, receive, send): ...

    hosts = AllowedHosts(app, ["Models.example", "gpu-1"])
    assert all(map(hosts.allows, ([b"models.example"], [b"MODELS.EXAMPLE.:443"], [b"gpu-1:80"], [])))
    assert not any(map(hosts.allows, ([b"example"], [b"a.models.example"], [b"gpu-12"])))
    assert AllowedHosts(app, ["*"]).allows([b"any.example"])


def test_what_is_not_http_is_told_in_json(served):
    answer = served.send(b"nonsense\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ") and answer.endswith(b'\r\n\r\n{"error": "the request is not HTTP"}')


def test_a_body_that_does_not_come_holds_a_server_that_stops_for_a_short_time(monkeypatch):
    monkeypatch.setattr(limits, "LAST_BODY_SECONDS", 0.2)
    with serving() as served, socket.create_connection(("127.0.0.1", served.port), 10) as connection:
        connection.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n[".encode())
        wait_until(lambda: served.predictor.gate.inside == 1)
        started = time.monotonic()
        served.server.stop()
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
        assert answer.startswith(b"HTTP/1.1 503 ") and b"the server is stopping" in answer
        served.thread.join(5)
        assert not served.thread.is_alive() and 0.2 <= time.monotonic() - started < 5


def test_a_full_queue_is_told_with_the_time_to_come_back():
    with serving(max_queue=8, max_instances=4, max_batch_tokens=4) as served:
        served.bundle.may_compute.clear()
        answers = [served.send_later(*["a b c"] * 3)]
        wait_until(lambda: served.predictor.batcher.waiting_rows == 2)  # one row at work
        answers += [served.send_later(*["a b c"] * 3) for _ in range(2)]
        wait_until(lambda: served.predictor.batcher.waiting_rows == 8)
        refused = served.predict("one more")
        assert refused.status_code == 429 and refused.json() == {"error": "8 rows are waiting; try again later"}
        assert int(refused.headers["retry-after"]) >= 1
        served.bundle.may_compute.set()
        assert [answer().status_code for answer in answers] == [200, 200, 200]
        assert served.predict("one more").status_code == 200


def test_one_request_cannot_fill_the_queue_with_windows_of_a_passage():
    with serving(max_queue=1000, max_instances=9) as served:
        status, error = served.post(body_of("thousandfold"))
        assert status == 422 and error == "instances: cut into 1000 rows, more than 500 at once; send fewer or shorter ones"


def test_bodies_of_all_requests_together_are_limited():
    with serving(max_body_bytes=1000, max_held_bytes=1500) as served:
        served.bundle.may_compute.clear()
        first = served.send_later("a" * 900)
        wait_until(lambda: served.predictor.gate.held_bytes > 900)
        assert served.predict("a" * 900).status_code == 429
        second = served.send_later("a")
        served.bundle.may_compute.set()
        assert [first().status_code, second().status_code, served.predict("a" * 900).status_code] == [200, 200, 200]


def test_altered_bodies_never_break_the_server(served):
    draw = random.Random(7)
    seeds = [body.encode() for body in [*WRONG, '{"instances": [{"text_a": "good \\u4e2d"}], "parameters": {"top_k": 2}}']]
    codes = set()
    for _ in range(300):
        body = bytearray(draw.choice(seeds))
        for _ in range(draw.randint(1, 6)):
            position = draw.randrange(len(body) + 1)
            kind = draw.randrange(4)
            if kind == 0 and body:
                body[min(position, len(body) - 1)] = draw.randrange(256)
            elif kind == 1:
                del body[position : position + draw.randint(1, 8)]
            elif kind == 2:
                body[position:position] = draw.choice(
                    [b'"', b"\\u0000", b"{}", b"[[", b"1e9", b"\\ud83d", b",", b"\xff", b"null", b"instances"]
                )
            else:
                body += draw.choice(seeds)
        codes.add(served.post(bytes(body))[0])
    assert codes <= {200, 422} and len(codes) == 2


def test_altered_requests_never_break_the_server(served):
    draw = random.Random(8)
    body = body_of("good")
    whole = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    for _ in range(100):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            data[draw.randrange(len(data) - len(body))] = draw.randrange(256)
        with socket.create_connection(("127.0.0.1", served.port), 5) as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            assert not connection.recv(1 << 16).startswith(b"HTTP/1.1 5")
    assert served.predict("good").status_code == 200
    wait_until(lambda: served.predictor.gate.inside == 0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_queue": 0}, "max_queue=0 must be above 0"),
        ({"max_wait_ms": -1}, "max_wait_ms=-1 must be above 0"),
        ({"max_instances": 3000}, "max_instances=3000 is above 2048, half of max_queue=4096"),
        ({"max_body_bytes": 1 << 30}, "max_body_bytes=1073741824 is above max_held_bytes=67108864"),
    ],
)
def test_limits_that_contradict_each_other_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Limits(**values)
