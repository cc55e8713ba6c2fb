"""JSON Schemas for agents, and validation errors in words that teach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from openenv_kit.errors import ToolArgumentError, echo, nearest

ModelT = TypeVar("ModelT", bound=BaseModel)

MAX_PROBLEMS = 3
"""Problems named in one message; the rest is counted."""


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


def read_arguments(name: str, model: type[ModelT], raw: object, called: str) -> ModelT:
    """A tool's arguments, validated.

    Args:
        name: of the tool.
        model: of its arguments.
        raw: as they arrived.
        called: what the field that they arrived in is called.

    Raises:
        ToolArgumentError: says which is wrong, what is allowed and the nearest.
    """
    if not isinstance(raw, Mapping):
        raise ToolArgumentError(f"{called} of {name} is {echo(raw)}; allowed: an object.")
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise ToolArgumentError(describe_problems(name, model, error)) from None


def describe_problems(method: str, model: type[BaseModel], error: ValidationError) -> str:
    """What was wrong with the arguments: value given, allowed, nearest match."""
    found = error.errors(include_url=False)
    parts = [_problem(model, each) for each in found[:MAX_PROBLEMS]]
    if len(found) > MAX_PROBLEMS:
        parts.append(f"and {len(found) - MAX_PROBLEMS} more")
    return f"{method}: {'; '.join(parts)}."


def _problem(model: type[BaseModel], problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    kind, given = problem["type"], problem["input"]
    if kind == "missing":
        return f"the argument {where!r} is required"
    if kind == "extra_forbidden":
        allowed = list(_model_at(model, problem["loc"]).model_fields)
        guess = nearest(problem["loc"][-1], allowed)
        hint = f" (did you mean {guess!r}?)" if guess else ""
        return f"unknown argument {echo(where)}{hint}; allowed: {', '.join(allowed) or 'none'}"
    reason = problem["msg"].removeprefix("Value error, ")
    guess = nearest(given, _choices(problem)) if kind == "literal_error" else None
    hint = f" (did you mean {guess!r}?)" if guess else ""
    return f"{where} is {echo(given)}{hint}: {reason[:1].lower()}{reason[1:]}"


def _model_at(model: type[BaseModel], path: Sequence[int | str]) -> type[BaseModel]:
    """The model that the last part of a path is a field of; models nest in fields and lists."""
    for part in path[:-1]:
        if isinstance(part, str) and part in model.model_fields:
            annotation = model.model_fields[part].annotation
            for each in (annotation, *get_args(annotation)):
                if isinstance(each, type) and issubclass(each, BaseModel):
                    model = each
    return model


def _choices(problem: Any) -> list[str]:
    """Allowed values of a literal error, which pydantic gives as quoted text."""
    return str(problem.get("ctx", {}).get("expected", "")).replace(" or ", ", ").split("'")[1::2]


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
