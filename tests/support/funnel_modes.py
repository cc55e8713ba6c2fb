"""Modes of the funnel: the tools that each offers, and a policy that plays by tool calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from metric_tracker_rl.engine.configuration.modes import PlayMode
from openenv_kit.trainers.scripted_calls import get_next_scripted_call

RAW_TOOL_NAMES = [
    "task_overview",
    "hourly_rows_for_date",
    "list_dates",
    "list_entities",
    "rows_for_date",
    "show_raw_data",
    "list_calendar",
    "get_metric_median",
    "submit_solution",
]
TOOL_NAMES_BY_MODE = {
    ("lean", "guided"): ["overview", "scan", "day", "hours", "calendar", "submit"],
    ("standard", "raw"): RAW_TOOL_NAMES,
    ("lean", "raw"): ["overview", "day", "hours", "calendar", "submit"],
}
"""Tools of the modes that offer few; guided play in the standard profile offers all others."""


def reset_of_mode(mode: PlayMode) -> dict[str, str]:
    """Return the reset arguments that choose a mode."""
    return {"profile": mode.profile, "disclosure": mode.disclosure}


def play_reference(first_user_message: str, call: Callable[..., str]) -> None:
    """Let the reference policy play by tool calls.

    Args:
        first_user_message: what a model reads first.
        call: makes a tool call, given the tool's name and its arguments, and returns the result.
    """
    results: list[str] = []
    while (
        next_call := get_next_scripted_call(
            "reference", results, first_user_message=first_user_message
        )
    ) is not None:
        name, arguments = next_call
        results.append(call(name, **arguments))


def check_tool_names(names: list[str], mode: PlayMode) -> None:
    """Raise AssertionError unless these are the tools of a mode."""
    if mode in TOOL_NAMES_BY_MODE:
        assert names == TOOL_NAMES_BY_MODE[mode]
    else:
        others: set[Any] = {"overview", "scan", "day", "submit"}
        assert len(names) > 20
        assert not others & set(names)
