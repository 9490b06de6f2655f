"""uvicorn that stops in order: closed to new requests first, gone when the last accepted one has its answer."""

import asyncio
import os
import socket

import uvicorn

from src.log import logger
from src.serve.heads import LimitedHeads

_BACKLOG = 2048  # connections that wait to be accepted, as uvicorn's default
_LINGER_SECONDS = 0.3  # once all is done: requests that come meanwhile on open connections are told that the server stops, not cut off
_LAST_SECONDS = 30  # for clients to read their answers, once the last one is made


def open_socket(host, port):
    """A listening socket; port 0 takes a free one.

    Raises:
        ValueError: no such port, or a host that cannot be a name.
        OSError: naming host and port.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"port={port} must be 0 to 65535")
    listening = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM, socket.IPPROTO_TCP, socket.AI_PASSIVE)[0]
        # asyncio sets TCP_NODELAY, on which 40 ms a request hang, only where the protocol is named
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except UnicodeError:  # of the codec for names
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
        announce: called once requests are accepted.
    """

    def __init__(self, app, announce=lambda: None):
        super().__init__(
            uvicorn.Config(
                app,
                http=LimitedHeads,
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

    async def serve(self, sockets=None):
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    async def startup(self, sockets=None):
        """Start the compute thread, then accept."""
        self._predictor.start()
        await super().startup(sockets)
        self._announce()

    async def shutdown(self, sockets=None):
        await super().shutdown(sockets)
        await self._loop.run_in_executor(None, self._predictor.close)

    def handle_exit(self, number, frame):
        """A signal: stop in order; at the second one leave at once."""
        if self._stopping:
            os._exit(128 + number)
        self.stop()

    def stop(self):
        """Begin to stop; safe in any thread."""
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
