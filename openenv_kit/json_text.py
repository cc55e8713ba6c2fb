"""Serialization to JSON in two forms: compact and canonical."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


def compact_json(
    value: Any,
    *,
    ascii_only: bool = True,
    default: Callable[[Any], Any] | None = None,
) -> str:
    """Serialize a value to JSON on one line, without spaces.

    Args:
        value: the value. Pydantic models become objects.
        ascii_only: whether non-ASCII characters are written as escape sequences.
        default: converts a value that JSON does not support; by default, only pydantic models are
            converted.
    """
    return json.dumps(
        value,
        separators=(",", ":"),
        ensure_ascii=ascii_only,
        default=_dump_pydantic_model if default is None else default,
    )


def canonical_json(value: Any) -> str:
    """Serialize a value to ASCII JSON with sorted keys, so that equal values give equal strings."""
    return _CANONICAL_ENCODER.encode(value)


# The encoder is shared, because creating one takes longer than encoding a small value.
_CANONICAL_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def _dump_pydantic_model(value: Any) -> Any:
    return value.model_dump()
