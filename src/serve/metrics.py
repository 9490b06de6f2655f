"""The metrics of one server, in a registry of its own, so that several servers fit into one process."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """Counters of one server."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter("bert_requests", "Requests by path and status code", ["path", "code"], registry=registry)
        self._seconds = Histogram("bert_request_seconds", "Time to answer", ["path"], buckets=_SECONDS, registry=registry)
        self._instances = Counter("bert_instances", "Instances predicted", registry=registry)
        self._rows = Histogram("bert_batch_rows", "Rows of a batch", buckets=_SIZES, registry=registry)
        self._batch_seconds = Histogram("bert_batch_seconds", "Time to compute a batch", buckets=_SECONDS, registry=registry)
        self._tokens = Counter("bert_tokens", "Tokens computed, of texts and of padding", ["kind"], registry=registry)

    def watch(self, inside: Callable[[], int], rows: Callable[[], int], tokens: Callable[[], int]) -> None:
        """Add gauges of the requests inside and of the queue, which call these functions whenever the metrics are requested."""
        for name, text, value in (
            ("bert_requests_inside", "Requests accepted and not answered yet", inside),
            ("bert_queue_rows", "Rows that wait for the compute thread", rows),
            ("bert_queue_tokens", "Tokens of these rows", tokens),
        ):
            Gauge(name, text, registry=self._registry).set_function(value)

    def observe_request(self, path: str, code: int | None, seconds: float) -> None:
        self._requests.labels(path, str(code)).inc()
        self._seconds.labels(path).observe(seconds)

    def observe_instances(self, number: int) -> None:
        self._instances.inc(number)

    def observe_batch(self, rows: int, tokens: int, padded: int, seconds: float) -> None:
        """Count a batch; `tokens` of its `padded` tokens are real."""
        self._rows.observe(rows)
        self._batch_seconds.observe(seconds)
        self._tokens.labels("text").inc(tokens)
        self._tokens.labels("padding").inc(padded - tokens)

    def text(self) -> bytes:
        return generate_latest(self._registry)
