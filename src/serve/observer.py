"""What happens around every request: time and status code, headers, an answer when something breaks."""

import time

from src.log import logger
from src.serve.errors import ClientGone

_HEADERS = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"), (b"referrer-policy", b"no-referrer")]
_CLIENT_GONE = 499  # nginx's code; nobody receives it


class Observer:
    """ASGI middleware.

    Args:
        app: the application inside.
        metrics: Metrics.
        paths: those counted by name; all others are counted together.
    """

    def __init__(self, app, metrics, paths):
        self._app = app
        self._metrics = metrics
        self._paths = paths

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), None

        async def send_with_headers(message):
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        try:
            if scope["method"] == "HEAD":  # as for GET; uvicorn leaves the body out
                scope = {**scope, "method": "GET"}
            await self._app(scope, receive, send_with_headers)
        except ClientGone:
            status = _CLIENT_GONE
        except Exception:  # the client gets no trace, the log does
            logger.exception("%s %s failed", scope["method"], scope["path"])
            if status is None:
                await _send_failure(send_with_headers)
        path = scope["path"] if scope["path"] in self._paths else "other"
        self._metrics.observe_request(path, status, time.perf_counter() - started)


async def _send_failure(send):
    await send({"type": "http.response.start", "status": 500, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b'{"error": "internal error"}'})
