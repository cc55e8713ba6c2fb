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
_TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "object": dict,
    "null": None,
}
_EMPTY: dict[str, Any] = {"array": [], "object": {}}


def dress(function: Callable[..., Any], tool: Tool, *, bound: bool = False) -> None:
    """Give a function that takes any keywords the name, signature and docstring of a tool.

    `bound` says that it is a method, which takes `self` first.
    """
    fields, required = tool.parameters.get("properties", {}), tool.parameters.get("required", ())
    # Python wants arguments without a default first.
    names = sorted(fields, key=lambda name: name not in required)
    hints = {name: Annotated[_hint(fields[name]), WithJsonSchema(fields[name])] for name in names}
    parameters = [Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)] if bound else []
    for name, hint in hints.items():
        default = Parameter.empty if name in required else _default(fields[name])
        kind = Parameter.POSITIONAL_OR_KEYWORD
        parameters.append(Parameter(name, kind, default=default, annotation=hint))
    helps = [f"    {name}: {_help(name, fields[name])}" for name in names]
    lines = [tool.description, "", *(["Args:", *helps, ""] if helps else [])]
    function.__doc__ = "\n".join([*lines, "Returns:", "    The answer as one line of JSON."])
    function.__name__ = function.__qualname__ = tool.name
    signature = inspect.Signature(parameters, return_annotation=str)
    function.__signature__ = signature  # type: ignore[attr-defined]
    function.__annotations__ = {**hints, "return": str}


def given(tool: Tool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments without those that a library filled in from the signature alone."""
    required, fields = tool.parameters.get("required", ()), tool.parameters.get("properties", {})
    return {
        name: value
        for name, value in arguments.items()
        if name in required or "default" in fields.get(name, {}) or value not in (None, [], {})
    }


def _default(field: Mapping[str, Any]) -> Any:
    return field.get("default", _EMPTY.get(field.get("type", "")))


def _hint(field: Mapping[str, Any]) -> Any:
    """The Python type nearest to a schema; listed names become literals."""
    if "enum" in field:
        return Literal.__getitem__(tuple(field["enum"]))
    if "anyOf" in field:
        return Union[tuple(_hint(each) for each in field["anyOf"])]  # noqa: UP007
    if field.get("type") == "array":
        return list[_hint(field.get("items", {}))]  # type: ignore[misc]
    return _TYPES.get(field.get("type", ""), Any)


def _help(name: str, field: Mapping[str, Any]) -> str:
    """The description, and what a list's objects hold, which a type hint cannot say."""
    text = field.get("description") or name.replace("_", " ")
    items = field.get("items", {})
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
