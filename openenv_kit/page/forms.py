"""Input forms made from the JSON Schemas of tools.

Tools with the same schema share a form. A new tool, or a new argument, needs no line here; the
kind of input is chosen by the shape of the argument's schema.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from openenv_kit.errors import InvalidValueError, ToolArgumentError, echo
from openenv_kit.page.layout import code_box, html
from openenv_kit.page.markup import hint, words
from openenv_kit.page.state import Visitor
from openenv_kit.tools.catalogue import ToolSpec

Schema = Mapping[str, Any]
Read = Callable[[Any, Any], Any]
"""Turns an input's value into the argument, given the visitor; `OMIT` where it is not sent."""
OMIT = object()


@dataclass(frozen=True)
class Field:
    """One argument: its input, and how the input's value becomes the argument.

    Attributes:
        update: what the input becomes when a visitor's play has moved on; None for no change.
    """

    name: str
    component: Any
    read: Read
    update: Callable[[Any], Any] | None = None


MakeField = Callable[[str, Schema, dict[str, Any]], Field | None]
"""Makes an input of the environment's own from an argument's name, schema and the options that
all inputs take (`label`, `info`); None where the plain one will do."""


@dataclass(frozen=True)
class Form:
    """The inputs of some tools that take the same arguments, in a group that can be hidden."""

    tools: tuple[str, ...]
    group: gr.Column
    fields: Sequence[Field]

    def arguments(self, values: Sequence[Any], visitor: Visitor) -> dict[str, Any]:
        """The arguments of a call, from the inputs' values.

        Raises:
            ToolArgumentError: an input that takes JSON holds something else.
        """
        read = {f.name: f.read(v, visitor) for f, v in zip(self.fields, values, strict=True)}
        return {name: value for name, value in read.items() if value is not OMIT}


def build_forms(
    tools: Sequence[ToolSpec], first: str, make: MakeField = lambda *_: None
) -> list[Form]:
    """One form for every schema; only that of the tool `first` is visible."""
    names: dict[str, list[str]] = {}
    for tool in tools:
        names.setdefault(json.dumps(tool.parameters, sort_keys=True), []).append(tool.name)
    by_name = {tool.name: tool.parameters for tool in tools}
    return [_form(tuple(each), by_name[each[0]], first, make) for each in names.values()]


def _form(names: tuple[str, ...], schema: Schema, first: str, make: MakeField) -> Form:
    properties, required = schema.get("properties", {}), schema.get("required", ())
    with gr.Column(
        visible=first in names, elem_classes="mt-form", elem_id=f"mt-form-{names[0]}"
    ) as group:
        if not properties:
            html(hint("No arguments."))
        fields = [_field(name, each, name in required, make) for name, each in properties.items()]
    return Form(names, group, fields)


def _field(name: str, schema: Schema, required: bool, make: MakeField) -> Field:
    plain: Schema = next((o for o in schema.get("anyOf", []) if o.get("type") != "null"), {})
    schema = {**plain, **schema}
    label = words(name) + ("" if required else " (optional)")
    shared: dict[str, Any] = {"label": label, "info": schema.get("description")}
    kind, items, default = schema.get("type"), schema.get("items", {}), schema.get("default")
    own = make(name, schema, shared)
    if own is not None:
        return own
    if "enum" in schema:
        if required and "default" not in schema:
            default = schema["enum"][0]
        choices = schema["enum"] if required or default else ["", *schema["enum"]]
        return Field(name, gr.Dropdown(choices, value=default, **shared), as_given)
    if kind in ("integer", "number"):
        if required and "default" not in schema:
            default = schema.get("minimum", 0)
        if default is None:
            return Field(name, gr.Textbox(**_bounded(schema, shared)), _typed_number(name, kind))
        return Field(name, number_input(default, schema, shared), number(kind))
    if kind == "boolean":
        choices = [("yes", True), ("no", False), *([] if required else [("", None)])]
        given = schema.get("default", False if required else None)
        return Field(name, gr.Dropdown(choices, value=given, **shared), as_given)
    if kind == "array" and "enum" in items:
        return Field(name, gr.Dropdown(items["enum"], multiselect=True, **shared), as_list)
    if kind in ("array", "object") or not kind:
        example = [_example(items)] if kind == "array" else _example(schema)
        typed = json.dumps(example, indent=1) if required else ""
        return Field(name, code_box(typed, label=f"{label}, as JSON"), _json(name))
    return Field(name, gr.Textbox(**shared), as_given)


def number_input(
    value: float | None, schema: Schema, shared: Mapping[str, Any], step: float = 1
) -> gr.Number:
    """An input for a number.

    Its bounds are shown and not enforced: Gradio sends every form with every call, and would
    refuse them all for one value out of bounds. The environment refuses that value alone, by name.
    """
    return gr.Number(value, step=step, **_bounded(schema, shared))


def _bounded(schema: Schema, shared: Mapping[str, Any]) -> dict[str, Any]:
    """The options that all inputs take, with a number's bounds in the help text."""
    bounds = {"at least": schema.get("minimum"), "at most": schema.get("maximum")}
    told = [f"{words} {bound:g}" for words, bound in bounds.items() if bound is not None]
    return {**shared, "info": "; ".join([*filter(None, [shared.get("info")]), *told])}


def as_given(value: Any, _: Visitor) -> Any:
    """The value; an empty one is not sent."""
    return OMIT if value is None or value == "" else value


def as_list(value: Any, _: Visitor) -> Any:
    """A list of what was chosen; an empty one is not sent."""
    return list(value) if value else OMIT


def number(kind: str) -> Read:
    """Reads a number; whole ones as integers where the argument is one."""

    def read(value: Any, _: Visitor) -> Any:
        if value is None:
            return OMIT
        return int(value) if kind == "integer" and float(value).is_integer() else value

    return read


def _typed_number(name: str, kind: str) -> Read:
    """Reads a number from a line of text: Gradio's own input sends 0 where it was left empty."""

    def read(value: Any, visitor: Visitor) -> Any:
        if not (value or "").strip():
            return OMIT
        try:
            return number(kind)(float(value), visitor)
        except ValueError:
            raise InvalidValueError(name, value, "a number, or nothing") from None

    return read


def _json(name: str) -> Read:
    def read(value: Any, _: Visitor) -> Any:
        try:
            return json.loads(value) if value else OMIT
        except (ValueError, RecursionError):
            raise ToolArgumentError(f"{name} is {echo(value)}; allowed: JSON.") from None

    return read


def _example(schema: Schema) -> Any:
    """A smallest example: for an object its required fields and its numbers."""
    if schema.get("type", "object") != "object":
        return schema["enum"][0] if "enum" in schema else schema.get("default", "")
    return {
        name: each["enum"][0] if "enum" in each else each.get("default")
        for name, each in schema.get("properties", {}).items()
        if name in schema.get("required", ()) or each.get("type") == "number"
    }
