"""The alert that an episode begins with.

It names the step and the calendar week with the largest score of any single value, without a size.
Without a root, the same words describe noise. On the rungs it also gives the fields of a report row
that the player does not have to find.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from drilldown_next.day_scores import DAYS_PER_WEEK, DayScores, FloatArray, replace_zeros
from drilldown_next.definition import StepCounts
from drilldown_next.levels import Field, Level
from drilldown_next.product import Product
from drilldown_next.segments import SegmentDays, build_segment_table


@dataclass(frozen=True)
class Alert:
    """The alert of an episode.

    Attributes:
        text: what the player reads.
        given: the fields of a report row that the alert gives, by name.
    """

    text: str
    given: dict[str, Any]


def write_alert(
    product: Product,
    level: Level,
    dates: Sequence[str],
    steps: Sequence[StepCounts],
    roots: Sequence[SegmentDays],
) -> Alert:
    """Write the alert of an episode.

    Args:
        product: the product.
        level: the level.
        dates: ISO dates of all days.
        steps: counts of each step, without the people whom the calendar announces.
        roots: step, segment and days of each root; only rungs use them.
    """
    given: dict[str, Any] = {}
    if Field.STEP in level.asked:
        step, week = _find_largest_score(steps)
    else:
        step = roots[0].step
        week = _find_largest_week(steps[step], roots[0].segment)
        given[Field.STEP] = product.step_names[step]
    who, when = "", f"in the week of {_format_date(dates[week * DAYS_PER_WEEK])}"
    if Field.SEGMENT not in level.asked:
        segment = build_segment_table(product.shape).segments[roots[0].segment]
        given[Field.SEGMENT] = product.name_segment(segment)
        who = f" {product.describe_segment(segment)}"
    if Field.DATES not in level.asked:
        first, last = dates[roots[0].first], dates[roots[0].last]
        given.update(date_from=first, date_to=last)
        when = f"from {_format_date(first)} to {_format_date(last)}"
    before, after = (name.replace("_", " ") for name in product.stages[step : step + 2])
    text = f"Conversion from {before} to {after}{who} looked low {when}. {_ask(level)}"
    return Alert(text, given)


def _ask(level: Level) -> str:
    if Field.SEGMENT not in level.asked:
        return "Can you find out on which days exactly, and why?"
    return "Can you find out who was affected, and why?"


def _find_largest_score(steps: Sequence[StepCounts]) -> tuple[int, int]:
    """Return the step and the week with the largest score of any single value."""
    best, place = -np.inf, (0, 0)
    for number, step in enumerate(steps):
        scores = _score_weeks(step.scores, slice(0, step.table.value_count)).max(axis=0)
        week = int(np.argmax(scores))
        if scores[week] > best:
            best, place = float(scores[week]), (number, week)
    return place


def _find_largest_week(step: StepCounts, segment: int) -> int:
    return int(np.argmax(_score_weeks(step.scores, slice(segment, segment + 1))[0]))


def _score_weeks(scores: DayScores, rows: slice) -> FloatArray:
    """Return Σu/√(s²Σw) over each calendar week, shape (segments, weeks)."""
    daily = np.stack([scores.score[rows], scores.weight[rows]])
    weeks = daily.reshape(2, daily.shape[1], -1, DAYS_PER_WEEK)
    total = weeks[..., 0].copy()
    for day in range(1, DAYS_PER_WEEK):
        total += weeks[..., day]
    scale = scores.scale[rows]
    standardized: FloatArray = total[0] / replace_zeros(np.sqrt(scale * scale * total[1]))
    return standardized


def _format_date(date: str) -> str:
    day = dt.date.fromisoformat(date)
    return f"{day.day} {day:%B}"
