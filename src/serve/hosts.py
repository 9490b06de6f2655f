"""Middleware that checks the Host header, so that a web page cannot reach the server through a name that it makes point here.

That attack (DNS rebinding) needs a name of the attacker's. Addresses, localhost and this host's own name are therefore allowed always.
"""

import ipaddress
import json
import re
import socket
from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

ANY = "*"
_HEADER = re.compile(r"(\[[^\[\]]+\]|[^:]*)(:\d*)?")  # a name or an address, and a port


class AllowedHosts:
    """ASGI middleware; a request to another host is answered with 421. Clients of HTTP/1.0 may name none.

    Args:
        names: further names under which the server is called; `*` allows any.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str] = ()):
        self._app = app
        self._names = {name.lower().rstrip(".") for name in (*names, "localhost", socket.gethostname())}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self.allows([value for key, value in scope["headers"] if key == b"host"]):
            await _refuse(send)
        else:
            await self._app(scope, receive, send)

    def allows(self, hosts: list[bytes]) -> bool:
        """Whether a request with these Host headers is for this server."""
        if ANY in self._names or not hosts:
            return True
        match = _HEADER.fullmatch(hosts[0].decode("latin-1").lower())
        return len(hosts) == 1 and match is not None and (match[1].rstrip(".") in self._names or _is_address(match[1]))


def _is_address(text):
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


async def _refuse(send):
    body = json.dumps({"error": "the Host header names another host; --allowed_hosts of the server takes further names"}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 421, "headers": headers})
    await send({"type": "http.response.body", "body": body})
