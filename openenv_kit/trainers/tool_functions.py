"""Python functions with the signatures of tools, for libraries that derive schemas from those.

Type hints and Google docstrings are written from each tool's JSON Schema. Libraries that read
pydantic's annotations get the schema itself; the others get the nearest Python type.
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
    """Give a function that takes any keywords the name, signature and docstring of a tool.

    `bound` says that it is a method, which takes `self` first.
    """
    fields, required = tool.parameters.get("properties", {}), tool.parameters.get("required", ())
    # Python wants arguments without a default first.
    names = sorted(fields, key=lambda name: name not in required)
    hints = {
        name: Annotated[_derive_type_hint(fields[name]), WithJsonSchema(fields[name])]
        for name in names
    }
    parameters = [Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)] if is_method else []
    for name, hint in hints.items():
        default = Parameter.empty if name in required else _choose_default_value(fields[name])
        kind = Parameter.POSITIONAL_OR_KEYWORD
        parameters.append(Parameter(name, kind, default=default, annotation=hint))
    helps = [f"    {name}: {_describe_argument(name, fields[name])}" for name in names]
    lines = [tool.description, "", *(["Args:", *helps, ""] if helps else [])]
    function.__doc__ = "\n".join([*lines, "Returns:", "    The answer as one line of JSON."])
    function.__name__ = function.__qualname__ = tool.name
    signature = inspect.Signature(parameters, return_annotation=str)
    function.__signature__ = signature  # type: ignore[attr-defined]
    function.__annotations__ = {**hints, "return": str}


def drop_default_arguments(tool: Tool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments without those that a library filled in from the signature alone."""
    required, fields = tool.parameters.get("required", ()), tool.parameters.get("properties", {})
    return {
        name: value
        for name, value in arguments.items()
        if name in required or "default" in fields.get(name, {}) or value not in (None, [], {})
    }


def _choose_default_value(schema: Mapping[str, Any]) -> Any:
    return schema.get("default", _EMPTY_VALUES.get(schema.get("type", "")))


def _derive_type_hint(schema: Mapping[str, Any]) -> Any:
    """The Python type nearest to a schema; listed names become literals."""
    if "enum" in schema:
        return Literal.__getitem__(tuple(schema["enum"]))
    if "anyOf" in schema:
        return Union[tuple(_derive_type_hint(each) for each in schema["anyOf"])]  # noqa: UP007
    if schema.get("type") == "array":
        return list[_derive_type_hint(schema.get("items", {}))]  # type: ignore[misc]
    return _PYTHON_TYPES.get(schema.get("type", ""), Any)


def _describe_argument(name: str, schema: Mapping[str, Any]) -> str:
    """The description, and what a list's objects hold, which a type hint cannot say."""
    text = schema.get("description") or name.replace("_", " ")
    items = schema.get("items", {})
    inner = items.get("properties")
    if not inner:
        return text
    required = [each for each in inner if each in items.get("required", ())]
    optional = [each for each in inner if each not in required]
    text += f"; each an object with {', '.join(required)}"
    text += f" and optionally {', '.join(optional)}" if optional else ""
    return text + "".join(
        f"; {each} is one of {', '.join(map(str, about['enum']))}"
        for each, about in inner.items()
        if "enum" in about
    )
