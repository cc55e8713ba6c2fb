"""JSON Schemas for agents, and validation errors in words that teach."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from openenv_kit.errors import find_nearest_name, truncated_repr

MAX_LISTED_ERRORS = 3
"""Problems named in one message; the rest is counted."""
JSON_TYPE_PHRASES = {
    "integer": "an integer",
    "number": "a number",
    "string": "text",
    "array": "a list",
    "boolean": "true or false",
    "object": "an object",
    "null": "null",
}
"""What a value of each type of JSON Schema is called."""
LENGTH_UNITS = {"string": " characters", "array": " entries"}
"""What the limits of a type count, where they are not of the value itself."""


def json_schema(model: type[BaseModel], vocabulary: object = None) -> dict[str, Any]:
    """JSON Schema of an argument model: self-contained, without titles, names as enums.

    Args:
        model: the model; a field marked `{"names": "metrics"}` takes the names that the
            vocabulary's attribute `metrics` lists.
        vocabulary: holds lists of names; may be None where no field is marked.
    """
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    tidy = _simplify_schema(schema, definitions, vocabulary)
    tidy.pop("description", None)
    tidy.setdefault("properties", {})
    return tidy


def describe_validation_error(
    tool_name: str, schema: Mapping[str, Any], error: ValidationError
) -> str:
    """What was wrong with the arguments: value given, allowed, nearest match.

    Args:
        tool_name: what was called.
        schema: of its arguments, as `json_schema` makes it.
        error: what validating them found.
    """
    found = error.errors(include_url=False)
    parts = [_describe_error(schema, each) for each in found[:MAX_LISTED_ERRORS]]
    if len(found) > MAX_LISTED_ERRORS:
        parts.append(f"and {len(found) - MAX_LISTED_ERRORS} more")
    return f"{tool_name}: {'; '.join(parts)}."


def describe_allowed_values(schema: Mapping[str, Any]) -> str:
    """In words what a value may be: `an integer from 0 to 9`; empty where that is anything."""
    if "anyOf" in schema:
        return " or ".join(
            dict.fromkeys(filter(None, map(describe_allowed_values, schema["anyOf"])))
        )
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    kind = schema.get("type", "")
    low, high = _bound_text(schema, "min"), _bound_text(schema, "max")
    if "exclusiveMaximum" in schema:  # of an integer, as in Field(ge=0, lt=64)
        high = str(schema["exclusiveMaximum"] - 1)
    words, unit = JSON_TYPE_PHRASES.get(kind, ""), LENGTH_UNITS.get(kind, "")
    if low and high:
        return f"{words} {'of' if unit else 'from'} {low} to {high}{unit}"
    if low or high:
        return f"{words} of {f'at least {low}' if low else f'at most {high}'}{unit}"
    return words


def _bound_text(schema: Mapping[str, Any], bound: str) -> str:
    """One end of what a schema allows, `min` or `max`; empty where there is none."""
    found = (schema.get(f"{bound}{of}") for of in ("imum", "Length", "Items"))
    return next((str(each).removesuffix(".0") for each in found if each is not None), "")


def _describe_error(schema: Mapping[str, Any], error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    kind, given = error["type"], error["input"]
    if kind == "missing":
        return f"the argument {where!r} is required"
    field = _subschema_at(schema, error["loc"][:-1] if kind == "extra_forbidden" else error["loc"])
    if kind == "extra_forbidden":
        names = list(field.get("properties", {}))
        hint = _nearest_name_hint(error["loc"][-1], names)
        return (
            f"unknown argument {truncated_repr(where)}{hint}; allowed: {', '.join(names) or 'none'}"
        )
    known = describe_allowed_values(field)
    if known and kind != "value_error":
        hint = _nearest_name_hint(given, field.get("enum", ()))
        return f"{where} is {truncated_repr(given)}{hint}; allowed: {known}"
    reason = error["msg"].removeprefix("Value error, ")
    return f"{where} is {truncated_repr(given)}: {reason[:1].lower()}{reason[1:]}"


def _nearest_name_hint(value: Any, names: Iterable[Any]) -> str:
    guess = find_nearest_name(value, map(str, names))
    return f" (did you mean {guess!r}?)" if guess else ""


def _subschema_at(schema: Mapping[str, Any], path: Sequence[int | str]) -> Mapping[str, Any]:
    """The part of a schema that a path leads to; a part that names an alternative leads nowhere."""
    for part in path:
        for each in (schema, *schema.get("anyOf", ())):
            below = (
                each.get("items") if isinstance(part, int) else each.get("properties", {}).get(part)
            )
            if below is not None:
                schema = below
                break
    return schema


def _simplify_schema(node: Any, definitions: dict[str, Any], vocabulary: object) -> Any:
    if isinstance(node, list):
        return [_simplify_schema(each, definitions, vocabulary) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _simplify_schema(
            definitions[node["$ref"].rsplit("/", 1)[-1]], definitions, vocabulary
        )
    out = {
        key: {
            name: _simplify_schema(value, definitions, vocabulary) for name, value in each.items()
        }
        if key == "properties"
        else _simplify_schema(each, definitions, vocabulary)
        for key, each in node.items()
        if key not in ("title", "names", "additionalProperties")
    }
    if "names" in node:
        _set_allowed_names(out, list(getattr(vocabulary, node["names"])))
    return out


def _set_allowed_names(field_schema: dict[str, Any], allowed_names: list[str]) -> None:
    """Put the allowed names where the text is: in the field, its items, or its alternatives."""
    if field_schema.get("type") == "array":
        field_schema["items"] = {"type": "string", "enum": allowed_names}
    elif "anyOf" in field_schema:
        for option in field_schema["anyOf"]:
            if option.get("type") == "string":
                option["enum"] = allowed_names
    else:
        field_schema["enum"] = allowed_names
