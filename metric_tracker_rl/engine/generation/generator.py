"""From a configuration to finished data that the reporting policy answers in one way.

A draw makes clean hourly counts, plans one cause per anomaly, applies the causes and then
applies the public rule to the result. The draw is accepted only if the rule's answer equals
the planned roots exactly and no deviation lies inside the guard band of its threshold;
otherwise the next draw is tried. Labels always come from the rule, never from the plan.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.engine.config import EpisodeConfig
from metric_tracker_rl.engine.funnel import Funnel
from metric_tracker_rl.engine.generation.anomalies import Cause, CleanDay
from metric_tracker_rl.engine.generation.calendar import (
    CalendarEntry,
    draw_calendar,
    empty_entry,
    explained_mask,
    weekdays_in_turn,
)
from metric_tracker_rl.engine.generation.clean import clean_days, draw_clean
from metric_tracker_rl.engine.generation.custom_anomalies import apply_custom
from metric_tracker_rl.engine.generation.effects import Effect, apply_effects
from metric_tracker_rl.engine.generation.lockstep import Ask, Drawing, alike, together
from metric_tracker_rl.engine.generation.planning import (
    PlannedDay,
    changed_days,
    days_and_families,
    limits_of,
    near_threshold,
    plan_of_day,
)
from metric_tracker_rl.engine.levels import GUARD_BAND, Level, clear_of
from metric_tracker_rl.engine.reporting_policy import ReportRow, label
from metric_tracker_rl.engine.series import (
    DailySeries,
    Days,
    Floats,
    Ints,
    baselines,
    deviations,
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
    return generate_all([config])[0]


def generate_all(configs: Sequence[EpisodeConfig]) -> list[Draw]:
    """Data of many episodes, in order: each as `generate` makes it alone, in half the time.

    Raises:
        GenerationError, InvalidValueError: of one that fails; see `generate`.
    """
    return together([_accepted(config) for config in configs])


def _accepted(config: EpisodeConfig) -> Drawing[Draw]:
    for number in range(MAX_DRAWS):
        draw = yield from _draw(config, number)
        if draw is not None:
            return _with_custom(draw, config) if config.anomalies else draw
    raise GenerationError(
        f"No acceptable draw in {MAX_DRAWS} tries for scenario_family "
        f"{config.scenario_family!r}, difficulty {config.difficulty!r}, anomaly_count "
        f"{config.anomaly_count}; try another seed."
    )


def apply_causes(clean: Ints, causes: Sequence[Cause]) -> Ints:
    """Finished counts: each cause applied to its day, in the order given."""
    effects: dict[int, list[Effect]] = {}
    for cause in causes:
        effects.setdefault(cause.day, []).append(cause.effect)
    hourly, days = clean.copy(), list(effects)
    hourly[days] = apply_effects(clean[days], list(effects.values()))
    return hourly


@cache
def every_date() -> tuple[str, ...]:
    """ISO dates from `FIRST_DATE` on, as many as an episode of a year can reach."""
    days = range(DATE_SPAN + 366)
    return tuple((FIRST_DATE + dt.timedelta(days=day)).isoformat() for day in days)


def guard_violations(series: DailySeries) -> int:
    """Number of deviations inside the guard band of their threshold."""
    limits = limits_of(series.funnel, series.level)
    return int(near_threshold(series.reportable, limits, GUARD_BAND).sum())


def severity_is_clear(row: ReportRow, level: Level) -> bool:
    """Whether a row's size keeps its distance from every severity bound."""
    return clear_of(relative_size(row), level.severity_bounds[row.entity_type])


def relative_size(row: ReportRow) -> float:
    """Size of a row's deviation as thresholds measure it: relative, but for share and excess."""
    relative = row.entity_type not in (HOURLY_MIX, DATA_QUALITY) and row.baseline_value
    return abs(row.delta_value) / (row.baseline_value if relative else 1.0)


def _draw(config: EpisodeConfig, number: int) -> Drawing[Draw | None]:
    stream = BitStream(config.identity, number)
    level, funnel = config.level, config.funnel_spec
    limits = limits_of(funnel, level)

    def view_of(day: int, baselines: Sequence[float]) -> CleanDay:
        values = clean_values[day].tolist()
        return CleanDay(day, clean[day], values, baselines, funnel, level, limits)

    start = stream.below(DATE_SPAN)
    dates = every_date()[start : start + level.days]
    drawn = draw_clean(stream, funnel, level, (FIRST_DATE.weekday() + start) % 7)
    [(clean, clean_values)] = yield Ask(clean_days, [drawn])
    calendar: tuple[CalendarEntry, ...] = ()
    if level.decoys:
        calendar, free = draw_calendar(stream, funnel, level)
        no_baselines = [1.0] * clean_values.shape[1]  # what happened is not compared as yet
        decoys = yield Ask(
            changed_days,
            [(view_of(entry.day, no_baselines), entry.effects) for entry in calendar],
        )
        for entry, decoy in zip(calendar, decoys, strict=True):
            clean[entry.day], clean_values[entry.day] = decoy.hours, decoy.values
    else:
        free = weekdays_in_turn(stream.shuffled(range(level.days)), level)
    explained = explained_mask(calendar, funnel, level)
    days = days_and_families(stream, config, free)
    if calendar and days:
        calendar = (*calendar, empty_entry(stream, sorted(days)))
    calendar = tuple(sorted(calendar, key=lambda entry: entry.day))
    [held_against] = yield Ask(usual_days, [(clean_values, funnel, level.baseline)])
    planned: dict[int, PlannedDay] = {}
    unsettled = set(days)
    for _ in range(SETTLE_ROUNDS):
        usual = held_against.tolist()
        for day in sorted(unsettled):
            plan = yield from plan_of_day(stream, days[day], view_of(day, usual[day % len(usual)]))
            if plan is None:
                return None
            planned[day] = plan
        values, excess = clean_values.copy(), np.zeros_like(clean[:, 0, 1:])
        for day, (_, changed) in planned.items():
            values[day], excess[day] = changed.values, changed.excess
        made = Days(values, excess, funnel, level, explained)
        [(series, guarded, stirring)] = yield Ask(held_up, [(made, clean_values, limits)])
        labels = label(series, dates)
        unsettled = _unsettled_days(series, dates, planned, labels, guarded)
        if not unsettled:
            if not stirring.isdisjoint(days):
                return None
            hourly = clean.copy()
            for day, (_, changed) in planned.items():
                hourly[day] = changed.hours
            causes = tuple(cause for day in sorted(planned) for cause in planned[day][0])
            return Draw(dates, clean, hourly, causes, (), series, labels, number + 1, calendar)
        if not unsettled <= set(planned):
            return None  # a day without a cause looks like one: only other data can help
        held_against = series.baselines
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


@alike(lambda case: (case[1].name, len(case[0]), case[2]))
def usual_days(cases: Sequence[tuple[Floats, Funnel, str]]) -> list[Floats]:
    """Baselines of each case's daily values, of the kind that it names."""
    _, funnel, baseline = cases[0]
    return list(baselines(np.array([values for values, *_ in cases]), funnel, baseline))


def _may_stir(level: Level) -> bool:
    """Whether clean days of a level may come near a threshold."""
    return bool(level.decoys) or level.varied


@alike(
    lambda case: (
        case[0].funnel.name,
        len(case[1]),
        case[0].level.baseline,
        _may_stir(case[0].level),
    )
)
def held_up(
    cases: Sequence[tuple[Days, Floats, Floats]],
) -> list[tuple[DailySeries, set[int], set[int]]]:
    """Series of each episode's days, held against the policy's thresholds.

    Args:
        cases: the days, their displayed values before any cause, and `limits_of` the episode.

    Returns:
        The series, the days with a deviation inside a guard band, and those that come near a
        threshold even without their cause.
    """
    made = DailySeries.of_days([days for days, *_ in cases])
    limits = np.array([limits for *_, limits in cases])[:, np.newaxis]
    changes = np.array([series.reportable for series in made])
    guarded = _days_of(near_threshold(changes, limits, GUARD_BAND))
    stirring: list[set[int]] = [set()] * len(cases)
    if _may_stir(made[0].level):
        usual = np.array([series.baselines for series in made])
        undone = deviations(np.array([clean for _, clean, _ in cases]), usual)
        near = np.abs(undone) >= (1.0 - GUARD_BAND) * limits[..., : undone.shape[-1]]
        for series, each in zip(made, near, strict=True):
            if series.explained is not None:
                each &= ~series.explained
        stirring = _days_of(near)
    return list(zip(made, guarded, stirring, strict=True))


def _days_of(marked: NDArray[np.bool_]) -> list[set[int]]:
    """Days of each episode on which anything is marked, by marks of shape (…, days, columns)."""
    return [set(np.flatnonzero(each).tolist()) for each in np.logical_or.reduce(marked, axis=-1)]


def _unsettled_days(
    series: DailySeries,
    dates: Sequence[str],
    planned: Mapping[int, PlannedDay],
    labels: Sequence[ReportRow],
    guarded: set[int],
) -> set[int]:
    """Days on which the rule's answer is not the plan, or is too close to call."""
    wanted = {(dates[day], *cause.root) for day, (causes, _) in planned.items() for cause in causes}
    answered = {(row.date, row.entity_type, row.entity_name, row.anomaly_type) for row in labels}
    unclear = {row.date for row in labels if not severity_is_clear(row, series.level)}
    wrong = {date for date, *_ in wanted ^ answered} | unclear
    return guarded | {dates.index(date) for date in wrong}
