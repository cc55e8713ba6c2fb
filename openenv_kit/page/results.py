"""A tool's result as tables and facts, with what one click can do about each line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openenv_kit.page.markup import MAX_TABLE_ROWS, button, day_name, facts, note, table, text

Rows = Sequence[Mapping[str, Any]]


def result_html(result: Mapping[str, Any], leave_out: Sequence[str] = ()) -> str:
    """Everything a result says that reads better as a table; the rest is in its JSON.

    Args:
        result: what a tool returned.
        leave_out: keys that are shown elsewhere.
    """
    plain = {name: value for name, value in result.items() if _is_plain(value)}
    parts = [facts(plain)] if plain else []
    for name, value in result.items():
        if name not in leave_out:
            parts.extend(_part(name, value))
    return "".join(parts) or note("The result is empty.")


def _part(name: str, value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [_nested(name, value)]
    if _is_rows(value):
        return [rows_table(value, name)]
    if isinstance(value, list | tuple) and value and not _is_plain(value):
        return [table([name], [[text(each)] for each in value[:MAX_TABLE_ROWS]])]
    return []


def _nested(name: str, value: Mapping[str, Any]) -> str:
    """A mapping inside a result: name and value, one a line, then any rows it holds."""
    lines = [[text(key), text(each)] for key, each in value.items() if not _is_rows(each)]
    inner = "".join(rows_table(each, key) for key, each in value.items() if _is_rows(each))
    return table([name, "value"], lines, numbers=(1,)) + inner


def rows_table(rows: Rows, caption: str) -> str:
    """Lines of one shape; a date selects its day, and lists inside a line are shown below it."""
    columns = list(dict.fromkeys(key for row in rows for key in row if not _is_rows(row[key])))
    numbers = [
        index
        for index, column in enumerate(columns)
        if all(isinstance(row.get(column, 0), int | float) for row in rows)
    ]
    shown = rows[:MAX_TABLE_ROWS]
    html = table(
        columns,
        [[_cell(column, row.get(column)) for column in columns] for row in shown],
        f"{caption.replace('_', ' ')} ({len(rows)})",
        numbers,
    )
    if len(rows) > len(shown):
        html += note(f"{len(rows) - len(shown)} more in the JSON.")
    for row in shown:
        head = next((str(row[key]) for key in ("metric_name", "entity_name") if key in row), "")
        html += "".join(
            rows_table(value, f"{head} {key}".strip())
            for key, value in row.items()
            if _is_rows(value)
        )
    return html


def _cell(column: str, value: Any) -> str:
    if column == "date" and isinstance(value, str):
        return button("pick_day", value, day_name(value), style="link", hint=f"Select {value}")
    return text(value)


def _is_plain(value: Any) -> bool:
    """Whether a value fits on one line."""
    if isinstance(value, list | tuple):
        return len(value) <= 6 and all(isinstance(each, str | int | float) for each in value)
    return not isinstance(value, Mapping)


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, Mapping) for v in value)
