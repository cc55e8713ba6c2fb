"""Rows of a drill-down report as they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from metric_tracker_rl.page.drill.story import segment_text
from openenv_kit.page.markup import day_name, text, words

COLUMNS = ("kind", "stage", "segment", "days", "change")
"""What is shown of a row."""


def row_cells(row: Any) -> list[str]:
    """Cells of a row, one for each of `COLUMNS`; one that cannot be read is shown as it came."""
    try:
        plain = (words(row["kind"]), row["stage"], segment_text(row["segment"]), days_text(row))
        return [escape(str(each)) for each in (*plain, row["change"])]
    except (KeyError, TypeError, AttributeError):
        return [text(str(row)), *[""] * (len(COLUMNS) - 1)]


def days_text(row: Mapping[str, Any]) -> str:
    """The days of a row."""
    first, last = (day_name(str(row[name])) for name in ("date_from", "date_to"))
    return first if first == last else f"{first} to {last}"
