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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.engine.config import EpisodeConfig
from metric_tracker_rl.engine.funnel import HOURS
from metric_tracker_rl.engine.generation.anomalies import Cause, CleanDay
from metric_tracker_rl.engine.generation.calendar import (
    CalendarEntry,
    draw_calendar,
    empty_entry,
    explained_mask,
)
from metric_tracker_rl.engine.generation.custom_anomalies import apply_custom
from metric_tracker_rl.engine.generation.effects import Effect, to_counts
from metric_tracker_rl.engine.generation.planning import causes_of_day, days_and_families
from metric_tracker_rl.engine.levels import GUARD_BAND, SEVERITY_BOUNDS, clear_of
from metric_tracker_rl.engine.reporting_policy import ReportRow, label
from metric_tracker_rl.engine.series import (
    DailySeries,
    Floats,
    Ints,
    daily_values,
    deviations,
    medians,
)
from metric_tracker_rl.engine.vocabulary import DATA_QUALITY, HOURLY_MIX
from openenv_kit.bitstream import BitStream
from openenv_kit.errors import GenerationError

MAX_DRAWS = 200
"""Draws before giving up; the mean is close to one."""
SETTLE_ROUNDS = 6
"""How often a draw's causes are planned again against the medians that they themselves moved."""
FIRST_DATE = dt.date(2022, 1, 1)
DATE_SPAN = 1400
"""Episodes start within this many days of `FIRST_DATE`; no clock is ever read."""
TREND = 0.04
"""Largest relative change of traffic from the first to the last day of an episode."""


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


def apply_causes(clean: Ints, causes: Sequence[Cause]) -> Ints:
    """Finished counts: each cause applied to its day, in the order given."""
    return _applied(clean, [(cause.day, cause.effect) for cause in causes])


def dates_of(start: dt.date, days: int) -> tuple[str, ...]:
    """ISO dates of an episode."""
    return tuple((start + dt.timedelta(days=day)).isoformat() for day in range(days))


def guard_violations(series: DailySeries) -> int:
    """Number of deviations inside the guard band of their threshold."""
    return int(_guarded(series).sum())


def severity_is_clear(row: ReportRow) -> bool:
    """Whether a row's size keeps its distance from every severity bound."""
    return clear_of(relative_size(row), SEVERITY_BOUNDS[row.entity_type])


def relative_size(row: ReportRow) -> float:
    """Size of a row's deviation as thresholds measure it: relative, but for share and excess."""
    relative = row.entity_type not in (HOURLY_MIX, DATA_QUALITY) and row.baseline_value
    return abs(row.delta_value) / (row.baseline_value if relative else 1.0)


def _draw(config: EpisodeConfig, number: int) -> Draw | None:
    stream = BitStream(config.identity, number)
    level, funnel = config.level, config.funnel_spec
    start = FIRST_DATE + dt.timedelta(days=stream.below(DATE_SPAN))
    dates = dates_of(start, level.days)
    clean = _clean_counts(stream, config, start)
    calendar: tuple[CalendarEntry, ...] = ()
    if level.decoys:
        calendar, free = draw_calendar(stream, funnel, level)
        effects = [(entry.day, effect) for entry in calendar for effect in entry.effects]
        clean = _applied(clean, effects)
    else:
        free = stream.shuffled(range(level.days))
    explained = explained_mask(calendar, funnel, level)
    days = days_and_families(stream, config, free)
    if calendar and days:
        calendar = (*calendar, empty_entry(stream, sorted(days)))
    calendar = tuple(sorted(calendar, key=lambda entry: entry.day))
    clean_values = daily_values(clean, funnel)
    baselines = medians(clean_values, funnel)
    planned: dict[int, tuple[Cause, ...]] = {}
    unsettled = set(days)
    for _ in range(SETTLE_ROUNDS):
        for day in sorted(unsettled):
            values = clean_values[day].tolist()
            view = CleanDay(day, clean[day], values, baselines.tolist(), funnel, level)
            causes = causes_of_day(stream, days[day], view)
            if causes is None:
                return None
            planned[day] = causes
        in_order = tuple(cause for day in sorted(planned) for cause in planned[day])
        hourly = apply_causes(clean, in_order)
        series = DailySeries(hourly, funnel, level, explained)
        labels = label(series, dates)
        unsettled = _unsettled_days(series, dates, planned, labels)
        if not unsettled:
            if level.decoys and _stirs_without_cause(clean_values, series, days):
                return None
            return Draw(dates, clean, hourly, in_order, (), series, labels, number + 1, calendar)
        if not unsettled <= set(planned):
            return None  # a day without a cause looks like one: only other data can help
        baselines = series.baselines
    return None


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


def _stirs_without_cause(clean_values: Floats, series: DailySeries, days: Iterable[int]) -> bool:
    """Whether a day that has a cause comes near a threshold even without it."""
    undone = deviations(clean_values, series.baselines)[sorted(days)]
    if series.explained is not None:
        undone = np.where(series.explained[sorted(days)], 0.0, undone)
    return bool((np.abs(undone) >= (1.0 - GUARD_BAND) * series.thresholds).any())


def _unsettled_days(
    series: DailySeries,
    dates: Sequence[str],
    planned: Mapping[int, tuple[Cause, ...]],
    labels: Sequence[ReportRow],
) -> set[int]:
    """Days on which the rule's answer is not the plan, or is too close to call."""
    unsettled = set(np.flatnonzero(_guarded(series).any(axis=1)).tolist())
    wanted = {(dates[day], *cause.root) for day, causes in planned.items() for cause in causes}
    answered = {(row.date, row.entity_type, row.entity_name, row.anomaly_type) for row in labels}
    unclear = {row.date for row in labels if not severity_is_clear(row)}
    wrong = {date for date, *_ in wanted ^ answered} | unclear
    return unsettled | {dates.index(date) for date in wrong}


def _clean_counts(stream: BitStream, config: EpisodeConfig, start: dt.date) -> Ints:
    """Hourly counts of an uneventful episode, shape (days, 24, stages)."""
    level, funnel = config.level, config.funnel_spec
    days, steps = level.days, len(funnel.base_rates)
    mean = stream.uniform(*funnel.opens_range)
    slope = stream.uniform(-TREND, TREND)
    jitter = [1.0 + stream.uniform(-funnel.rate_jitter, funnel.rate_jitter) for _ in range(steps)]

    factors = level.weekday_factors or funnel.weekday_factors
    weekday = np.array([factors[(start.weekday() + day) % 7] for day in range(days)])
    trend = 1.0 + slope * (np.arange(days) / (days - 1) - 0.5)
    traffic = mean * weekday * trend * (1.0 + level.traffic_noise * stream.normals(days))

    weights = np.array(funnel.hour_weights)
    begin, end = funnel.daytime
    lean = np.ones((days, HOURS))
    lean[:, begin:end] += (level.shape_noise * stream.normals(days))[:, np.newaxis]
    shape = weights * lean
    # A running sum has one order of addition on every machine; a plain sum has several.
    shape = shape / np.add.accumulate(shape, axis=1)[:, -1:]

    noise = stream.normals(steps + 1, days, HOURS) * level.sampling_noise
    rates = np.array([rate * near for rate, near in zip(funnel.base_rates, jitter, strict=True)])
    daily_rates = rates * (1.0 + level.rate_noise * stream.normals(days, steps))

    counts = np.empty((days, HOURS, steps + 1), dtype=np.int64)
    expected = traffic[:, np.newaxis] * shape
    counts[:, :, 0] = to_counts(expected + np.sqrt(expected) * noise[0])
    for step in range(steps):
        above = counts[:, :, step]
        rate = np.minimum(daily_rates[:, step : step + 1], 1.0)
        spread = np.sqrt(above * rate * (1.0 - rate))
        drawn = to_counts(above * rate + spread * noise[step + 1])
        counts[:, :, step + 1] = np.minimum(drawn, above)
    return counts


def _applied(clean: Ints, effects: Iterable[tuple[int, Effect]]) -> Ints:
    """A copy of the counts after each effect on its day."""
    hourly = clean.copy()
    for day, effect in effects:
        hourly[day] = effect.apply(hourly[day])
    return hourly


def _guarded(series: DailySeries) -> NDArray[np.bool_]:
    """Which deviations lie inside a guard band; step rates have a second one, for breaks."""
    stages = len(series.funnel.counts)
    drops = -series.reportable[:, stages : 2 * stages - 1] / series.level.break_threshold
    ratios = np.abs(series.reportable) / series.thresholds
    every = np.concatenate([ratios, drops], axis=1)
    return (every >= 1.0 - GUARD_BAND) & (every <= 1.0 + GUARD_BAND)
