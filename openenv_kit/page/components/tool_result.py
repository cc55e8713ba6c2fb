"""An answer as texts, facts and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from openenv_kit.page.components.elements import MAX_TABLE_ROWS, facts, note, table, text, words

LONG_TEXT = 120
"""Characters from which a text gets a paragraph of its own."""

Cell = Callable[[str, Any, Mapping[str, Any]], str]
"""HTML of a value, given its name and the row or result that it is in."""


def result_html(result: Mapping[str, Any], cell: Cell = lambda _, value, __: text(value)) -> str:
    """Everything in an answer that reads better than its JSON.

    Args:
        result: what a tool returned.
        cell: writes its values.
    """
    plain, html = {}, ""
    for name, value in result.items():
        if isinstance(value, str) and (len(value) > LONG_TEXT or "\n" in value):
            html += f"<p>{escape(words(name))}</p><blockquote>{escape(value)}</blockquote>"
        elif isinstance(value, Mapping):
            html += f"<p>{escape(words(name))}</p>{result_html(value, cell)}"
        elif _is_rows(value):
            html += _rows_table(value, name, cell)
        else:
            plain[name] = value
    shown = facts(plain, lambda name, value: cell(name, value, plain)) if plain else ""
    return shown + html or note("The result is empty.")


def _rows_table(rows: Sequence[Mapping[str, Any]], caption: str, cell: Cell) -> str:
    """A table of rows; lists inside a row get a table of their own below."""
    columns = list(dict.fromkeys(key for row in rows for key in row if not _is_rows(row[key])))
    numbers = [
        index
        for index, column in enumerate(columns)
        if all(isinstance(row.get(column, 0), int | float) for row in rows)
    ]
    shown = rows[:MAX_TABLE_ROWS]
    lines = [[cell(column, row.get(column), row) for column in columns] for row in shown]
    html = table(columns, lines, f"{words(caption)} ({len(rows)})", numbers)
    if len(rows) > len(shown):
        html += note(f"{len(rows) - len(shown)} more in the JSON.")
    for row in shown:
        head = next((str(row[key]) for key in row if key.endswith("name")), "")
        inner = {key: value for key, value in row.items() if _is_rows(value)}
        html += "".join(_rows_table(v, f"{head} {key}".strip(), cell) for key, v in inner.items())
    return html


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, Mapping) for v in value)
