"""Editor for a table of rows: drop-downs for fixed values, and buttons that add and delete rows.

The table is HTML, and each change of a cell is a page event, so a change costs one small reply.
Gradio's own table would add 60 kB to the page and has no drop-downs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal

from openenv_kit.page.components.elements import button_html, humanize

EditorRow = dict[str, Any]
Choices = Sequence[tuple[str, str]]
"""Options of a drop-down: label and value of each."""
MAX_ROWS = 200
MAX_CELL_CHARACTERS = 200
"""Length at which the text of a cell is truncated, in characters."""


@dataclass(frozen=True)
class EditorColumn:
    """A field of every row.

    Attributes:
        name: name of the field.
        label: heading, with the unit.
        choices: allowed values; empty for a text field.
        groups: allowed values under headings, instead of `choices`.
        kind: input type of a text field.
    """

    name: str
    label: str
    choices: Choices = ()
    groups: Mapping[str, Choices] = field(default_factory=dict)
    kind: Literal["text", "number"] = "text"


def editor_html(
    event: str, columns: Sequence[EditorColumn], rows: Sequence[EditorRow], caption: str
) -> str:
    """Return the rows as inputs, with buttons that add and delete a row.

    Args:
        event: page event of every change, see `apply_row_edit`.
        columns: columns from left to right.
        rows: values by field; a value that a drop-down does not offer is shown unchanged.
        caption: caption of the table.
    """
    head = "".join(f'<th scope="col">{escape(each.label)}</th>' for each in columns)
    body = "".join(
        f"<tr><td>{_edit_button_html(event, at, 'drop', '✕', f'Delete row {at + 1}')}</td>"
        + "".join(f"<td>{_cell_input_html(event, at, each, row)}</td>" for each in columns)
        + "</tr>"
        for at, row in enumerate(rows)
    )
    name = escape(caption)
    return (
        f'<div class="mt-scroll" tabindex="0" role="region" aria-label="{name}">'
        f'<table class="mt-table mt-editor">'
        f'<thead><tr><th scope="col"><span class="mt-unseen">delete</span></th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
        f"{_edit_button_html(event, len(rows), 'add', 'Add a row')}"
    )


def _edit_button_html(event: str, at: int, operation: str, label: str, hint: str = "") -> str:
    return button_html(event, json.dumps([at, "", operation]), label, hint=hint)


def _cell_input_html(event: str, at: int, column: EditorColumn, row: EditorRow) -> str:
    value = row.get(column.name, "")
    shown = value if isinstance(value, str) else repr(value)
    label = f"{humanize(column.name)}, row {at + 1}"
    shared = (
        f'data-edit="{event}" data-key="{event}-{at}-{column.name}" data-at="{at}" '
        f'data-field="{column.name}" aria-label="{escape(label)}"'
    )
    if not (column.choices or column.groups):
        step = ' step="any"' if column.kind == "number" else ""
        return f'<input type="{column.kind}"{step} {shared} value="{escape(shown)}">'
    known = [*column.choices, *(each for some in column.groups.values() for each in some)]
    strange = [] if shown in ("", *(value for _, value in known)) else [(shown, shown)]
    options = _options_html([("–", ""), *strange, *column.choices], shown) + "".join(
        f'<optgroup label="{escape(name)}">{_options_html(some, shown)}</optgroup>'
        for name, some in column.groups.items()
    )
    return f"<select {shared}>{options}</select>"


def _options_html(choices: Choices, chosen: str) -> str:
    return "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>'
        f"{escape(label)}</option>"
        for label, value in choices
    )


def apply_row_edit(
    rows: Sequence[EditorRow], columns: Sequence[EditorColumn], change: object
) -> tuple[list[EditorRow], int]:
    """Return the rows after a change, and the index of the changed row.

    Args:
        rows: rows before the change.
        columns: columns of the editor.
        change: JSON list of row index, field and value. An empty field stands for the operation
            `add` or `drop` in the value. Anything else changes nothing and has the index -1.
    """
    try:
        at, name, value = json.loads(str(change))
        known = isinstance(at, int) and 0 <= at <= len(rows) and isinstance(value, str)
    except (ValueError, TypeError, RecursionError):
        known = False
    if known and not name and value == "add" and len(rows) < MAX_ROWS:
        return [*rows, {}], len(rows)
    if not known or at >= len(rows):
        return list(rows), -1
    if not name and value == "drop":
        return [row for place, row in enumerate(rows) if place != at], at
    if name in [each.name for each in columns]:
        row = {**rows[at], name: value.strip()[:MAX_CELL_CHARACTERS]}
        return [*rows[:at], row, *rows[at + 1 :]], at
    return list(rows), -1
