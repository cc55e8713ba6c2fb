"""Limits on one message: size, shape of the JSON, number of WebSocket frames and time.

The table lists every limit. The checks are called where a message arrives: by the uvicorn
protocols, by the middleware, by the WebSocket endpoint and by the JSON parser.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from openenv_kit.serving import metrics
from openenv_kit.serving.metrics import ErrorKind
from openenv_kit.serving.settings import Settings

MAX_JSON_DEPTH = 64
"""Nesting levels of a JSON message. A report's rows need five."""

MAX_OBJECT_MEMBERS = 1000
"""Members of one JSON object. A report's row has nine."""

MAX_COMMAS = 20_000
"""Commas in a JSON message, which limit its values. The longest report, 1,000 rows, has 9,000."""

MAX_FRAMES_PER_MESSAGE = 4096
"""Frames of one WebSocket message. Empty frames take memory too."""

MAX_READ_BYTES = 4096
"""Bytes read from a connection at once, so that thousands of tiny frames delay no other client."""

TOO_DEEP_TEXT = f"nested too deeply; allowed: {MAX_JSON_DEPTH} levels"
TOO_MANY_VALUES_TEXT = f"too many values; allowed: {MAX_COMMAS} commas"


class MessageLimits(NamedTuple):
    """Limits that the server's settings define.

    Attributes:
        max_bytes: size of a WebSocket message or a request body.
        timeout_s: time for a request's headers, for its body, and for a WebSocket message after its
            first frame; also how long a client may leave replies unread.
    """

    max_bytes: int
    timeout_s: float

    @classmethod
    def from_settings(cls, settings: Settings) -> MessageLimits:
        """Return the limits of a server."""
        return cls(settings.max_message_bytes, settings.request_timeout_s)


class MessageTooComplexError(ValueError):
    """A JSON message is nested too deeply or has too many values."""


class RejectedBodyError(HTTPException):
    """A request body exceeds a limit while it is read.

    It is an HTTPException because FastAPI turns any other exception during the read into a 400. The
    rest
    of the body is never read, so the connection is closed after the response.
    """

    def __init__(self, error_kind: ErrorKind, status: HTTPStatus, detail: str) -> None:
        metrics.count_error(error_kind)
        super().__init__(status, detail, {"connection": "close"})


def may_exceed_complexity_limits(raw_json: bytes) -> bool:
    """Return whether a JSON text has enough brackets or commas to exceed a limit on its shape.

    Counting is much cheaper than `require_json_within_complexity_limits`, which few messages need.

    Raises:
        MessageTooComplexError: it has more than `MAX_COMMAS` commas, and must not be parsed.
    """
    comma_count = raw_json.count(b",")
    if comma_count > MAX_COMMAS:
        raise MessageTooComplexError(TOO_MANY_VALUES_TEXT)
    return (
        comma_count >= MAX_OBJECT_MEMBERS
        or raw_json.count(b"{") + raw_json.count(b"[") > MAX_JSON_DEPTH
    )


def require_json_within_complexity_limits(value: object) -> None:
    """Check the shape of a parsed JSON value.

    Raises:
        MessageTooComplexError: it has more than `MAX_JSON_DEPTH` levels, or an object has more than
            `MAX_OBJECT_MEMBERS` members.
    """
    level: list[object] = [value]
    for _ in range(MAX_JSON_DEPTH + 1):
        next_level: list[object] = []
        for item in level:
            if isinstance(item, dict):
                if len(item) > MAX_OBJECT_MEMBERS:
                    raise MessageTooComplexError(
                        f"an object with {len(item)} members; allowed: {MAX_OBJECT_MEMBERS}"
                    )
                next_level += item.values()
            elif isinstance(item, list):
                next_level += item
        if not next_level:
            return
        level = next_level
    raise MessageTooComplexError(TOO_DEEP_TEXT)


def require_content_length_within(limits: MessageLimits, content_length: str) -> None:
    """Check the Content-Length header of a request, before its body is read.

    Args:
        limits: limits of the server.
        content_length: value of the header; empty or malformed values are left to the body's check.

    Raises:
        RejectedBodyError: the announced body is too long.
    """
    is_number = content_length.isascii() and content_length.isdigit()
    # Twelve digits are more than any limit; more of them would only take time to convert.
    if is_number and int(content_length[:12]) > limits.max_bytes:
        raise _build_body_too_large_error(limits.max_bytes)


def wrap_receive_with_body_limits(
    limits: MessageLimits, receive: Receive, *, is_json: bool
) -> Receive:
    """Return an ASGI receive function that stops reading a request's body at its limits.

    Reading raises a RejectedBodyError when the body is too long, has too many commas or is not
    complete within `limits.timeout_s`, counted from the first read.

    Args:
        limits: limits of the server.
        receive: the request's own receive function.
        is_json: whether commas are limited.
    """
    byte_count = comma_count = 0
    is_complete = False
    deadline: float | None = None

    async def receive_within_limits() -> Message:
        nonlocal byte_count, comma_count, is_complete, deadline
        if is_complete:
            return await receive()
        deadline = deadline or asyncio.get_running_loop().time() + limits.timeout_s
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            text = f"The request body must arrive within {limits.timeout_s:g} seconds."
            raise RejectedBodyError(ErrorKind.TOO_SLOW, HTTPStatus.REQUEST_TIMEOUT, text) from None
        is_complete = not message.get("more_body", False)
        chunk = message.get("body", b"")
        byte_count += len(chunk)
        if byte_count > limits.max_bytes:
            raise _build_body_too_large_error(limits.max_bytes)
        if is_json:
            comma_count += chunk.count(b",")
        if comma_count > MAX_COMMAS:
            text = f"The body has {TOO_MANY_VALUES_TEXT}."
            raise RejectedBodyError(
                ErrorKind.TOO_MANY_VALUES, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text
            )
        return message

    return receive_within_limits


def _build_body_too_large_error(max_bytes: int) -> RejectedBodyError:
    return RejectedBodyError(
        ErrorKind.TOO_BIG,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"A request body may have {max_bytes} bytes.",
    )
