"""HTTP connections with a limit on the size of request headers, which uvicorn lacks, and with errors in JSON."""

import json

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_BYTES = 64 << 10  # of headers, or of trailers of a chunked body; the read in which headers begin does not count


class LimitedHeaders(HttpToolsProtocol):
    """uvicorn's protocol; headers that grow too large are answered with 431, and the connection is closed."""

    _unfinished = 0  # bytes read since headers, a piece of a body or a request were complete

    def data_received(self, data: bytes) -> None:
        self._unfinished += len(data)
        super().data_received(data)
        if self._unfinished > MAX_BYTES and not self.transport.is_closing():
            self._refuse("431 Request Header Fields Too Large", f"the head of the request is larger than {MAX_BYTES} bytes")

    def send_400_response(self, msg: str) -> None:
        self._refuse("400 Bad Request", "the request is not HTTP")

    def _refuse(self, status, message):
        body = json.dumps({"error": message})
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write((head + body).encode())
        self.transport.close()

    def on_headers_complete(self) -> None:
        self._unfinished = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unfinished = 0
        super().on_message_complete()
