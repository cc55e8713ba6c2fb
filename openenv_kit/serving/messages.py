"""JSON messages of every interface: replies and errors in the framework's format.

The framework builds a model, dumps it, wraps the dump in a second model and dumps that. These
functions write the same JSON once; a test compares both for every kind of reply.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import BaseModel
from starlette.responses import Response

from openenv_kit.serving.message_limits import (
    TOO_DEEP_TEXT,
    MessageTooComplexError,
    needs_complexity_check,
    require_bounded_complexity,
)

JsonObject = dict[str, Any]
"""A JSON object whose members are not known here: an action, a reply or reset arguments."""


def format_observation_message(reply: JsonObject) -> str:
    """Return the text of an observation message.

    Args:
        reply: reply in the framework's form; its `info`, if any, is moved into `metadata`.
    """
    if "info" in reply:
        info = reply.pop("info")
        reply["metadata"] = {**reply.get("metadata", {}), **info}
    return dumps({"type": "observation", "data": reply}).decode()


def format_message(message_type: str, data: JsonObject) -> str:
    """Return the text of a WebSocket message."""
    return dumps({"type": message_type, "data": data}).decode()


def format_error_message(error_text: str, error_code: str, **details: Any) -> str:
    """Return the text of an error message.

    Args:
        error_text: what was wrong.
        error_code: error code of the framework's protocol.
        details: further members of the message's data.
    """
    return format_message("error", {"message": error_text, "code": error_code, **details})


def json_response(
    body: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an HTTP response with a JSON body."""
    return Response(dumps(body), status, headers, media_type="application/json")


def dumps(value: object) -> bytes:
    """Return the compact JSON of a reply, which may contain models.

    Raises:
        TypeError: it contains something else that JSON lacks.
    """
    try:
        return orjson.dumps(value, default=_to_plain_value)
    except (TypeError, ValueError):
        # orjson rejects integers beyond 64 bits and lone surrogates, which a client may have sent
        # and which its error repeats. The standard library is slow, but writes them.
        return json.dumps(value, default=_to_plain_value, separators=(",", ":")).encode()


def loads(text: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        MessageTooComplexError: the value is nested too deeply or has too many members.
        ValueError: the text is not JSON.
    """
    raw_json = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    needs_check = needs_complexity_check(raw_json)
    try:
        value = orjson.loads(text)
    except ValueError:
        # Clients may also send what only the standard library reads: NaN and lone surrogates.
        try:
            value = json.loads(text)
        except RecursionError:
            raise MessageTooComplexError(TOO_DEEP_TEXT) from None
    if needs_check:
        require_bounded_complexity(value)
    return value


def _to_plain_value(value: object) -> object:
    """Return the fields of a model; nested models are converted when they are written."""
    if isinstance(value, BaseModel):
        if type(value).__pydantic_decorators__.model_serializers:
            return value.model_dump()
        return vars(value)
    raise TypeError(type(value).__name__)
