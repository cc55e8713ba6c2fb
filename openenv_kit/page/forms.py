"""Input forms made from the analysis methods' own argument models.

Methods that share a model share its form. A new method, or a new argument, shows up without a
line here; only the kind of input is chosen by the shape of the field's JSON Schema.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from metric_tracker_rl.analysis_tools import TOOLS
from metric_tracker_rl.analysis_tools.arguments import Arguments
from metric_tracker_rl.analysis_tools.lookup import THRESHOLD_SEARCH_SPACE
from metric_tracker_rl.engine.funnel import ORDERING_APP, Funnel
from openenv_kit.errors import ToolArgumentError, echo
from openenv_kit.page.layout import html
from openenv_kit.page.markup import day_name
from openenv_kit.page.state import Visitor
from openenv_kit.tools.schema import json_schema

Schema = dict[str, Any]
OMIT = object()
"""What a field reads as when it is left empty: the argument is not sent."""


@dataclass(frozen=True)
class Field:
    """One argument: its input, and how the input's value becomes the argument.

    Attributes:
        of_date: whether its choices are the episode's dates.
        single: whether it holds one date, which follows the selected day.
    """

    name: str
    component: Any
    read: Callable[[Any, Visitor], Any]
    of_date: bool = False
    single: bool = False


@dataclass(frozen=True)
class Form:
    """The inputs of one argument model, inside a group that can be shown or hidden."""

    model: type[Arguments]
    group: gr.Column
    fields: Sequence[Field]

    def arguments(self, values: Sequence[Any], visitor: Visitor) -> dict[str, Any]:
        """The arguments to call a method with, from the inputs' values.

        Raises:
            ToolArgumentError: text where JSON or a number is wanted.
        """
        read = {f.name: f.read(v, visitor) for f, v in zip(self.fields, values, strict=True)}
        return {name: value for name, value in read.items() if value is not OMIT}


def build_forms(first: str, funnel: Funnel = ORDERING_APP) -> list[Form]:
    """One form for each argument model of the registry; only the method `first`'s is visible."""
    models = list(dict.fromkeys(tool.arguments for tool in TOOLS.values()))
    return [_form(model, funnel, TOOLS[first].arguments is model) for model in models]


def date_choices(visitor: Visitor) -> list[tuple[str, str]]:
    """The episode's dates as choices, weekday first."""
    return [(f"{day_name(date)} · {date}", date) for date in visitor.view.episode.dates]


def _form(model: type[Arguments], funnel: Funnel, visible: bool) -> Form:
    properties = json_schema(model, funnel)["properties"]
    required = {name for name, field in model.model_fields.items() if field.is_required()}
    name = f"mt-form-{model.__name__.lower()}"
    with gr.Column(visible=visible, elem_classes="mt-form", elem_id=name) as group:
        if not properties:
            html('<p class="mt-hint">This method takes no arguments.</p>')
        fields = [_field(name, schema, name in required) for name, schema in properties.items()]
    return Form(model, group, fields)


def _field(name: str, schema: Schema, required: bool) -> Field:
    plain: Schema = next((o for o in schema.get("anyOf", []) if o.get("type") != "null"), {})
    schema = {**plain, **schema}
    label = name.replace("_", " ") + ("" if required else " (optional)")
    shared: dict[str, Any] = {"label": label, "info": schema.get("description")}
    kind = schema.get("type")
    if name in ("date", "dates"):
        return _date(name, kind == "array", shared)
    if "enum" in schema:
        default = schema.get("default", schema["enum"][0] if required else None)
        choices = schema["enum"] if required or default else ["", *schema["enum"]]
        return Field(name, gr.Dropdown(choices, value=default, **shared), _text)
    if kind in ("integer", "number"):
        return Field(name, _number_input(name, schema, shared), _number(kind))
    if kind == "array" and "enum" in schema.get("items", {}):
        choice = gr.Dropdown(schema["items"]["enum"], multiselect=True, **shared)
        return Field(name, choice, lambda value, _: list(value) if value else OMIT)
    if kind == "array" and name == "rows":
        html('<p class="mt-hint">Looks at the rows on the Report tab as they stand.</p>')
        hidden = gr.Textbox(visible=False)
        return Field(name, hidden, lambda _, visitor: [dict(row) for row in visitor.rows])
    if kind == "array":
        example = [_example(schema.get("items", {}))]
        box = gr.Code(json.dumps(example, indent=1), language="json", label=f"{label}, as JSON")
        return Field(name, box, _json(name))
    return Field(name, gr.Textbox(**shared), _text)


def _date(name: str, several: bool, shared: dict[str, Any]) -> Field:
    if several:
        choice = gr.Dropdown([], multiselect=True, **shared)
        return Field(name, choice, lambda value, _: list(value) if value else OMIT, of_date=True)
    # Typed dates are let through, so that the engine can say what is wrong with one.
    choice = gr.Dropdown([], allow_custom_value=True, **shared)
    return Field(name, choice, _text, of_date=True, single=True)


def _number_input(name: str, schema: Schema, shared: dict[str, Any]) -> gr.Number:
    """A field for a number.

    Its bounds are told and not enforced here: Gradio sends every form with every call, and
    refuses them all for one value out of bounds. The engine refuses that value alone, by name.
    """
    space = THRESHOLD_SEARCH_SPACE.get(name, {})
    low, high = schema.get("minimum"), schema.get("maximum")
    value = schema.get("default", space.get("default", low or 0))
    bounds = [f"at least {low:g}"] if low is not None else []
    bounds += [f"at most {high:g}"] if high is not None else []
    told = [shared["info"]] if shared["info"] else []
    return gr.Number(
        value, step=space.get("step", 1), **{**shared, "info": "; ".join([*told, *bounds])}
    )


def _text(value: Any, _: Visitor) -> Any:
    return OMIT if value is None or value == "" else value


def _number(kind: str) -> Callable[[Any, Visitor], Any]:
    def read(value: Any, _: Visitor) -> Any:
        if value is None:
            return OMIT
        return int(value) if kind == "integer" and float(value).is_integer() else value

    return read


def _json(name: str) -> Callable[[Any, Visitor], Any]:
    def read(value: Any, _: Visitor) -> Any:
        try:
            return json.loads(value or "null")
        except (ValueError, RecursionError):
            raise ToolArgumentError(f"{name} is {echo(value)}; allowed: JSON.") from None

    return read


def _example(schema: Schema) -> dict[str, Any]:
    """A smallest example of an object: its required fields and its numbers."""
    return {
        name: each["enum"][0] if "enum" in each else each.get("default")
        for name, each in schema.get("properties", {}).items()
        if name in schema.get("required", ()) or each.get("type") == "number"
    }
