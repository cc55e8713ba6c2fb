"""Limits on a single message: size, JSON complexity, number of WebSocket frames and transfer time.

The uvicorn protocols, the middleware, the WebSocket endpoint and the JSON parser check these limits
when a message arrives.
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
"""Maximum nesting depth of a JSON message. A report with rows has five levels."""

MAX_OBJECT_MEMBERS = 1000
"""Maximum number of members of one JSON object. A row of a report has nine."""

MAX_COMMAS = 20_000
"""Maximum number of commas in a JSON message, which bounds the number of its values. The longest
report, of 1,000 rows, has 9,000 commas."""

MAX_FRAMES_PER_MESSAGE = 4096
"""Maximum number of frames of one WebSocket message, because even empty frames take memory."""

MAX_READ_BYTES = 4096
"""Maximum number of bytes read from a connection at once, so that a client that sends thousands of
tiny frames does not delay other clients."""

TABLE_UPLOAD_PATH = "/web/own-data/check"
"""End of the path of the debugger's route that takes a visitor's table."""
MAX_TABLE_BYTES = 20_000_000
"""Largest uploaded table, in bytes."""
MAX_UPLOAD_S = 120.0
"""Time within which an uploaded table must arrive."""

TOO_DEEP_TEXT = f"nested too deeply; allowed: {MAX_JSON_DEPTH} levels"
TOO_MANY_VALUES_TEXT = f"too many values; allowed: {MAX_COMMAS} commas"


class MessageLimits(NamedTuple):
    """Limits that the server's settings define.

    Attributes:
        max_bytes: maximum size of a WebSocket message or a request body.
        timeout_s: maximum time to receive the headers of a request, its body, or the rest of a
            WebSocket message after its first frame; also how long a client may leave replies
            unread, in seconds.
    """

    max_bytes: int
    timeout_s: float

    @classmethod
    def from_settings(cls, settings: Settings) -> MessageLimits:
        """Return the limits that a server's settings define."""
        return cls(settings.max_message_bytes, settings.request_timeout_s)

    def for_path(self, path: str, *, may_upload: bool) -> MessageLimits:
        """Return the limits for requests to a path; uploads of tables have higher limits.

        Args:
            path: path of the request.
            may_upload: whether the server accepts uploads of tables.
        """
        if not (may_upload and path.endswith(TABLE_UPLOAD_PATH)):
            return self
        return MessageLimits(
            max(self.max_bytes, MAX_TABLE_BYTES), max(self.timeout_s, MAX_UPLOAD_S)
        )


class MessageTooComplexError(ValueError):
    """A JSON message is nested too deeply or has too many values."""


class RejectedBodyError(HTTPException):
    """Raised when a request body exceeds a limit while it is being read.

    This is an HTTPException because FastAPI converts any other exception during the read to a 400.
    The rest of the body is never read, so the connection is closed after the response.
    """

    def __init__(self, error_kind: ErrorKind, status: HTTPStatus, detail: str) -> None:
        metrics.count_error(error_kind)
        super().__init__(status, detail, {"connection": "close"})


def may_exceed_complexity_limits_or_raise(raw_json: bytes) -> bool:
    """Return whether a JSON message has enough brackets or commas to exceed a complexity limit.

    Only such messages need `require_json_within_complexity_limits`, which is much slower than
    counting characters.

    Raises:
        MessageTooComplexError: the message has more than `MAX_COMMAS` commas, and must not be
            parsed.
    """
    comma_count = raw_json.count(b",")
    if comma_count > MAX_COMMAS:
        raise MessageTooComplexError(TOO_MANY_VALUES_TEXT)
    return (
        comma_count >= MAX_OBJECT_MEMBERS
        or raw_json.count(b"{") + raw_json.count(b"[") > MAX_JSON_DEPTH
    )


def require_json_within_complexity_limits(value: object) -> None:
    """Check the nesting depth and the object sizes of a parsed JSON value.

    Raises:
        MessageTooComplexError: the value has more than `MAX_JSON_DEPTH` levels, or one of its
            objects has more than `MAX_OBJECT_MEMBERS` members.
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


def require_content_length_within(limits: MessageLimits, content_length_header: str) -> None:
    """Check the Content-Length header of a request, before its body is read.

    Args:
        limits: limits of the server.
        content_length_header: value of the header. Empty or malformed values are ignored here,
            because the body is checked while it is read.

    Raises:
        RejectedBodyError: the announced body is too long.
    """
    is_number = content_length_header.isascii() and content_length_header.isdigit()
    # Twelve digits exceed every allowed limit. Converting more digits would only take time.
    if is_number and int(content_length_header[:12]) > limits.max_bytes:
        raise _build_body_too_large_error(limits.max_bytes)


def wrap_receive_with_body_limits(
    limits: MessageLimits, receive: Receive, *, is_json: bool
) -> Receive:
    """Return an ASGI receive function that stops reading a request's body at its limits.

    Reading raises a RejectedBodyError when the body is too long, has too many commas or is not
    complete within `limits.timeout_s`, counted from the first read.

    Args:
        limits: limits of the server.
        receive: receive function of the request.
        is_json: whether the number of commas is limited as well.
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
