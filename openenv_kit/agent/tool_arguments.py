"""Reads the arguments of a tool call in every form in which servers send them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from openenv_kit.agent.text_repair import repair_value
from openenv_kit.errors import ToolArgumentError, echo

MAX_DECODINGS = 3
"""How often arguments may have been encoded as JSON, one inside another."""

Schema = Mapping[str, Any]


def read_arguments(name: str, given: Any, schema: Schema | None = None) -> dict[str, Any]:
    """Return the arguments of a tool call as an object.

    Args:
        name: of the tool, for errors.
        given: a JSON object, text that holds one (perhaps encoded more than once), or nothing:
            None, an empty text or `null`.
        schema: of the tool's arguments; a text where it declares another type is decoded.

    Raises:
        ToolArgumentError: not a JSON object; says where it breaks.
    """
    found = given
    for number in range(MAX_DECODINGS):
        if not isinstance(found, str):
            break
        try:
            found = json.loads(found) if found.strip() else {}
        except (ValueError, RecursionError) as problem:
            if number:  # the text inside is an ordinary text
                break
            raise ToolArgumentError(
                f"{name}: the arguments are not JSON ({problem}); allowed: one JSON object. "
                "Nothing was run."
            ) from None
    if found is None:
        found = {}
    if not isinstance(found, dict):
        raise ToolArgumentError(
            f"{name}: the arguments are {echo(found)}; allowed: one JSON object."
        )
    return dict(repair_value(decode_by_schema(found, schema or {})))


def decode_by_schema(value: Any, schema: Schema) -> Any:
    """Return a value with texts decoded where the schema declares another type than a string."""
    variants = _variants(schema)
    types = {declared for variant in variants for declared in _declared_types(variant)}
    if isinstance(value, str) and types and "string" not in types:
        decoded = _decoded(value)
        if any(_has_type(decoded, declared) for declared in types):
            value = decoded
    fitting = [v for v in variants if any(_has_type(value, each) for each in _declared_types(v))]
    chosen: Schema = fitting[0] if fitting else {}
    if isinstance(value, dict):
        properties: Schema = chosen.get("properties") or {}
        return {n: decode_by_schema(item, properties.get(n) or {}) for n, item in value.items()}
    if isinstance(value, list):
        items = chosen.get("items")
        return [decode_by_schema(item, items if isinstance(items, dict) else {}) for item in value]
    return value


def _variants(schema: Schema) -> list[Schema]:
    """Return the alternatives that a schema declares, or the schema itself."""
    return [*schema.get("anyOf", ()), *schema.get("oneOf", ())] or [schema]


def _declared_types(schema: Schema) -> set[str]:
    declared = schema.get("type")
    if declared is None and any(isinstance(each, str) for each in schema.get("enum", ())):
        return {"string"}
    return {declared} if isinstance(declared, str) else set(declared or ())


def _decoded(text: str) -> Any:
    """Return the JSON value in a text; the text itself where it is not JSON."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(found, float) and not math.isfinite(found) else found


def _has_type(value: Any, declared: str) -> bool:
    """Whether a decoded JSON value is of a type of JSON Schema."""
    if isinstance(value, bool):
        return declared == "boolean"
    types: dict[str, type | tuple[type, ...]] = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "null": type(None),
    }
    return declared in types and isinstance(value, types[declared])
