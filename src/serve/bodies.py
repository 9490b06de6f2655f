"""Request bodies: read up to a limit, then parsed as strict JSON."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.requests import ClientDisconnect, Request

from src.serve.errors import ClientGone, Refusal
from src.serve.gate import Gate
from src.serve.limits import BODY_SECONDS

_MAX_DISCARDED = 64 << 20  # bytes read of a refused body
_DISCARD_SECONDS = 10


async def read_body(request: Request, max_bytes: int, hold: Callable[[int], None], gate: Gate) -> bytearray:
    """The whole body; its size is checked as it arrives, whatever Content-Length says.

    Args:
        hold: called with the length of each part as it arrives; may raise Refusal.

    Raises:
        Refusal: 408 too slow, 413 too large, 415 compressed, 503 too slow for a server that is stopping.
        ClientGone: the connection was closed before the end.
    """
    stream = request.stream()
    try:
        _check_headers(request.headers, max_bytes)
        return await gate.read(_collect(stream, max_bytes, hold), BODY_SECONDS)
    except Refusal:
        await discard_body(request, stream)
        raise
    except asyncio.TimeoutError:
        raise Refusal(408, f"the body did not arrive within {BODY_SECONDS} seconds", {"connection": "close"}) from None
    except ClientDisconnect:
        raise ClientGone from None


async def discard_body(request: Request, stream: AsyncIterator[bytes] | None = None) -> None:
    """Read a refused body to its end, within limits; a client still writing may not see an answer sent before it is done.

    Args:
        stream: the rest of the body, if some of it was read already.

    Raises:
        ClientGone: the connection was closed before the end.
    """
    if request.headers.get("expect", "").lower() == "100-continue":
        return  # this client has not started writing
    try:
        await asyncio.wait_for(_discard(request.stream() if stream is None else stream), _DISCARD_SECONDS)
    except asyncio.TimeoutError:
        return
    except ClientDisconnect:
        raise ClientGone from None


def _check_headers(headers, max_bytes):
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Refusal(415, "Content-Encoding is not supported; send the body as it is")
    declared = headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > max_bytes:
        raise _too_large(max_bytes)


def _too_large(max_bytes):
    return Refusal(413, f"the body is larger than {max_bytes} bytes; send fewer instances at once", {"connection": "close"})


async def _collect(stream, max_bytes, hold):
    body = bytearray()
    async for part in stream:
        if len(body) + len(part) > max_bytes:
            raise _too_large(max_bytes)
        hold(len(part))
        body += part
    return body


async def _discard(stream):
    discarded = 0
    async for part in stream:
        discarded += len(part)
        if discarded > _MAX_DISCARDED:
            return


def parse_json(body: bytes | bytearray) -> Any:
    """A JSON document, parsed more strictly than by json.loads: no NaN, infinity, duplicate keys or lone surrogates in keys.

    Raises:
        Refusal: 422, with the reason.
    """
    try:
        return json.loads(bytes(body).decode("utf-8-sig"), parse_constant=_no_constant, object_pairs_hook=_to_dict)
    except UnicodeDecodeError as error:
        raise Refusal(422, f"the body is not UTF-8: byte {error.start}") from None
    except RecursionError:
        raise Refusal(422, "the body is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise Refusal(422, f"the body is not JSON: {error.msg}, line {error.lineno} column {error.colno}") from None
    except ValueError:  # Python's limit on the digits of an integer
        raise Refusal(422, "the body holds a number with too many digits") from None


def _no_constant(name):
    raise Refusal(422, f"the body is not JSON: {name} is no JSON number")


def _to_dict(pairs):
    result = dict(pairs)
    if any(not key.isascii() and not _is_text(key) for key in result):
        raise Refusal(422, "the body is not UTF-8: a key holds half of a surrogate pair")
    if len(result) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise Refusal(422, f"the key {json.dumps(twice[:40])} stands twice in one object")
    return result


def _is_text(key):
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True
