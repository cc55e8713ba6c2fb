"""Builds and parses the JSON messages of all transports: replies and errors in OpenEnv's format.

The framework serializes each reply twice: as a model, and inside the model of a message. These
functions write the same JSON in one pass. A test compares their output with the framework's.
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
    may_exceed_complexity_limits_or_raise,
    require_json_within_complexity_limits,
)

JsonObject = dict[str, Any]
"""A JSON object whose members depend on the environment: an action, a reply or reset arguments."""

WireReply = JsonObject
"""A reply in the framework's format, with `observation`, `reward` and `done`."""


def move_info_to_metadata_and_format_observation(reply: WireReply) -> str:
    """Move a reply's `info` into its metadata, and return its observation message as a JSON string.

    Args:
        reply: reply in the framework's format, which is changed in place.
    """
    if "info" in reply:
        info = reply.pop("info")
        reply["metadata"] = {**reply.get("metadata", {}), **info}
    return to_json_bytes({"type": "observation", "data": reply}).decode()


def format_typed_message(message_type: str, data: JsonObject) -> str:
    """Return a WebSocket message of the given type as a JSON string."""
    return to_json_bytes({"type": message_type, "data": data}).decode()


def format_error_message(error_text: str, error_code: str, **details: Any) -> str:
    """Return a WebSocket error message as a JSON string.

    Args:
        error_text: description of the error.
        error_code: error code of the framework's protocol.
        details: further members of the message's `data` object.
    """
    return format_typed_message("error", {"message": error_text, "code": error_code, **details})


def build_json_response(
    body: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an HTTP response with a JSON body."""
    return Response(to_json_bytes(body), status, headers, media_type="application/json")


def to_json_bytes(value: object) -> bytes:
    """Serialize a value, which may contain pydantic models, to compact JSON.

    Raises:
        TypeError: the value contains an object that is neither JSON nor a pydantic model.
    """
    try:
        return orjson.dumps(value, default=_convert_model_to_dict)
    except (TypeError, ValueError):
        # orjson rejects integers beyond 64 bits and lone surrogates. Error messages that repeat a
        # client's value can contain them. The standard library is slower, but accepts them.
        return json.dumps(value, default=_convert_model_to_dict, separators=(",", ":")).encode()


def parse_json_within_limits(text: str | bytes) -> Any:
    """Parse a JSON message, and check its nesting depth and the number of its members.

    Raises:
        MessageTooComplexError: the value is nested too deeply or has too many members.
        ValueError: the message is not valid JSON.
    """
    raw_json = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    needs_check = may_exceed_complexity_limits_or_raise(raw_json)
    try:
        value = orjson.loads(text)
    except ValueError:
        # Only the standard library parses NaN and lone surrogates, which clients may send.
        try:
            value = json.loads(text)
        except RecursionError:
            raise MessageTooComplexError(TOO_DEEP_TEXT) from None
    if needs_check:
        require_json_within_complexity_limits(value)
    return value


def _convert_model_to_dict(value: object) -> dict[str, Any]:
    """Return a pydantic model as a dict. The serializer calls this again for each nested model."""
    if isinstance(value, BaseModel):
        if type(value).__pydantic_decorators__.model_serializers:
            return value.model_dump()
        return vars(value)
    raise TypeError(type(value).__name__)
