"""From a configuration to finished data that the reporting policy answers in one way.

A draw makes clean hourly counts, plans one cause per anomaly, applies the causes and then
applies the public rule to the result. The draw is accepted only if the rule's answer equals
the planned roots exactly and no deviation lies inside the guard band of its threshold;
otherwise the next draw is tried. Labels always come from the rule, never from the plan.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.definitions.levels import GUARD_BAND, Level, clear_of
from metric_tracker_rl.engine.definitions.names import DATA_QUALITY, HOURLY_MIX
from metric_tracker_rl.engine.generation.calendar import (
    CalendarEntry,
    draw_calendar,
    empty_entry,
    explained_mask,
    weekdays_in_turn,
)
from metric_tracker_rl.engine.generation.clean_counts import clean_counts
from metric_tracker_rl.engine.generation.custom_anomalies import apply_custom
from metric_tracker_rl.engine.generation.families import Cause, CleanDay
from metric_tracker_rl.engine.generation.plan_anomalies import days_and_families, plan_of_day
from metric_tracker_rl.engine.reporting_policy.daily_series import (
    DailySeries,
    Ints,
    deviations,
    near_threshold,
)
from metric_tracker_rl.engine.reporting_policy.labels import ReportRow, label
from openenv_kit.bitstream import BitStream
from openenv_kit.errors import GenerationError

MAX_DRAWS = 200
"""Draws before giving up; the mean is close to one."""
SETTLE_ROUNDS = 6
"""How often a draw's causes are planned again against the medians that they themselves moved."""
FIRST_DATE = dt.date(2022, 1, 1)
DATE_SPAN = 1400
"""Episodes start within this many days of `FIRST_DATE`; no clock is ever read."""


@dataclass(frozen=True)
class Draw:
    """One accepted draw.

    Attributes:
        dates: ISO date of each day.
        clean: hourly counts before any cause, shape (days, 24, stages).
        hourly: finished hourly counts, same shape.
        causes: planned causes, by day.
        applied: custom anomalies as they were applied.
        series: derived series of the finished data.
        labels: the reporting policy's answer.
        draws: number of draws this took.
        calendar: public entries, by date; their decoys are in `clean` already.
    """

    dates: tuple[str, ...]
    clean: Ints
    hourly: Ints
    causes: tuple[Cause, ...]
    applied: tuple[dict[str, Any], ...]
    series: DailySeries
    labels: tuple[ReportRow, ...]
    draws: int
    calendar: tuple[CalendarEntry, ...] = ()


def generate(config: EpisodeConfig) -> Draw:
    """The episode's data.

    Raises:
        GenerationError: no draw in `MAX_DRAWS` was acceptable.
        InvalidValueError: a custom anomaly names a date outside the episode.
    """
    for number in range(MAX_DRAWS):
        draw = _draw(config, number)
        if draw is not None:
            return _with_custom(draw, config) if config.anomalies else draw
    raise GenerationError(
        f"No acceptable draw in {MAX_DRAWS} tries for scenario_family "
        f"{config.scenario_family!r}, difficulty {config.difficulty!r}, anomaly_count "
        f"{config.anomaly_count}; try another seed."
    )


def _draw(config: EpisodeConfig, number: int) -> Draw | None:
    """One draw; None where it is not acceptable."""
    stream = BitStream(config.identity, number)
    level, funnel = config.level, config.funnel_spec
    start = stream.below(DATE_SPAN)
    dates = every_date()[start : start + level.days]
    clean = clean_counts(stream, funnel, level, (FIRST_DATE.weekday() + start) % 7)

    calendar: tuple[CalendarEntry, ...] = ()
    explained = None
    if level.decoys:
        calendar, free = draw_calendar(stream, funnel, level)
        for entry in calendar:
            for effect in entry.effects:
                clean[entry.day] = effect.apply(clean[entry.day])
        explained = explained_mask(calendar, funnel, level.days)
    else:
        free = weekdays_in_turn(stream.shuffled(range(level.days)), level)
    families = days_and_families(stream, config, free)
    if calendar and families:
        calendar = (*calendar, empty_entry(stream, sorted(families)))

    before = DailySeries(clean, funnel, level, explained)
    usual, hourly = before.baselines, clean.copy()
    planned: dict[int, tuple[Cause, ...]] = {}
    unsettled = set(families)
    for _ in range(SETTLE_ROUNDS):
        for day in sorted(unsettled):
            values, held_against = before.values[day].tolist(), usual[day % len(usual)].tolist()
            view = CleanDay(day, clean[day], values, held_against, funnel, level)
            plan = plan_of_day(stream, families[day], view)
            if plan is None:
                return None
            planned[day], hourly[day] = plan
        series = DailySeries(hourly, funnel, level, explained)
        labels = label(series, dates)
        unsettled = _unsettled_days(series, dates, planned, labels)
        if not unsettled:
            # Clean days of the other levels stay far from every threshold.
            if (level.decoys or level.varied) and _stirs(before, series, planned):
                return None
            causes = tuple(cause for day in sorted(planned) for cause in planned[day])
            entries = tuple(sorted(calendar, key=lambda entry: entry.day))
            return Draw(dates, clean, hourly, causes, (), series, labels, number + 1, entries)
        if not unsettled <= set(planned):
            return None  # a day without a cause looks like one: only other data can help
        usual = series.baselines
    return None


def _unsettled_days(
    series: DailySeries,
    dates: Sequence[str],
    planned: Mapping[int, Sequence[Cause]],
    labels: Sequence[ReportRow],
) -> set[int]:
    """Days on which the rule's answer is not the plan, or is too close to call."""
    wanted = {(dates[day], *cause.root) for day, causes in planned.items() for cause in causes}
    answered = {(row.date, row.entity_type, row.entity_name, row.anomaly_type) for row in labels}
    unclear = {row.date for row in labels if not severity_is_clear(row, series.level)}
    wrong = {date for date, *_ in wanted ^ answered} | unclear
    near = near_threshold(series.reportable, series.funnel, series.level, GUARD_BAND)
    return {dates.index(date) for date in wrong} | set(np.flatnonzero(near.any(axis=1)).tolist())


def _stirs(before: DailySeries, after: DailySeries, planned: Iterable[int]) -> bool:
    """Whether a planned day comes near a threshold even without its cause."""
    undone = deviations(before.values, after.baselines)
    near = np.abs(undone) >= (1.0 - GUARD_BAND) * after.thresholds
    if after.explained is not None:
        near &= ~after.explained
    return bool(near[list(planned)].any())


def apply_causes(clean: Ints, causes: Sequence[Cause]) -> Ints:
    """Finished counts: each cause applied to its day, in the order given."""
    hourly = clean.copy()
    for cause in causes:
        hourly[cause.day] = cause.effect.apply(hourly[cause.day])
    return hourly


@cache
def every_date() -> tuple[str, ...]:
    """ISO dates from `FIRST_DATE` on, as many as an episode of a year can reach."""
    days = range(DATE_SPAN + 366)
    return tuple((FIRST_DATE + dt.timedelta(days=day)).isoformat() for day in days)


def guard_violations(series: DailySeries) -> int:
    """Number of deviations inside the guard band of their threshold."""
    return int(near_threshold(series.reportable, series.funnel, series.level, GUARD_BAND).sum())


def severity_is_clear(row: ReportRow, level: Level) -> bool:
    """Whether a row's size keeps its distance from every severity bound."""
    return clear_of(relative_size(row), level.severity_bounds[row.entity_type])


def relative_size(row: ReportRow) -> float:
    """Size of a row's deviation as thresholds measure it: relative, but for share and excess."""
    relative = row.entity_type not in (HOURLY_MIX, DATA_QUALITY) and row.baseline_value
    return abs(row.delta_value) / (row.baseline_value if relative else 1.0)


def _with_custom(draw: Draw, config: EpisodeConfig) -> Draw:
    """The draw with custom anomalies on top, or in the place of the planned ones.

    They are set by hand: the rule labels the result, but nobody promises its margins.
    """
    level, funnel = config.level, config.funnel_spec
    causes = () if config.only_custom else draw.causes
    before = draw.clean if config.only_custom else draw.hourly
    hourly, applied = apply_custom(before, config.anomalies, draw.dates, funnel, level)
    series = DailySeries(hourly, funnel, level, draw.series.explained)
    labels = label(series, draw.dates)
    return replace(
        draw, hourly=hourly, causes=causes, applied=applied, series=series, labels=labels
    )
