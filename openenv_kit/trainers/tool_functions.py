"""Sets the signatures of Python functions, from which libraries derive the schemas of tools.

Type hints and Google-style docstrings are built from each tool's JSON Schema. Libraries that
use pydantic annotations read the schema itself; other libraries read the closest Python type.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Union

from pydantic import WithJsonSchema

from openenv_kit.tool import Tool

Parameter = inspect.Parameter
_PYTHON_TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "object": dict,
    "null": None,
}
_EMPTY_VALUES: dict[str, Any] = {"array": [], "object": {}}


def set_tool_signature(
    function: Callable[..., Any], tool: Tool, *, is_method: bool = False
) -> None:
    """Give a function the name, signature and docstring of a tool.

    Args:
        function: function that accepts any keyword arguments.
        tool: the tool.
        is_method: whether the function is a method, whose first parameter is `self`.
    """
    schemas = tool.parameters.get("properties", {})
    required = tool.parameters.get("required", ())
    # In Python, parameters without a default come first.
    names = sorted(schemas, key=lambda name: name not in required)
    hints = {
        name: Annotated[_derive_python_type_of_schema(schemas[name]), WithJsonSchema(schemas[name])]
        for name in names
    }
    parameters = [Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)] if is_method else []
    for name, hint in hints.items():
        default = (
            Parameter.empty
            if name in required
            else _choose_default_for_optional_argument(schemas[name])
        )
        kind = Parameter.POSITIONAL_OR_KEYWORD
        parameters.append(Parameter(name, kind, default=default, annotation=hint))
    lines = [tool.description, ""]
    if names:
        descriptions = [
            f"    {name}: {_describe_argument_with_item_fields(name, schemas[name])}"
            for name in names
        ]
        lines += ["Args:", *descriptions, ""]
    lines += ["Returns:", "    The answer as one line of JSON."]
    function.__doc__ = "\n".join(lines)
    function.__name__ = function.__qualname__ = tool.name
    signature = inspect.Signature(parameters, return_annotation=str)
    function.__signature__ = signature  # type: ignore[attr-defined]
    function.__annotations__ = {**hints, "return": str}


def drop_empty_arguments_added_by_library(
    tool: Tool, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Drop empty argument values that a library added to a tool call.

    Libraries add a value for each optional parameter of the signature. Such a value is removed if
    the tool's schema declares no default.
    """
    required = tool.parameters.get("required", ())
    schemas = tool.parameters.get("properties", {})
    return {
        name: value
        for name, value in arguments.items()
        if name in required or "default" in schemas.get(name, {}) or value not in (None, [], {})
    }


def _choose_default_for_optional_argument(schema: Mapping[str, Any]) -> Any:
    return schema.get("default", _EMPTY_VALUES.get(schema.get("type", "")))


def _derive_python_type_of_schema(schema: Mapping[str, Any]) -> Any:
    """Return the closest Python type for a schema; an enum becomes a `Literal`."""
    if "enum" in schema:
        return Literal.__getitem__(tuple(schema["enum"]))
    if "anyOf" in schema:
        return Union[tuple(_derive_python_type_of_schema(each) for each in schema["anyOf"])]  # noqa: UP007
    if schema.get("type") == "array":
        return list[_derive_python_type_of_schema(schema.get("items", {}))]  # type: ignore[misc]
    return _PYTHON_TYPES.get(schema.get("type", ""), Any)


def _describe_argument_with_item_fields(name: str, schema: Mapping[str, Any]) -> str:
    """Return the description of an argument.

    For a list of objects, it includes the fields of the objects, which type hints cannot express.
    """
    text = schema.get("description") or name.replace("_", " ")
    item_schema = schema.get("items", {})
    fields = item_schema.get("properties")
    if not fields:
        return text
    required = [field for field in fields if field in item_schema.get("required", ())]
    optional = [field for field in fields if field not in required]
    text += f"; each an object with {', '.join(required)}"
    if optional:
        text += f" and optionally {', '.join(optional)}"
    for field, field_schema in fields.items():
        if "enum" in field_schema:
            text += f"; {field} is one of {', '.join(map(str, field_schema['enum']))}"
    return text
