"""Reads the arguments of a tool call in every form in which servers send them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from openenv_kit.agent.text_repair import repair_json_surrogates
from openenv_kit.errors import ToolArgumentError, truncated_repr

MAX_DECODINGS = 3
"""How often arguments may have been encoded as JSON, one inside another."""

JsonSchema = Mapping[str, Any]


def parse_tool_arguments(
    tool_name: str, raw_arguments: Any, schema: JsonSchema | None = None
) -> dict[str, Any]:
    """Return the arguments of a tool call as an object.

    Args:
        tool_name: of the tool, for errors.
        raw_arguments: a JSON object, text that holds one (perhaps encoded more than once), or
            nothing: None, an empty text or `null`.
        schema: of the tool's arguments; a text where it declares another type is decoded.

    Raises:
        ToolArgumentError: not a JSON object; says where it breaks.
    """
    found = raw_arguments
    for number in range(MAX_DECODINGS):
        if not isinstance(found, str):
            break
        try:
            found = json.loads(found) if found.strip() else {}
        except (ValueError, RecursionError) as problem:
            if number:  # the text inside is an ordinary text
                break
            raise ToolArgumentError(
                f"{tool_name}: the arguments are not JSON ({problem}); allowed: one JSON object. "
                "Nothing was run."
            ) from None
    if found is None:
        found = {}
    if not isinstance(found, dict):
        raise ToolArgumentError(
            f"{tool_name}: the arguments are {truncated_repr(found)}; allowed: one JSON object."
        )
    return dict(repair_json_surrogates(decode_by_schema(found, schema or {})))


def decode_by_schema(value: Any, schema: JsonSchema) -> Any:
    """Return a value with texts decoded where the schema declares another type than a string."""
    variants = _list_schema_alternatives(schema)
    types = {declared for variant in variants for declared in _list_declared_types(variant)}
    if isinstance(value, str) and types and "string" not in types:
        decoded = _decode_json_or_text(value)
        if any(_has_json_type(decoded, declared) for declared in types):
            value = decoded
    fitting = [
        v for v in variants if any(_has_json_type(value, each) for each in _list_declared_types(v))
    ]
    chosen: JsonSchema = fitting[0] if fitting else {}
    if isinstance(value, dict):
        properties: JsonSchema = chosen.get("properties") or {}
        return {n: decode_by_schema(item, properties.get(n) or {}) for n, item in value.items()}
    if isinstance(value, list):
        items = chosen.get("items")
        return [decode_by_schema(item, items if isinstance(items, dict) else {}) for item in value]
    return value


def _list_schema_alternatives(schema: JsonSchema) -> list[JsonSchema]:
    """Return the alternatives that a schema declares, or the schema itself."""
    return [*schema.get("anyOf", ()), *schema.get("oneOf", ())] or [schema]


def _list_declared_types(schema: JsonSchema) -> set[str]:
    declared = schema.get("type")
    if declared is None and any(isinstance(each, str) for each in schema.get("enum", ())):
        return {"string"}
    return {declared} if isinstance(declared, str) else set(declared or ())


def _decode_json_or_text(text: str) -> Any:
    """Return the JSON value in a text; the text itself where it is not JSON."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(found, float) and not math.isfinite(found) else found


def _has_json_type(value: Any, json_type: str) -> bool:
    """Whether a decoded JSON value is of a type of JSON Schema."""
    if isinstance(value, bool):
        return json_type == "boolean"
    types: dict[str, type | tuple[type, ...]] = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "null": type(None),
    }
    return json_type in types and isinstance(value, types[json_type])
