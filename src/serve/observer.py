"""Middleware around every request: timing and status codes, security headers, an answer to unexpected errors."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src.log import logger
from src.serve.errors import ClientGone
from src.serve.metrics import Metrics

_HEADERS = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"), (b"referrer-policy", b"no-referrer")]
_CLIENT_GONE = 499  # nginx's code, only for the metrics


class Observer:
    """ASGI middleware.

    Args:
        app: the application inside.
        paths: the paths counted by name; all others are counted as "other".
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: set[str]):
        self._app = app
        self._metrics = metrics
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status: int | None = None

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        try:
            if scope["method"] == "HEAD":  # handled as GET; uvicorn leaves out the body
                scope = {**scope, "method": "GET"}
            await self._app(scope, receive, send_with_headers)
        except ClientGone:
            status = _CLIENT_GONE
        except Exception:  # the traceback goes to the log, not to the client
            logger.exception("%s %s failed", scope["method"], scope["path"])
            if status is None:
                await _send_failure(send_with_headers)
        path = scope["path"] if scope["path"] in self._paths else "other"
        self._metrics.observe_request(path, status, time.perf_counter() - started)


async def _send_failure(send):
    await send({"type": "http.response.start", "status": 500, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b'{"error": "internal error"}'})
