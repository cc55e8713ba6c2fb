"""Parses the arguments of a tool call, in every format that endpoints send."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from openenv_kit.agent.text_repair import repair_json_surrogates
from openenv_kit.errors import ToolArgumentError, truncated_repr

MAX_DECODINGS = 3
"""Largest number of nested JSON encodings: some endpoints send JSON inside a JSON string."""

JsonSchema = Mapping[str, Any]


def parse_tool_arguments(
    tool_name: str, raw_arguments: Any, schema: JsonSchema | None = None
) -> dict[str, Any]:
    """Return the arguments of a tool call as a JSON object.

    Args:
        tool_name: name of the tool, for errors.
        raw_arguments: an object, or an object as a JSON string (possibly encoded more than once).
            None, an empty string and `null` mean that there are no arguments.
        schema: schema of the tool's arguments. Strings are decoded as JSON where the schema
            declares a type other than string.

    Raises:
        ToolArgumentError: the arguments are not a JSON object. The message contains the position of
            a syntax error.
    """
    arguments = raw_arguments
    for decoding in range(MAX_DECODINGS):
        if not isinstance(arguments, str):
            break
        try:
            arguments = json.loads(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError) as problem:
            if decoding > 0:  # the decoded value is an ordinary string, which is rejected below
                break
            raise ToolArgumentError(
                f"{tool_name}: the arguments are not JSON ({problem}); allowed: one JSON object. "
                "Nothing was run."
            ) from None
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        raise ToolArgumentError(
            f"{tool_name}: the arguments are {truncated_repr(arguments)}; allowed: one JSON object."
        )
    return dict(repair_json_surrogates(decode_json_strings_by_schema(arguments, schema or {})))


def decode_json_strings_by_schema(value: Any, schema: JsonSchema) -> Any:
    """Decode strings as JSON where the schema declares a type other than string."""
    alternatives = _list_schema_alternatives(schema)
    types = {json_type for each in alternatives for json_type in _list_declared_types(each)}
    if isinstance(value, str) and types and "string" not in types:
        decoded = _decode_json_or_text(value)
        if _has_any_json_type(decoded, types):
            value = decoded
    matching_schema: JsonSchema = next(
        (each for each in alternatives if _has_any_json_type(value, _list_declared_types(each))), {}
    )
    if isinstance(value, dict):
        properties: JsonSchema = matching_schema.get("properties") or {}
        return {
            name: decode_json_strings_by_schema(item, properties.get(name) or {})
            for name, item in value.items()
        }
    if isinstance(value, list):
        items = matching_schema.get("items")
        item_schema = items if isinstance(items, dict) else {}
        return [decode_json_strings_by_schema(item, item_schema) for item in value]
    return value


def _list_schema_alternatives(schema: JsonSchema) -> list[JsonSchema]:
    """Return the schemas in `anyOf` and `oneOf`, or the schema itself if it has neither."""
    return [*schema.get("anyOf", ()), *schema.get("oneOf", ())] or [schema]


def _list_declared_types(schema: JsonSchema) -> set[str]:
    """Return the names of the JSON types that a schema allows; empty if it declares no type."""
    types = schema.get("type")
    if types is None and any(isinstance(choice, str) for choice in schema.get("enum", ())):
        return {"string"}
    return {types} if isinstance(types, str) else set(types or ())


def _decode_json_or_text(text: str) -> Any:
    """Decode a string as JSON; return the string itself if it is not JSON."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    # Python also accepts NaN and Infinity, which are not valid JSON.
    return text if isinstance(value, float) and not math.isfinite(value) else value


def _has_any_json_type(value: Any, json_types: Iterable[str]) -> bool:
    return any(_has_json_type(value, json_type) for json_type in json_types)


def _has_json_type(value: Any, json_type: str) -> bool:
    """Return whether a decoded JSON value has a type of JSON Schema, such as `integer`."""
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
