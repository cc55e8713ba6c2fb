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
from metric_tracker_rl.engine.definitions.levels import GUARD_BAND, FunnelLevel, is_clear_of_bounds
from metric_tracker_rl.engine.definitions.names import DATA_QUALITY, HOURLY_MIX
from metric_tracker_rl.engine.generation.calendar import (
    CalendarEntry,
    build_explained_mask,
    draw_calendar,
    draw_unrelated_release,
    spread_over_weekdays,
)
from metric_tracker_rl.engine.generation.clean_counts import generate_clean_counts
from metric_tracker_rl.engine.generation.custom_anomalies import apply_custom_anomalies
from metric_tracker_rl.engine.generation.families import CleanDay, PlannedAnomaly
from metric_tracker_rl.engine.generation.plan_anomalies import (
    assign_families_to_days,
    plan_anomalies_of_day,
)
from metric_tracker_rl.engine.reporting_policy.daily_series import (
    DailySeries,
    IntArray,
    build_near_threshold_mask,
    compute_deviations,
)
from metric_tracker_rl.engine.reporting_policy.labels import ReportRow, compute_labels
from openenv_kit.bitstream import BitStream
from openenv_kit.errors import GenerationError

MAX_ATTEMPTS = 200
"""Draws before giving up; the mean is close to one."""
MAX_REPLANS = 6
"""How often a draw's causes are planned again against the medians that they themselves moved."""
FIRST_DATE = dt.date(2022, 1, 1)
START_DATE_SPAN_DAYS = 1400
"""Episodes start within this many days of `FIRST_DATE`; no clock is ever read."""


@dataclass(frozen=True)
class GeneratedEpisode:
    """One accepted draw.

    Attributes:
        dates: ISO date of each day.
        clean: hourly counts before any cause, shape (days, 24, stages).
        hourly: finished hourly counts, same shape.
        planned_anomalies: planned causes, by day.
        applied_anomalies: custom anomalies as they were applied.
        series: derived series of the finished data.
        labels: the reporting policy's answer.
        attempts: number of draws this took.
        calendar: public entries, by date; their decoys are in `clean` already.
    """

    dates: tuple[str, ...]
    clean: IntArray
    hourly: IntArray
    planned_anomalies: tuple[PlannedAnomaly, ...]
    applied_anomalies: tuple[dict[str, Any], ...]
    series: DailySeries
    labels: tuple[ReportRow, ...]
    attempts: int
    calendar: tuple[CalendarEntry, ...] = ()


def generate_episode(config: EpisodeConfig) -> GeneratedEpisode:
    """The episode's data.

    Raises:
        GenerationError: no draw in `MAX_DRAWS` was acceptable.
        InvalidValueError: a custom anomaly names a date outside the episode.
    """
    for number in range(MAX_ATTEMPTS):
        draw = _try_generate(config, number)
        if draw is not None:
            return _add_custom_anomalies(draw, config) if config.anomalies else draw
    raise GenerationError(
        f"No acceptable draw in {MAX_ATTEMPTS} tries for scenario_family "
        f"{config.scenario_family!r}, difficulty {config.difficulty!r}, anomaly_count "
        f"{config.anomaly_count}; try another seed."
    )


def _try_generate(config: EpisodeConfig, attempt: int) -> GeneratedEpisode | None:
    """One draw; None where it is not acceptable."""
    stream = BitStream(config.identity, attempt)
    level, funnel = config.level, config.funnel_spec
    start = stream.integer_below(START_DATE_SPAN_DAYS)
    dates = all_iso_dates()[start : start + level.days]
    clean = generate_clean_counts(stream, funnel, level, (FIRST_DATE.weekday() + start) % 7)

    calendar: tuple[CalendarEntry, ...] = ()
    explained = None
    if level.decoys:
        calendar, free = draw_calendar(stream, funnel, level)
        for entry in calendar:
            for effect in entry.effects:
                clean[entry.day] = effect.apply(clean[entry.day])
        explained = build_explained_mask(calendar, funnel, level.days)
    else:
        free = spread_over_weekdays(stream.shuffled_copy(range(level.days)), level)
    families = assign_families_to_days(stream, config, free)
    if calendar and families:
        calendar = (*calendar, draw_unrelated_release(stream, sorted(families)))

    before = DailySeries(clean, funnel, level, explained)
    usual, hourly = before.baselines, clean.copy()
    planned: dict[int, tuple[PlannedAnomaly, ...]] = {}
    unsettled = set(families)
    for _ in range(MAX_REPLANS):
        for day in sorted(unsettled):
            values, held_against = before.values[day].tolist(), usual[day % len(usual)].tolist()
            view = CleanDay(day, clean[day], values, held_against, funnel, level)
            plan = plan_anomalies_of_day(stream, families[day], view)
            if plan is None:
                return None
            planned[day], hourly[day] = plan
        series = DailySeries(hourly, funnel, level, explained)
        labels = compute_labels(series, dates)
        unsettled = _days_to_replan(series, dates, planned, labels)
        if not unsettled:
            # Clean days of the other levels stay far from every threshold.
            if (level.decoys or level.has_drawn_policy) and _has_planned_day_near_threshold(
                before, series, planned
            ):
                return None
            causes = tuple(cause for day in sorted(planned) for cause in planned[day])
            entries = tuple(sorted(calendar, key=lambda entry: entry.day))
            return GeneratedEpisode(
                dates, clean, hourly, causes, (), series, labels, attempt + 1, entries
            )
        if not unsettled <= set(planned):
            return None  # a day without a cause looks like one: only other data can help
        usual = series.baselines
    return None


def _days_to_replan(
    series: DailySeries,
    dates: Sequence[str],
    planned: Mapping[int, Sequence[PlannedAnomaly]],
    labels: Sequence[ReportRow],
) -> set[int]:
    """Days on which the rule's answer is not the plan, or is too close to call."""
    wanted = {(dates[day], *cause.root) for day, causes in planned.items() for cause in causes}
    answered = {(row.date, row.entity_type, row.entity_name, row.anomaly_type) for row in labels}
    unclear = {row.date for row in labels if not is_severity_clear(row, series.level)}
    wrong = {date for date, *_ in wanted ^ answered} | unclear
    near = build_near_threshold_mask(
        series.unexplained_deviations, series.funnel, series.level, GUARD_BAND
    )
    return {dates.index(date) for date in wrong} | set(np.flatnonzero(near.any(axis=1)).tolist())


def _has_planned_day_near_threshold(
    before: DailySeries, after: DailySeries, planned_days: Iterable[int]
) -> bool:
    """Whether a planned day comes near a threshold even without its cause."""
    undone = compute_deviations(before.values, after.baselines)
    near = np.abs(undone) >= (1.0 - GUARD_BAND) * after.thresholds
    if after.explained is not None:
        near &= ~after.explained
    return bool(near[list(planned_days)].any())


def apply_planned_anomalies(clean: IntArray, anomalies: Sequence[PlannedAnomaly]) -> IntArray:
    """Finished counts: each cause applied to its day, in the order given."""
    hourly = clean.copy()
    for cause in anomalies:
        hourly[cause.day] = cause.effect.apply(hourly[cause.day])
    return hourly


@cache
def all_iso_dates() -> tuple[str, ...]:
    """ISO dates from `FIRST_DATE` on, as many as an episode of a year can reach."""
    days = range(START_DATE_SPAN_DAYS + 366)
    return tuple((FIRST_DATE + dt.timedelta(days=day)).isoformat() for day in days)


def count_guard_violations(series: DailySeries) -> int:
    """Number of deviations inside the guard band of their threshold."""
    return int(
        build_near_threshold_mask(
            series.unexplained_deviations, series.funnel, series.level, GUARD_BAND
        ).sum()
    )


def is_severity_clear(row: ReportRow, level: FunnelLevel) -> bool:
    """Whether a row's size keeps its distance from every severity bound."""
    return is_clear_of_bounds(deviation_size(row), level.severity_bounds[row.entity_type])


def deviation_size(row: ReportRow) -> float:
    """Size of a row's deviation as thresholds measure it: relative, but for share and excess."""
    relative = row.entity_type not in (HOURLY_MIX, DATA_QUALITY) and row.baseline_value
    return abs(row.delta_value) / (row.baseline_value if relative else 1.0)


def _add_custom_anomalies(generated: GeneratedEpisode, config: EpisodeConfig) -> GeneratedEpisode:
    """The draw with custom anomalies on top, or in the place of the planned ones.

    They are set by hand: the rule labels the result, but nobody promises its margins.
    """
    level, funnel = config.level, config.funnel_spec
    causes = () if config.only_custom else generated.planned_anomalies
    before = generated.clean if config.only_custom else generated.hourly
    hourly, applied = apply_custom_anomalies(
        before, config.anomalies, generated.dates, funnel, level
    )
    series = DailySeries(hourly, funnel, level, generated.series.explained)
    labels = compute_labels(series, generated.dates)
    return replace(
        generated,
        hourly=hourly,
        planned_anomalies=causes,
        applied_anomalies=applied,
        series=series,
        labels=labels,
    )
