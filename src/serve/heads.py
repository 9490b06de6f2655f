"""Connections whose request heads have a limit, which uvicorn has not, and whose errors are JSON."""

import json

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_MAX_BYTES = 64 << 10  # of a head, and of what follows a body in parts; the read that a head begins in does not count


class LimitedHeads(HttpToolsProtocol):
    """uvicorn's protocol; a head that grows too large is answered 431, and the connection closed."""

    _unfinished = 0  # bytes read since a head, a piece of a body or a request was whole

    def data_received(self, data):
        self._unfinished += len(data)
        super().data_received(data)
        if self._unfinished > _MAX_BYTES and not self.transport.is_closing():
            self._refuse("431 Request Header Fields Too Large", f"the head of the request is larger than {_MAX_BYTES} bytes")

    def send_400_response(self, msg):
        self._refuse("400 Bad Request", "the request is not HTTP")

    def _refuse(self, status, message):
        body = json.dumps({"error": message})
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write((head + body).encode())
        self.transport.close()

    def on_headers_complete(self):
        self._unfinished = 0
        super().on_headers_complete()

    def on_body(self, body):
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self):
        self._unfinished = 0
        super().on_message_complete()
