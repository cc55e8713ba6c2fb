"""JSON schemas of tool arguments, and messages about arguments that violate them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from openenv_kit.errors import find_nearest_name, truncated_repr

MAX_LISTED_ERRORS = 3
"""Largest number of problems that one message describes; the others are only counted."""
JSON_TYPE_PHRASES = {
    "integer": "an integer",
    "number": "a number",
    "string": "text",
    "array": "a list",
    "boolean": "true or false",
    "object": "an object",
    "null": "null",
}
"""Description of each JSON Schema type in error messages."""
LENGTH_UNITS = {"string": " characters", "array": " entries"}
"""Unit of length limits, by JSON Schema type."""
MINIMUM_KEYS = ("minimum", "minLength", "minItems")
MAXIMUM_KEYS = ("maximum", "maxLength", "maxItems")
REMOVED_SCHEMA_KEYS = ("title", "names", "additionalProperties")
"""Keys that are removed from a pydantic model's JSON schema."""


def build_arguments_schema(model: type[BaseModel], vocabulary: object = None) -> dict[str, Any]:
    """Return the JSON schema of an argument model, without references and titles.

    Args:
        model: the argument model. A field with `json_schema_extra={"names": "metrics"}` accepts
            only the names in `vocabulary.metrics`.
        vocabulary: object whose attributes are lists of names; None if no field needs it.
    """
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    simplified = _resolve_and_simplify_schema(schema, definitions, vocabulary)
    simplified.pop("description", None)
    simplified.setdefault("properties", {})
    return simplified


def describe_validation_error(
    tool_name: str, schema: Mapping[str, Any], error: ValidationError
) -> str:
    """Return an error message with the value and the allowed values of each invalid argument.

    Args:
        tool_name: name of the tool.
        schema: schema of the tool's arguments, as `build_arguments_schema` returns it.
        error: pydantic's error for the arguments.
    """
    problems = error.errors(include_url=False)
    descriptions = [
        _describe_argument_problem(schema, problem) for problem in problems[:MAX_LISTED_ERRORS]
    ]
    if len(problems) > MAX_LISTED_ERRORS:
        descriptions.append(f"and {len(problems) - MAX_LISTED_ERRORS} more")
    return f"{tool_name}: {'; '.join(descriptions)}."


def describe_allowed_values(schema: Mapping[str, Any]) -> str:
    """Describe the allowed values, such as `an integer from 0 to 9`; empty if all are allowed."""
    if "anyOf" in schema:
        alternatives = filter(None, map(describe_allowed_values, schema["anyOf"]))
        return " or ".join(dict.fromkeys(alternatives))
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    json_type = schema.get("type", "")
    phrase, unit = JSON_TYPE_PHRASES.get(json_type, ""), LENGTH_UNITS.get(json_type, "")
    low, high = (
        _format_first_set_limit(schema, MINIMUM_KEYS),
        _format_first_set_limit(schema, MAXIMUM_KEYS),
    )
    if "exclusiveMaximum" in schema:  # only set for integers, as in Field(ge=0, lt=64)
        high = str(schema["exclusiveMaximum"] - 1)
    if low and high and unit:
        return f"{phrase} of {low} to {high}{unit}"
    if low and high:
        return f"{phrase} from {low} to {high}"
    if low:
        return f"{phrase} of at least {low}{unit}"
    if high:
        return f"{phrase} of at most {high}{unit}"
    return phrase


def _format_first_set_limit(schema: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Return the value of the first key that a schema sets, as a string; empty if none is set."""
    for key in keys:
        if schema.get(key) is not None:
            return str(schema[key]).removesuffix(".0")
    return ""


def _describe_argument_problem(schema: Mapping[str, Any], problem: ErrorDetails) -> str:
    path, value = problem["loc"], problem["input"]
    name = ".".join(str(part) for part in path)
    if problem["type"] == "missing":
        return f"the argument {name!r} is required"
    if problem["type"] == "extra_forbidden":
        allowed_names = list(_find_subschema_at_path(schema, path[:-1]).get("properties", {}))
        hint = _build_nearest_name_hint(path[-1], allowed_names)
        allowed = ", ".join(allowed_names) or "none"
        return f"unknown argument {truncated_repr(name)}{hint}; allowed: {allowed}"
    field_schema = _find_subschema_at_path(schema, path)
    allowed = describe_allowed_values(field_schema)
    if allowed and problem["type"] != "value_error":
        hint = _build_nearest_name_hint(value, field_schema.get("enum", ()))
        return f"{name} is {truncated_repr(value)}{hint}; allowed: {allowed}"
    reason = problem["msg"].removeprefix("Value error, ")
    return f"{name} is {truncated_repr(value)}: {reason[:1].lower()}{reason[1:]}"


def _build_nearest_name_hint(value: Any, names: Iterable[Any]) -> str:
    guess = find_nearest_name(value, map(str, names))
    return f" (did you mean {guess!r}?)" if guess else ""


def _find_subschema_at_path(
    schema: Mapping[str, Any], path: Sequence[int | str]
) -> Mapping[str, Any]:
    """Return the subschema at the path of a validation error.

    Parts of the path that pydantic adds for the members of a union are skipped, because every
    member is searched.
    """
    for part in path:
        for alternative in (schema, *schema.get("anyOf", ())):
            if isinstance(part, int):
                subschema = alternative.get("items")
            else:
                subschema = alternative.get("properties", {}).get(part)
            if subschema is not None:
                schema = subschema
                break
    return schema


def _resolve_and_simplify_schema(node: Any, definitions: dict[str, Any], vocabulary: object) -> Any:
    """Resolve references, remove unused keys and insert the allowed names into a schema part."""
    if isinstance(node, list):
        return [_resolve_and_simplify_schema(item, definitions, vocabulary) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        definition = definitions[node["$ref"].rsplit("/", 1)[-1]]
        return _resolve_and_simplify_schema(definition, definitions, vocabulary)
    simplified: dict[str, Any] = {}
    for key, value in node.items():
        if key == "properties":  # an argument may have the name of a removed key
            simplified[key] = {
                name: _resolve_and_simplify_schema(property_schema, definitions, vocabulary)
                for name, property_schema in value.items()
            }
        elif key not in REMOVED_SCHEMA_KEYS:
            simplified[key] = _resolve_and_simplify_schema(value, definitions, vocabulary)
    if "names" in node:
        _restrict_field_to_allowed_names(simplified, list(getattr(vocabulary, node["names"])))
    return simplified


def _restrict_field_to_allowed_names(
    field_schema: dict[str, Any], allowed_names: list[str]
) -> None:
    """Restrict a string field, or the strings in its items or alternatives, to allowed names."""
    if field_schema.get("type") == "array":
        field_schema["items"] = {"type": "string", "enum": allowed_names}
    elif "anyOf" in field_schema:
        for alternative in field_schema["anyOf"]:
            if alternative.get("type") == "string":
                alternative["enum"] = allowed_names
    else:
        field_schema["enum"] = allowed_names
