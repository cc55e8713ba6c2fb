"""Determines the outcome of each expected or reported row of a rollout and the step it belongs to.

A reported row belongs to the step that submitted the report, and a missing row to the step whose
reply was the first to contain its value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metric_tracker_rl.page.known_values import (
    DayAndColumn,
    KnownValues,
    iter_nested_mappings_with_enclosing_fields,
)
from metric_tracker_rl.page.verdicts import RowVerdict, judge_submitted_and_missing_rows
from metric_tracker_rl.page.visible_state import (
    PlaybackSteps,
    list_submitted_rows_of_graded_report,
    rebuild_episode_from_reset_arguments,
)
from metric_tracker_rl.page.words import format_entity_name
from openenv_kit.page.components.elements import format_short_date
from openenv_kit.page.components.grid import CellVerdict
from openenv_kit.page.row_outcomes import RowOutcome


def list_row_outcomes(steps: PlaybackSteps, reset: Mapping[str, Any]) -> list[RowOutcome]:
    """Return the outcome of each row that a rollout was expected to report or did report.

    If the rollout ended without a report, every expected row counts as missing.

    Args:
        steps: the reset and all steps.
        reset: reset arguments, from which the expected rows are generated again.
    """
    view = rebuild_episode_from_reset_arguments(reset)
    report_step = _find_last_graded_step(steps)
    submitted = (
        list_submitted_rows_of_graded_report(view, steps[report_step]) if report_step else ()
    )
    first_steps = _find_first_step_of_each_value(steps)
    listed_days = _find_first_step_that_lists_each_day(steps)
    verdicts = judge_submitted_and_missing_rows(submitted, view.episode, read_values=first_steps)
    return [
        _build_outcome(verdict, first_steps, listed_days.get(verdict.day), report_step)
        for verdict in verdicts
    ]


def _build_outcome(
    verdict: RowVerdict,
    first_steps: Mapping[DayAndColumn, int],
    listing_step: int | None,
    report_step: int | None,
) -> RowOutcome:
    is_missing = verdict.kind == CellVerdict.MISSING
    read_step = first_steps.get((verdict.day, verdict.column))
    sentence = verdict.sentence
    if is_missing:
        if verdict.is_read:
            sentence = "The reply contained its value."
        elif listing_step is not None:
            sentence = "Its value was in no reply, but the list in this step names the day."
            read_step = listing_step
        else:
            sentence = ""
    sentence = f"{sentence} {verdict.consequences_text}".strip()
    date, name = format_short_date(verdict.row.date), format_entity_name(verdict.row.as_dict())
    return RowOutcome(
        title=f"{date}, {name}",
        outcome=verdict.outcome,
        is_good=verdict.kind == CellVerdict.MATCHED,
        sign=verdict.sign,
        step=read_step if is_missing else report_step,
        sentence=sentence,
    )


def _find_last_graded_step(steps: PlaybackSteps) -> int | None:
    graded = [
        number for number, step in enumerate(steps) if step.observation.get("reward_breakdown")
    ]
    return graded[-1] if graded else None


def _find_first_step_that_lists_each_day(steps: PlaybackSteps) -> dict[int, int]:
    """Return, for each day in a reply that lists some of the days, the number of the first one.

    Replies that list every day single out none, so they do not count.
    """
    known_values = KnownValues(steps[0].observation["config"])
    first_steps: dict[int, int] = {}
    for number, step in enumerate(steps):
        result = (step.observation.get("analysis_result") or {}).get("result", {})
        days = {
            day
            for fields in iter_nested_mappings_with_enclosing_fields(result)
            if (day := known_values.find_day_index(fields.get("date"))) is not None
        }
        if 1 < len(days) < len(known_values.dates):
            for day in days:
                first_steps.setdefault(day, number)
    return first_steps


def _find_first_step_of_each_value(steps: PlaybackSteps) -> dict[DayAndColumn, int]:
    """Return, for each value in the replies, the number of the step that showed it first.

    The values are identified by day and column. Values that no reply contained are left out.
    """
    known_values = KnownValues(steps[0].observation["config"])
    first_steps: dict[DayAndColumn, int] = {}
    for number, step in enumerate(steps):
        analysis = step.observation.get("analysis_result")
        if analysis:
            known_values.add_values_of_tool_result(analysis)
        for place in known_values.values:
            first_steps.setdefault(place, number)
    return first_steps
