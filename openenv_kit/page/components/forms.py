"""HTML forms generated from JSON Schemas, for tool arguments and for the start of an episode.

The page's script sends the name of a form and its values as strings. The values are parsed with the
same schema, so a new tool or argument needs no additional code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from openenv_kit.errors import InvalidValueError, ToolArgumentError, truncated_repr
from openenv_kit.page.components.elements import humanize

Schema = Mapping[str, Any]
_CODE = re.compile("`([^`]+)`")
"""Code in a description, between backticks."""


def form_html(
    name: str,
    submit_event: str,
    button_label: str,
    parameters: Schema,
    initial_values: Mapping[str, Any] | None = None,
    suggestions: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """Return a form with a field for each property of a JSON Schema, and a button.

    Args:
        name: name of the form, which is sent with the values.
        submit_event: page event that the button sends. Its value is a JSON list of the form's name
            and an object with the value of each field.
        button_label: label of the button.
        parameters: JSON Schema of an object. Beside its `enum`, a property can have `labels`: a
            label by option.
        initial_values: initial values by field name.
        suggestions: suggested values by field name.
    """
    required = parameters.get("required", ())
    fields = "".join(
        _form_field_html(
            each,
            merge_first_non_null_alternative(schema),
            (initial_values or {}).get(each),
            (suggestions or {}).get(each, ()),
            is_required=each in required,
        )
        for each, schema in parameters.get("properties", {}).items()
    )
    return (
        f'<div class="mt-form" role="group" aria-label="{escape(humanize(name))}" '
        f'data-form="{escape(name)}">{fields}<button type="button" class="mt-btn" '
        f'data-send="{submit_event}">{escape(button_label)}</button></div>'
    )


def merge_first_non_null_alternative(schema: Schema) -> Schema:
    """Return a schema in which the `null` alternative of a nullable value is removed."""
    inner: Schema = next(
        (each for each in schema.get("anyOf", ()) if each.get("type") != "null"), {}
    )
    return {**inner, **schema}


def _form_field_html(
    name: str,
    schema: Schema,
    initial_value: object,
    suggestions: Sequence[str],
    *,
    is_required: bool,
) -> str:
    value = initial_value if initial_value is not None else schema.get("default")
    options = [str(each) for each in schema.get("enum", ())]
    labels = schema.get("labels", {})
    shared = f'data-arg="{escape(name)}" data-key="{escape(f"arg {name}")}"'
    if schema.get("type") == "boolean":
        options = ["yes", "no"]
        value = {True: "yes", False: "no"}.get(value) if isinstance(value, bool) else value
    if options:
        made = "".join(
            f'<option value="{escape(each)}"{" selected" if each == str(value) else ""}>'
            f"{escape(labels.get(each) or humanize(each))}</option>"
            for each in [*([] if is_required else [""]), *options]
        )
        field = f"<select {shared}>{made}</select>"
    elif schema.get("type") in ("array", "object") or not schema.get("type"):
        shown = (
            json.dumps(value, indent=1)
            if value
            else _example_json_of_required_and_numeric_fields(schema)
            if is_required
            else ""
        )
        field = f'<textarea rows="3" {shared}>{escape(shown)}</textarea>'
    else:
        listed = f"list-{name}"
        kind = "number" if schema["type"] in ("integer", "number") else "text"
        shown = "" if value is None else str(value)
        some = "".join(f'<option value="{escape(each)}">' for each in suggestions)
        more = f'list="{escape(listed)}"' if some else ""
        field = f'<input type="{kind}" step="any" {shared} {more} value="{escape(shown)}">'
        field += f'<datalist id="{escape(listed)}">{some}</datalist>' if some else ""
    ends = {"at least": schema.get("minimum"), "at most": schema.get("maximum")}
    notes = [str(schema["description"])] if schema.get("description") else []
    notes += [f"{end} {bound:g}" for end, bound in ends.items() if isinstance(bound, int | float)]
    label = humanize(name) + ("" if is_required else " (optional)")
    note = _CODE.sub(r"<code>\1</code>", escape("; ".join(notes)))
    hint = f"<small>{note}</small>" if notes else ""
    return f"<label><span>{escape(label)}</span>{field}{hint}</label>"


def convert_filled_fields_to_arguments(
    parameters: Schema, values: Mapping[str, Any]
) -> dict[str, Any]:
    """Convert the values of a form into arguments; empty fields are left out.

    Raises:
        InvalidValueError: a number field contains text that is not a number.
        ToolArgumentError: a JSON field contains text that is not JSON.
    """
    found = {}
    for name, schema in parameters.get("properties", {}).items():
        value = values.get(name, "")
        if isinstance(value, str):
            value = value.strip()
        if value not in ("", None):
            found[name] = _parse_field_value(name, merge_first_non_null_alternative(schema), value)
    return found


def _parse_field_value(name: str, schema: Schema, value: Any) -> Any:
    kind = schema.get("type")
    if not isinstance(value, str) or "enum" in schema or kind == "string":
        return value
    if kind == "boolean":
        return {"yes": True, "no": False}.get(value, value)
    if kind in ("integer", "number"):
        try:
            number = float(value)
        except ValueError:
            raise InvalidValueError(name, value, "a number, or nothing") from None
        return int(value) if kind == "integer" and value.lstrip("-").isdecimal() else number
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ToolArgumentError(f"{name} is {truncated_repr(value)}; allowed: JSON.") from None


def _example_json_of_required_and_numeric_fields(schema: Schema) -> str:
    """Return example JSON for a schema of an object, or of an array of objects.

    The example contains only the required and the numeric properties.
    """
    item = schema.get("items", {}) if schema.get("type") == "array" else schema
    made = {
        name: each["enum"][0] if "enum" in each else each.get("default")
        for name, each in item.get("properties", {}).items()
        if name in item.get("required", ()) or each.get("type") == "number"
    }
    return json.dumps([made] if schema.get("type") == "array" else made, indent=1)


class FormEvent(NamedTuple):
    """Name of a submitted form, and its values by field name."""

    form_name: str
    values: dict[str, Any]


def parse_form_event(event_json: object) -> FormEvent:
    """Parse the JSON value of a form event.

    Raises:
        InvalidValueError: the value is not a JSON list of a name and an object.
    """
    try:
        name, values = json.loads(str(event_json))
        return FormEvent(str(name), dict(values))
    except (ValueError, TypeError, RecursionError):
        raise InvalidValueError("form", str(event_json)[:40], "a name and values") from None
