"""Editor for the rows of a report, with a collapsible form for each row.

The forms are HTML, and each change of a field is a page event with a small reply. Gradio's own
table has no drop-downs and would add 60 kB to the page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, Literal, NamedTuple, Protocol

from openenv_kit.page.components.elements import button_html, humanize

EditorRow = dict[str, Any]
Choices = Sequence[tuple[str, str]]
"""Label and value of each option of a drop-down."""
MAX_ROWS = 200
MAX_CELL_CHARACTERS = 200
"""Maximum length of the text in a cell, in characters. Longer text is truncated."""


@dataclass(frozen=True)
class EditorColumn:
    """A column of the editor: one field of every row.

    Attributes:
        name: name of the field.
        label: heading, with the unit.
        choices: options of the drop-down; empty for a text field.
        groups: groups of further options, by heading.
        kind: HTML input type of a text field.
    """

    name: str
    label: str
    choices: Choices = ()
    groups: Mapping[str, Choices] = field(default_factory=dict)
    kind: Literal["text", "number"] = "text"


class RowFormatter(Protocol):
    """The part of a report editor that this module uses."""

    columns: Sequence[EditorColumn]

    def format_row_title(self, row: EditorRow) -> str:
        """Return the title of a row. Fields of the row may be missing."""

    def explain_why_row_cannot_be_submitted(self, row: EditorRow) -> str:
        """Return why a row cannot be submitted; empty if it can be submitted."""


def row_editor_html(edit_event: str, report: RowFormatter, rows: Sequence[EditorRow]) -> str:
    """Return a collapsible form for each row, with buttons that add and delete rows.

    Args:
        edit_event: page event that every change sends; its value is described at
            `apply_row_edit_if_valid`.
        report: report editor that defines the columns and formats the rows.
        rows: for each row, its values by field name. If a drop-down does not offer a value, the
            value is added to its options.
    """
    items = "".join(_row_html(edit_event, index, report, row) for index, row in enumerate(rows))
    add = _edit_button_html(edit_event, len(rows), "add", "Add a row")
    return f'<ol class="mt-rows">{items}</ol>{add}' if items else add


def _row_html(edit_event: str, index: int, report: RowFormatter, row: EditorRow) -> str:
    """Return one row: its title, its problem if it has one, and a collapsible form.

    The form is expanded if the row has a problem.
    """
    problem = report.explain_why_row_cannot_be_submitted(row)
    note = f'<small class="bad">{escape(problem)}</small>' if problem else ""
    fields = "".join(
        f"<label><span>{escape(column.label)}</span>"
        f"{_cell_input_html(edit_event, index, column, row)}</label>"
        for column in report.columns
    )
    delete = _edit_button_html(edit_event, index, "drop", "✕", f"Delete row {index + 1}")
    opened = " open" if problem else ""
    return (
        f'<li><details data-keep="row {index}"{opened}><summary>'
        f"<b>{escape(report.format_row_title(row))}</b>{note}</summary>"
        f'<div class="mt-rowform">{fields}</div></details>{delete}</li>'
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
        f"{'' if shown else ' data-empty'}"
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
    """Rows after an edit, and the index of the changed row (-1 if no row changed)."""

    rows: list[EditorRow]
    changed_index: int


def apply_row_edit_if_valid(
    rows: Sequence[EditorRow], columns: Sequence[EditorColumn], change_json: object
) -> EditedRows:
    """Apply a change that was made in the editor, unless it is invalid.

    Args:
        rows: rows before the change.
        columns: columns of the editor.
        change_json: JSON list of row index, field name and value. If the field name is empty, the
            value is an operation on the row: `add` or `drop` (delete).
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
