"""Responses of a server over HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple


class JsonReply(NamedTuple):
    """HTTP status and JSON object of a response; empty if the body is not a JSON object."""

    status: int
    body: dict[str, Any]


class RawReply(NamedTuple):
    """An HTTP response whose body has not been parsed.

    Attributes:
        status: HTTP status.
        body: body as it was received.
        retry_after_s: number of seconds in the header `Retry-After`; None if the header is missing
            or contains a date.
    """

    status: int
    body: bytes
    retry_after_s: float | None = None


def parse_json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a body; an empty dictionary if there is none."""
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def extract_error_detail(body: Mapping[str, Any]) -> str:
    """Return the server's description of an error; empty if the body has none."""
    return str(body.get("detail") or body.get("error") or "")
