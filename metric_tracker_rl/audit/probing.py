"""Probing: the end of the episode, other sessions, debug switches and state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from metric_tracker_rl.audit.flagged import Row, flagged_rows
from metric_tracker_rl.audit.registry import NOTHING, exploit
from metric_tracker_rl.policies.registry import Action, Observed, Play, analyse, submit
from metric_tracker_rl.reporting_policy import ROW_FIELDS
from metric_tracker_rl.vocabulary import ROW_GENERATORS

SWITCHES: tuple[Action, ...] = (
    {"analysis_method": "debug", "analysis_args": {}},
    {"analysis_method": "task_overview", "analysis_args": {"debug": True}},
    {"analysis_method": "expected_rows", "analysis_args": {}},
    {"analysis_method": "__class__", "analysis_args": {}},
    {"analysis_method": "list_dates", "analysis_args": {"debug": 1}, "debug": True},
    {"analysis_method": "show_raw_data", "analysis_args": {"granularity": "labels"}},
    {"metadata": {"debug": True}, "analysis_method": "list_calendar"},
    {"analysis_method": ["task_overview"], "analysis_args": None},
)


def rows_within(value: Any) -> Iterator[Row]:
    """Every report row anywhere in a reply, whatever it is called there."""
    if isinstance(value, dict):
        if all(name in value for name in ROW_FIELDS):
            yield {name: value[name] for name in ROW_FIELDS}
        for each in value.values():
            yield from rows_within(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from rows_within(each)


@exploit("after_the_end", NOTHING)
def after_the_end(_: Observed) -> Play:
    """Submits nothing, then goes on submitting what is flagged."""
    rows = yield from flagged_rows()
    yield submit([])
    yield submit(rows)
    yield {"payload_generators": [{"method_name": name} for name in ROW_GENERATORS]}
    yield analyse("task_overview")
    yield submit(rows[:1])


@exploit("debug_probing", NOTHING)
def debug_probing(opening: Observed) -> Play:
    """Tries switches, unknown methods and the state, and submits any row that it is shown."""
    found = list(rows_within(dict(opening)))
    for switch in SWITCHES:
        found += rows_within(dict((yield switch)))
    found += rows_within(dict((yield {"state": True})))
    yield submit(found)


@exploit("other_session", NOTHING)
def other_session(opening: Observed) -> Play:
    """Opens a second session under this episode's id and reads that one's final feedback."""
    state = yield {"state": True}
    elsewhere = yield {"elsewhere": {"reset": {"episode_id": state["episode_id"]}}}
    same = elsewhere["config"].get("start_date") == opening["config"]["start_date"]
    wrong = yield {"elsewhere": {"action": submit([])}}
    yield submit(list(rows_within(dict(wrong))) if same else [])
