"""A tool's result as tables and facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from openenv_kit.page.markup import MAX_TABLE_ROWS, facts, note, table, text, words

LONG_TEXT = 120
"""Characters from which a text gets a paragraph of its own."""

Rows = Sequence[Mapping[str, Any]]
Cell = Callable[[str, Any, Mapping[str, Any]], str]
"""HTML of a value, given its name and the row or result that it is in."""


def plain_cell(_: str, value: Any, __: Mapping[str, Any]) -> str:
    """The value as people read it."""
    return text(value)


def result_html(
    result: Mapping[str, Any], leave_out: Sequence[str] = (), cell: Cell = plain_cell
) -> str:
    """Everything in a result that reads better as a table; the rest is in its JSON.

    Args:
        result: what a tool returned.
        leave_out: keys that are shown elsewhere.
        cell: writes the cells of tables with rows.
    """
    plain = {name: value for name, value in result.items() if _is_plain(value)}
    html = facts(plain, lambda name, value: cell(name, value, plain)) if plain else ""
    for name, value in result.items():
        if name in leave_out:
            continue
        if isinstance(value, Mapping):  # name and value, one a line, then any rows it holds
            inner = {key: each for key, each in value.items() if _is_rows(each)}
            rest = {key: each for key, each in value.items() if key not in inner}
            lines = [[text(key), cell(key, each, rest)] for key, each in rest.items()]
            html += table([name, "value"], lines, numbers=(1,))
            html += "".join(rows_table(each, key, cell) for key, each in inner.items())
        elif _is_rows(value):
            html += rows_table(value, name, cell)
        elif not _is_plain(value):
            html += table([name], [[text(each)] for each in value[:MAX_TABLE_ROWS]])
    return html or note("The result is empty.")


def told_html(told: Mapping[str, Any]) -> str:
    """An answer: long texts with their line breaks, then the rest as `result_html`."""
    long = {
        name: value
        for name, value in told.items()
        if isinstance(value, str) and (len(value) > LONG_TEXT or "\n" in value)
    }
    texts = [
        f"<p>{escape(words(name))}</p><blockquote>{escape(value)}</blockquote>"
        for name, value in long.items()
    ]
    rest = {name: value for name, value in told.items() if name not in long}
    return "".join(texts) + (result_html(rest) if rest or not texts else "")


def rows_table(rows: Rows, caption: str, cell: Cell = plain_cell) -> str:
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
        html += "".join(rows_table(v, f"{head} {key}".strip(), cell) for key, v in inner.items())
    return html


def _is_plain(value: Any) -> bool:
    """Whether a value fits on one line."""
    if isinstance(value, list | tuple):
        return len(value) <= 6 and all(isinstance(each, str | int | float) for each in value)
    return not isinstance(value, Mapping)


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, Mapping) for v in value)
