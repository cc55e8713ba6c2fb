"""Digests of replies, which are used to compare a replay with the recorded run.

A digest covers the data of a reply and leaves out its prose, so that a recording stays valid when
a message is reworded. Each environment declares the fields that hold prose, as `prose_fields` of
its `Catalogue`.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Collection, Mapping
from typing import Any

from openenv_kit.json_text import canonical_json

_PRIVATE_KEY = secrets.token_bytes(32)
"""Secret of this process. Digests of a table's replies are keyed with it, so that nobody can find
out the table's numbers by comparing digests."""
UNCOMPARED_FIELDS = ("task_id", "metadata")
"""Fields of an observation that may differ between two runs of the same episode."""


def compute_reply_digest(observation: Mapping[str, Any], prose_fields: Collection[str]) -> str:
    """Return the SHA-256 of a reply without its prose, in hexadecimal.

    Args:
        observation: the reply's observation; values may be pydantic models.
        prose_fields: names of the fields to leave out, at any depth.
    """
    data = remove_prose_fields(observation, prose_fields)
    return hashlib.sha256(format_canonical_json_without_empty_fields(data).encode()).hexdigest()


def compute_private_digest(text: str) -> str:
    """Return a hexadecimal digest of a text, keyed with a random secret of this process."""
    return hmac.new(_PRIVATE_KEY, text.encode(), hashlib.sha256).hexdigest()


def format_canonical_json_without_empty_fields(observation: Mapping[str, Any]) -> str:
    """Serialize an observation to canonical JSON without its empty fields.

    Fields whose value is empty, zero or false are left out, so that a default value and a missing
    field give the same result. `UNCOMPARED_FIELDS` are left out too.
    """
    values = {
        name: convert_models_to_dicts(value)
        for name, value in observation.items()
        if name not in UNCOMPARED_FIELDS
    }
    return canonical_json({name: value for name, value in values.items() if value})


def remove_prose_fields(value: Any, prose_fields: Collection[str]) -> Any:
    """Return a value without its prose fields at any depth; pydantic models become dictionaries."""
    value = convert_models_to_dicts(value)
    if isinstance(value, Mapping):
        return {
            name: remove_prose_fields(item, prose_fields)
            for name, item in value.items()
            if name not in prose_fields
        }
    if isinstance(value, list):
        return [remove_prose_fields(item, prose_fields) for item in value]
    return value


def convert_models_to_dicts(value: Any) -> Any:
    """Convert a pydantic model, or the models in a list, to dictionaries."""
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if isinstance(value, list | tuple):
        return [convert_models_to_dicts(item) for item in value]
    return value
