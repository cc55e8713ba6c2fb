"""Editor for a table of rows: drop-downs for fixed values, and buttons that add and delete rows.

The table is HTML, and each change of a cell is a page event, so a change costs one small reply.
Gradio's own table would add 60 kB to the page and has no drop-downs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal, NamedTuple

from openenv_kit.page.components.elements import button_html, humanize

EditorRow = dict[str, Any]
Choices = Sequence[tuple[str, str]]
"""Options of a drop-down: label and value of each."""
MAX_ROWS = 200
MAX_CELL_CHARACTERS = 200
"""Length at which the text of a cell is truncated, in characters."""


@dataclass(frozen=True)
class EditorColumn:
    """A column of the editor: one field of every row.

    Attributes:
        name: name of the field.
        label: heading, with the unit.
        choices: allowed values; empty for a text field.
        groups: further allowed values, by heading.
        kind: input type of a text field.
    """

    name: str
    label: str
    choices: Choices = ()
    groups: Mapping[str, Choices] = field(default_factory=dict)
    kind: Literal["text", "number"] = "text"


def editor_html(
    edit_event: str, columns: Sequence[EditorColumn], rows: Sequence[EditorRow], caption: str
) -> str:
    """Return a table of inputs for the rows, with buttons that add and delete a row.

    Args:
        edit_event: page event of every change, see `apply_row_edit`.
        columns: columns from left to right.
        rows: values by field; a value that a drop-down does not offer is shown unchanged.
        caption: caption of the table.
    """
    head = "".join(f'<th scope="col">{escape(each.label)}</th>' for each in columns)
    body = "".join(
        f"<tr><td>{_edit_button_html(edit_event, at, 'drop', '✕', f'Delete row {at + 1}')}</td>"
        + "".join(f"<td>{_cell_input_html(edit_event, at, each, row)}</td>" for each in columns)
        + "</tr>"
        for at, row in enumerate(rows)
    )
    name = escape(caption)
    return (
        f'<div class="mt-scroll" tabindex="0" role="region" aria-label="{name}">'
        f'<table class="mt-table mt-editor">'
        f'<thead><tr><th scope="col"><span class="mt-unseen">delete</span></th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
        f"{_edit_button_html(edit_event, len(rows), 'add', 'Add a row')}"
    )


def _edit_button_html(
    edit_event: str,
    row_index: int,
    operation: Literal["add", "drop"],
    label: str,
    hint: str = "",
) -> str:
    return button_html(edit_event, json.dumps([row_index, "", operation]), label, hint=hint)


def _cell_input_html(edit_event: str, row_index: int, column: EditorColumn, row: EditorRow) -> str:
    value = row.get(column.name, "")
    shown = value if isinstance(value, str) else repr(value)
    label = f"{humanize(column.name)}, row {row_index + 1}"
    shared = (
        f'data-edit="{edit_event}" data-key="{edit_event}-{row_index}-{column.name}" '
        f'data-at="{row_index}" '
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


def _options_html(choices: Choices, selected_value: str) -> str:
    return "".join(
        f'<option value="{escape(value)}"{" selected" if value == selected_value else ""}>'
        f"{escape(label)}</option>"
        for label, value in choices
    )


class EditedRows(NamedTuple):
    """Rows after a change, and the index of the changed row; -1 if nothing changed."""

    rows: list[EditorRow]
    changed_index: int


def apply_row_edit(
    rows: Sequence[EditorRow], columns: Sequence[EditorColumn], change_json: object
) -> EditedRows:
    """Apply a change that was made in the editor.

    A value that is not a valid change is ignored.

    Args:
        rows: rows before the change.
        columns: columns of the editor.
        change_json: JSON list of row index, field and value. If the field is empty, the value is
            an operation: `add` or `drop` (delete).
    """
    try:
        at, name, value = json.loads(str(change_json))
        known = isinstance(at, int) and 0 <= at <= len(rows) and isinstance(value, str)
    except (ValueError, TypeError, RecursionError):
        known = False
    if known and not name and value == "add" and len(rows) < MAX_ROWS:
        return EditedRows([*rows, {}], len(rows))
    if not known or at >= len(rows):
        return EditedRows(list(rows), -1)
    if not name and value == "drop":
        return EditedRows([row for place, row in enumerate(rows) if place != at], at)
    if name in [each.name for each in columns]:
        row = {**rows[at], name: value.strip()[:MAX_CELL_CHARACTERS]}
        return EditedRows([*rows[:at], row, *rows[at + 1 :]], at)
    return EditedRows(list(rows), -1)
