"""JSON Schemas for agents, and validation errors in words that teach."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from openenv_kit.errors import echo, nearest

MAX_PROBLEMS = 3
"""Problems named in one message; the rest is counted."""
KINDS = {
    "integer": "an integer",
    "number": "a number",
    "string": "text",
    "array": "a list",
    "boolean": "true or false",
    "object": "an object",
    "null": "null",
}
"""What a value of each type of JSON Schema is called."""
COUNTED = {"string": " characters", "array": " entries"}
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
    tidy = _tidy(schema, definitions, vocabulary)
    tidy.pop("description", None)
    tidy.setdefault("properties", {})
    return tidy


def describe_problems(method: str, schema: Mapping[str, Any], error: ValidationError) -> str:
    """What was wrong with the arguments: value given, allowed, nearest match.

    Args:
        method: what was called.
        schema: of its arguments, as `json_schema` makes it.
        error: what validating them found.
    """
    found = error.errors(include_url=False)
    parts = [_problem(schema, each) for each in found[:MAX_PROBLEMS]]
    if len(found) > MAX_PROBLEMS:
        parts.append(f"and {len(found) - MAX_PROBLEMS} more")
    return f"{method}: {'; '.join(parts)}."


def allowed(schema: Mapping[str, Any]) -> str:
    """In words what a value may be: `an integer from 0 to 9`; empty where that is anything."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(filter(None, map(allowed, schema["anyOf"]))))
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    kind = schema.get("type", "")
    low, high = _limit(schema, "min"), _limit(schema, "max")
    if "exclusiveMaximum" in schema:  # of an integer, as in Field(ge=0, lt=64)
        high = str(schema["exclusiveMaximum"] - 1)
    words, unit = KINDS.get(kind, ""), COUNTED.get(kind, "")
    if low and high:
        return f"{words} {'of' if unit else 'from'} {low} to {high}{unit}"
    if low or high:
        return f"{words} of {f'at least {low}' if low else f'at most {high}'}{unit}"
    return words


def _limit(schema: Mapping[str, Any], end: str) -> str:
    """One end of what a schema allows, `min` or `max`; empty where there is none."""
    found = (schema.get(f"{end}{of}") for of in ("imum", "Length", "Items"))
    return next((str(each).removesuffix(".0") for each in found if each is not None), "")


def _problem(schema: Mapping[str, Any], problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    kind, given = problem["type"], problem["input"]
    if kind == "missing":
        return f"the argument {where!r} is required"
    field = _field_at(schema, problem["loc"][:-1] if kind == "extra_forbidden" else problem["loc"])
    if kind == "extra_forbidden":
        names = list(field.get("properties", {}))
        hint = _hint(problem["loc"][-1], names)
        return f"unknown argument {echo(where)}{hint}; allowed: {', '.join(names) or 'none'}"
    known = allowed(field)
    if known and kind != "value_error":
        return f"{where} is {echo(given)}{_hint(given, field.get('enum', ()))}; allowed: {known}"
    reason = problem["msg"].removeprefix("Value error, ")
    return f"{where} is {echo(given)}: {reason[:1].lower()}{reason[1:]}"


def _hint(given: Any, names: Iterable[Any]) -> str:
    guess = nearest(given, map(str, names))
    return f" (did you mean {guess!r}?)" if guess else ""


def _field_at(schema: Mapping[str, Any], path: Sequence[int | str]) -> Mapping[str, Any]:
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


def _tidy(node: Any, definitions: dict[str, Any], vocabulary: object) -> Any:
    if isinstance(node, list):
        return [_tidy(each, definitions, vocabulary) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _tidy(definitions[node["$ref"].rsplit("/", 1)[-1]], definitions, vocabulary)
    out = {
        key: {name: _tidy(value, definitions, vocabulary) for name, value in each.items()}
        if key == "properties"
        else _tidy(each, definitions, vocabulary)
        for key, each in node.items()
        if key not in ("title", "names", "additionalProperties")
    }
    if "names" in node:
        _list_names(out, list(getattr(vocabulary, node["names"])))
    return out


def _list_names(field: dict[str, Any], allowed: list[str]) -> None:
    """Put the allowed names where the text is: in the field, its items, or its alternatives."""
    if field.get("type") == "array":
        field["items"] = {"type": "string", "enum": allowed}
    elif "anyOf" in field:
        for option in field["anyOf"]:
            if option.get("type") == "string":
                option["enum"] = allowed
    else:
        field["enum"] = allowed
