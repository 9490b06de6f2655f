"""HTTP connections with limits on the size of request headers and on their time, which uvicorn lacks, and with errors in JSON."""

import asyncio
import json

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from src.serve import limits

MAX_BYTES = 64 << 10  # of headers, or of trailers of a chunked body; the read in which headers begin does not count


class LimitedHeaders(HttpToolsProtocol):
    """uvicorn's protocol; headers that grow too large are answered with 431, slow ones with 408, and the connection is closed."""

    _unfinished = 0  # bytes read since headers, a piece of a body or a request were complete
    _in_head = _in_body = False
    _timer: asyncio.TimerHandle | None = None  # while a head is expected or arrives

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unfinished += len(data)
        if not self._in_body:
            self._expect_head()
        super().data_received(data)
        if self._unfinished > MAX_BYTES and not self.transport.is_closing():
            self._refuse("431 Request Header Fields Too Large", f"the head of the request is larger than {MAX_BYTES} bytes")

    def send_400_response(self, msg: str) -> None:
        self._refuse("400 Bad Request", "the request is not HTTP")

    def _expect_head(self):
        if self._timer is None:
            self._timer = self.loop.call_later(limits.HEAD_SECONDS, self._time_out)

    def _end_timer(self):
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self):
        self._timer = None
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._expect_head()  # the answer to an earlier request comes first
        elif self._in_head:
            self._refuse("408 Request Timeout", f"the head of the request did not arrive within {limits.HEAD_SECONDS} seconds")
        else:
            self.transport.close()

    def _refuse(self, status, message):
        body = json.dumps({"error": message})
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write((head + body).encode())
        self.transport.close()

    def on_message_begin(self) -> None:
        self._in_head = True
        self._expect_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._unfinished = 0
        self._in_head = False
        self._in_body = True
        self._end_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unfinished = 0
        self._in_body = False
        super().on_message_complete()
