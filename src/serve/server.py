"""A uvicorn server that shuts down gracefully: it first refuses new requests, then ends when all accepted ones are answered."""

import asyncio
import os
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from src.log import logger
from src.serve.http_headers import LimitedHeaders

_BACKLOG = 2048  # connections waiting to be accepted; uvicorn's default
_LINGER_SECONDS = 0.3  # pause after the last answer, in which requests on open connections get 503 instead of a closed connection
_LAST_SECONDS = 30  # time for clients to read their answers after that


def open_socket(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        ValueError: no such port, or an impossible host name.
        OSError: cannot listen there; names host and port.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"port={port} must be 0 to 65535")
    listening = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, socket.IPPROTO_TCP, socket.AI_PASSIVE)[0]
        # asyncio sets TCP_NODELAY, which saves 40 ms per request, only if the protocol is given
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except UnicodeError:  # the codec for host names raises it
        raise ValueError(f"cannot listen on {host}:{port}: {host} is no name of a host") from None
    except OSError as error:
        if listening is not None:
            listening.close()
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listening


class Server(uvicorn.Server):
    """A server of one application.

    Args:
        app: from make_app.
        announce: called when requests are accepted.
    """

    def __init__(self, app: FastAPI, announce: Callable[[], None] = lambda: None):
        super().__init__(
            uvicorn.Config(
                app,
                http=LimitedHeaders,
                access_log=False,
                log_config=None,
                log_level="error",
                lifespan="off",
                server_header=False,
                ws="none",
                timeout_keep_alive=75,
                timeout_graceful_shutdown=_LAST_SECONDS,
            )
        )
        self._predictor = app.state.predictor
        self._announce = announce
        self._stopping = False

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the compute thread, then accept requests."""
        self._predictor.start()
        await super().startup(sockets)
        self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        await self._loop.run_in_executor(None, self._predictor.close)

    def handle_exit(self, number: int, frame: FrameType | None) -> None:
        """Stop gracefully at the first signal, at once at the second."""
        if self._stopping:
            os._exit(128 + number)
        self.stop()

    def stop(self) -> None:
        """Begin to stop; may be called from any thread."""
        self._stopping = True
        self._loop.call_soon_threadsafe(self._drain)

    def _drain(self):
        gate = self._predictor.gate
        logger.info("stopping: %s requests to finish", gate.inside)
        gate.drain()
        self._leaving = asyncio.ensure_future(self._leave())

    async def _leave(self):
        await self._predictor.gate.empty()
        await asyncio.sleep(_LINGER_SECONDS)
        self.should_exit = True
