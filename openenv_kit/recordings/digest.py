"""Digests of replies, which show whether a replay gives the recorded replies.

A digest covers the data of a reply and leaves out its prose, so that a recording stays valid when
a message is reworded. Each environment declares the fields that hold prose, as `prose_fields` of
its `Catalogue`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

from openenv_kit.json_text import canonical_json

UNCOMPARED_FIELDS = ("task_id", "metadata")
"""Fields of an observation that may differ between two runs of the same episode."""


def compute_reply_digest(observation: Mapping[str, Any], prose_fields: Collection[str]) -> str:
    """Return the SHA-256 of the data of a reply, in hexadecimal.

    Args:
        observation: the reply's observation; values may be pydantic models.
        prose_fields: names of the fields to leave out, at any depth.
    """
    data = remove_prose_fields(observation, prose_fields)
    return hashlib.sha256(canonical_observation_json(data).encode()).hexdigest()


def canonical_observation_json(observation: Mapping[str, Any]) -> str:
    """Return an observation as canonical JSON.

    `UNCOMPARED_FIELDS` and fields whose value is empty, zero or false are left out, so that a
    field with its default and a missing field give the same text.
    """
    values = {
        name: convert_models_to_dicts(value)
        for name, value in observation.items()
        if name not in UNCOMPARED_FIELDS
    }
    return canonical_json({name: value for name, value in values.items() if value})


def remove_prose_fields(value: Any, prose_fields: Collection[str]) -> Any:
    """Return a part of an observation without its prose; pydantic models become dictionaries."""
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
    """Return a value of an observation with its pydantic models as dictionaries."""
    if hasattr(value, "model_dump"):
        return value.model_dump()
    if isinstance(value, list | tuple):
        return [convert_models_to_dicts(item) for item in value]
    return value
