"""Replies as they travel: the framework's message format, written straight from a session's reply.

The framework builds a model, dumps it, wraps the dump in a second model and dumps that. Here
the same JSON is written once; a test holds the two against each other for every kind of reply.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import BaseModel
from starlette.responses import Response

MAX_JSON_DEPTH = 64
"""Levels of a message; a report's rows need five."""

MAX_OBJECT_MEMBERS = 1000
"""Members of one object; a report's row has nine."""

MAX_COMMAS = 20_000
"""Commas of a message, which bound its values; the longest report, 1,000 rows, has 9,000."""


def format_observation_message(reply: dict[str, Any]) -> str:
    """Text of an observation message, in which `info` travels as metadata."""
    if "info" in reply:
        info = reply.pop("info")
        reply["metadata"] = {**reply.get("metadata", {}), **info}
    return dumps({"type": "observation", "data": reply}).decode()


def format_message(kind: str, data: dict[str, Any]) -> str:
    """Text of one WebSocket message."""
    return dumps({"type": kind, "data": data}).decode()


def format_error_message(error_text: str, error_code: str, **more: Any) -> str:
    """Text of an error message."""
    return format_message("error", {"message": error_text, "code": error_code, **more})


def json_response(
    body: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """An HTTP response with a JSON body."""
    return Response(dumps(body), status, headers, media_type="application/json")


def dumps(value: Any) -> bytes:
    """Compact JSON of anything a reply can hold."""
    try:
        return orjson.dumps(value, default=_to_plain_value)
    except (TypeError, ValueError):
        # Integers past 64 bits and lone surrogates, echoed from a caller; rare, and no hurry.
        return json.dumps(value, default=_to_plain_value, separators=(",", ":")).encode()


def loads(text: str | bytes) -> Any:
    """Value of a JSON text; a ValueError for any other text, and for one of an unwieldy shape."""
    raw = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    commas = raw.count(b",")
    if commas > MAX_COMMAS:
        raise MessageTooComplexError(TOO_MANY_VALUES_TEXT)
    try:
        value = orjson.loads(text)
    except ValueError:
        # What only the standard library takes (NaN, lone surrogates) has always been taken here.
        try:
            value = json.loads(text)
        except RecursionError:
            raise MessageTooComplexError(TOO_DEEP_TEXT) from None
    if commas >= MAX_OBJECT_MEMBERS or raw.count(b"{") + raw.count(b"[") > MAX_JSON_DEPTH:
        require_bounded_complexity(value)
    return value


class MessageTooComplexError(ValueError):
    """JSON of a shape that would take too long to look through, or that some cannot write."""


TOO_DEEP_TEXT = f"nested too deeply; allowed: {MAX_JSON_DEPTH} levels"
TOO_MANY_VALUES_TEXT = f"too many values; allowed: {MAX_COMMAS} commas"


def require_bounded_complexity(value: Any) -> None:
    """Refuse more than `MAX_JSON_DEPTH` levels, and objects of more than `MAX_OBJECT_MEMBERS`."""
    level: list[Any] = [value]
    for _ in range(MAX_JSON_DEPTH + 1):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                if len(each) > MAX_OBJECT_MEMBERS:
                    raise MessageTooComplexError(
                        f"an object with {len(each)} members; allowed: {MAX_OBJECT_MEMBERS}"
                    )
                below += each.values()
            elif isinstance(each, list):
                below += each
        if not below:
            return
        level = below
    raise MessageTooComplexError(TOO_DEEP_TEXT)


def _to_plain_value(value: Any) -> Any:
    if isinstance(value, BaseModel):
        if type(value).__pydantic_decorators__.model_serializers:  # it says itself what it tells
            return value.model_dump()
        return vars(value)  # like model_dump(), but nested models are left to the writer
    raise TypeError(type(value).__name__)
