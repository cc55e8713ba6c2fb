"""Renders tool results as HTML: short values, quoted strings and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from openenv_kit.page.components.elements import (
    MAX_TABLE_ROWS,
    definition_list_html,
    humanize,
    message_box_html,
    table_html,
    value_html,
)

LONG_TEXT = 120
"""Maximum length of a string in the list of values, in characters. Longer ones are quoted."""

LabelFormatter = Callable[[str], str]
"""Returns the readable name of a field."""
CellFormatter = Callable[[str, Any, Mapping[str, Any]], str]
"""Returns the HTML of a value. Arguments: its name, the value, and the row that contains it."""


def tool_result_html(
    result: Mapping[str, Any],
    format_cell: CellFormatter = lambda _, value, __: value_html(value),
    format_label: LabelFormatter = humanize,
) -> str:
    """Return a tool result as HTML, which is easier to read than JSON.

    Args:
        result: the tool result.
        format_cell: function that returns the HTML of a value.
        format_label: function that returns the readable name of a field.
    """
    plain, html = {}, ""
    for name, value in result.items():
        if isinstance(value, str) and (len(value) > LONG_TEXT or "\n" in value):
            html += f"<p>{escape(format_label(name))}</p><blockquote>{escape(value)}</blockquote>"
        elif isinstance(value, Mapping):
            nested = tool_result_html(value, format_cell, format_label)
            html += f"<p>{escape(format_label(name))}</p>{nested}"
        elif _is_nonempty_list_of_mappings(value):
            html += _rows_table_and_nested_tables_html(value, name, format_cell, format_label)
        else:
            plain[name] = value
    shown = (
        definition_list_html(
            plain, lambda name, value: format_cell(name, value, plain), format_label
        )
        if plain
        else ""
    )
    return shown + html or message_box_html("The result is empty.")


def _rows_table_and_nested_tables_html(
    rows: Sequence[Mapping[str, Any]],
    caption: str,
    format_cell: CellFormatter,
    format_label: LabelFormatter,
) -> str:
    """Return a table of rows, followed by a table for each list inside a row."""
    columns = list(
        dict.fromkeys(
            key for row in rows for key in row if not _is_nonempty_list_of_mappings(row[key])
        )
    )
    numbers = [
        index
        for index, column in enumerate(columns)
        if all(isinstance(row.get(column, 0), int | float) for row in rows)
    ]
    shown = rows[:MAX_TABLE_ROWS]
    lines = [[format_cell(column, row.get(column), row) for column in columns] for row in shown]
    titles = [format_label(column) for column in columns]
    html = table_html(titles, lines, f"{format_label(caption)} ({len(rows)})", numbers)
    if len(rows) > len(shown):
        html += message_box_html(f"{len(rows) - len(shown)} more in the JSON.")
    for row in shown:
        head = next((str(row[key]) for key in row if key.endswith("name")), "")
        inner = {key: value for key, value in row.items() if _is_nonempty_list_of_mappings(value)}
        html += "".join(
            _rows_table_and_nested_tables_html(
                v, f"{head} {format_label(key)}".strip(), format_cell, format_label
            )
            for key, v in inner.items()
        )
    return html


def _is_nonempty_list_of_mappings(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, Mapping) for v in value)
