"""Cells of result tables; a date in one is a button that selects the day."""

from __future__ import annotations

from typing import Any

from openenv_kit.page.markup import button, day_name, text


def cell(column: str, value: Any) -> str:
    """HTML of a value in a column."""
    return day_button(value) if column == "date" and isinstance(value, str) else text(value)


def day_button(date: str) -> str:
    """A date that can be clicked."""
    return button("pick_day", date, day_name(date), style="link", hint=f"Select {date}")
