"""A server in a thread, for tests."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
from fake_bundle import FakeBundle

from src.serve.app import make_app
from src.serve.limits import Limits
from src.serve.server import Server, open_socket

PREDICT = "/v1/models/fake:predict"


class Served:
    """A running server of a fake bundle and a client of it."""

    def __init__(self, bundle, limits):
        self.bundle = bundle
        self.app = make_app(bundle, limits)
        self.predictor = self.app.state.predictor
        self.socket = open_socket("127.0.0.1", 0)
        self.port = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.server = Server(self.app)
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],))
        self.thread.start()
        self.client = httpx.Client(base_url=self.url, timeout=20, limits=httpx.Limits(max_connections=None), verify=False)
        self._threads = ThreadPoolExecutor(64)
        wait_until(lambda: self.server.started)

    def predict(self, *instances, **parameters):
        body = {"instances": list(instances), **({"parameters": parameters} if parameters else {})}
        return self.client.post(PREDICT, json=body)

    def send_later(self, *instances):
        """Send in another thread; the result waits for the answer."""
        return self._threads.submit(self.predict, *instances).result

    def post(self, content, **headers):
        """Status and error of a raw body."""
        answer = self.client.post(PREDICT, content=content, headers=headers)
        return answer.status_code, answer.json().get("error", "")

    def send(self, data, timeout=10):
        """Everything that comes back for raw bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout) as connection:
            connection.sendall(data)
            return b"".join(iter(lambda: connection.recv(1 << 16), b""))

    def stop(self):
        self.client.close()
        if self.thread.is_alive():
            self.bundle.may_compute.set()
            self.server.stop()
            self.thread.join(20)
        self._threads.shutdown()
        assert not self.thread.is_alive()


@contextmanager
def serving(kind="classifier", seconds=0.0, **limits):
    served = Served(FakeBundle(kind, seconds), Limits(**limits))
    try:
        yield served
    finally:
        served.stop()


def wait_until(is_true, seconds=10):
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def metric(served, name):
    """Value of the one line of /metrics that begins with `name `."""
    lines = served.client.get("/metrics").text.splitlines()
    return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name} "))


def body_of(*instances):
    return json.dumps({"instances": instances}).encode()
