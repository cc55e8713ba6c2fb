"""JSON messages of every interface: replies and errors in the framework's format.

The framework serializes each reply twice: as a model, and inside the model of a message. These
functions write the same JSON in one pass; a test compares both for every kind of reply.
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
    may_exceed_complexity_limits,
    require_json_within_complexity_limits,
)

JsonObject = dict[str, Any]
"""A JSON object whose members are not known here: an action, a reply or reset arguments."""

WireReply = JsonObject
"""A reply in the framework's form, with `observation`, `reward` and `done`."""


def move_info_and_format_observation(reply: WireReply) -> str:
    """Move `info` into the metadata of a reply, and return the text of an observation message.

    Args:
        reply: reply in the framework's form; it is changed in place.
    """
    if "info" in reply:
        info = reply.pop("info")
        reply["metadata"] = {**reply.get("metadata", {}), **info}
    return to_json_bytes({"type": "observation", "data": reply}).decode()


def format_typed_message(message_type: str, data: JsonObject) -> str:
    """Return the text of a WebSocket message."""
    return to_json_bytes({"type": message_type, "data": data}).decode()


def format_error_message(error_text: str, error_code: str, **details: Any) -> str:
    """Return the text of an error message.

    Args:
        error_text: what was wrong.
        error_code: error code of the framework's protocol.
        details: further members of the message's data.
    """
    return format_typed_message("error", {"message": error_text, "code": error_code, **details})


def build_json_response(
    body: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an HTTP response with a JSON body."""
    return Response(to_json_bytes(body), status, headers, media_type="application/json")


def to_json_bytes(value: object) -> bytes:
    """Return the compact JSON of a reply, which may contain models.

    Raises:
        TypeError: it contains a value that is neither JSON nor a model.
    """
    try:
        return orjson.dumps(value, default=_convert_model_to_fields)
    except (TypeError, ValueError):
        # orjson rejects integers beyond 64 bits and lone surrogates, which a client may have sent
        # and which its error repeats. The standard library is slow, but writes them.
        return json.dumps(value, default=_convert_model_to_fields, separators=(",", ":")).encode()


def parse_json_within_limits(text: str | bytes) -> Any:
    """Parse a JSON text, and check the depth and the number of members of its value.

    Raises:
        MessageTooComplexError: the value is nested too deeply or has too many members.
        ValueError: the text is not JSON.
    """
    raw_json = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    needs_check = may_exceed_complexity_limits(raw_json)
    try:
        value = orjson.loads(text)
    except ValueError:
        # Only the standard library reads NaN and lone surrogates, which clients may send.
        try:
            value = json.loads(text)
        except RecursionError:
            raise MessageTooComplexError(TOO_DEEP_TEXT) from None
    if needs_check:
        require_json_within_complexity_limits(value)
    return value


def _convert_model_to_fields(value: object) -> object:
    """Return the fields of a model; nested models are converted when they are written."""
    if isinstance(value, BaseModel):
        if type(value).__pydantic_decorators__.model_serializers:
            return value.model_dump()
        return vars(value)
    raise TypeError(type(value).__name__)
