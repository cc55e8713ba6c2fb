"""Draws calendars whose decoys are anomalies that the calendar explains.

A decoy changes the data exactly like an anomaly of the episode, because the same functions plan
both. Names, sizes and positions of the flagged series therefore do not tell which of them the
calendar explains; only the calendar does.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.definitions.anomaly_types import MIXED, QUALITY_ISSUE
from metric_tracker_rl.engine.generation.calendar import (
    HOLIDAY,
    LATE_DATA,
    PROMOTION,
    RELEASE,
    CalendarEntry,
    CalendarPlan,
)
from metric_tracker_rl.engine.generation.plan_anomalies import (
    MAX_PLAN_ATTEMPTS,
    plan_anomalies_of_day,
)
from metric_tracker_rl.engine.generation.planned_anomaly import CleanDay
from metric_tracker_rl.engine.generation.product_calendar import list_open_days
from metric_tracker_rl.engine.reporting_policy.baselines import (
    FloatArray,
    reorder_so_last_days_differ_in_weekday,
)
from metric_tracker_rl.engine.reporting_policy.daily_series import (
    DailySeries,
    IntArray,
    compute_deviations,
    compute_rounded_daily_values,
)
from metric_tracker_rl.engine.reporting_policy.drawn_policies import (
    ANOMALY_TYPES_BY_SUSPENDABLE_RULE,
)
from metric_tracker_rl.engine.reporting_policy.find_roots import find_roots_of_day
from openenv_kit.bitstream import BitStream

TITLE_BY_KIND = {
    HOLIDAY: "Public holiday",
    PROMOTION: "One-day promotion",
    RELEASE: "Release: one-day trial",
    LATE_DATA: "Events are still arriving or assigned to another date",
}
"""Title of each kind of calendar entry. It does not describe the deviation."""
EXPLAINED_THRESHOLD_MULTIPLE = 0.5
"""Smallest deviation that a decoy's calendar entry explains, in multiples of the threshold. A
series below it cannot become flagged when other anomalies change its baseline.
"""


def draw_calendar_of_explained_anomalies(
    stream: BitStream, config: EpisodeConfig, clean: IntArray
) -> CalendarPlan:
    """Draw as many decoys as the level has, each with a calendar entry on a day of its own.

    The kind of an entry is drawn uniformly from all four; late data occur at most once. A decoy has
    the anomaly type of the episode's scenario family. In mixed episodes and in episodes of
    impossible counts, which no entry explains, the types are drawn at random. A product's data may
    have room for fewer decoys.

    Args:
        stream: random stream.
        config: configuration of the episode.
        clean: hourly counts without any deviation, shape (days, hours, stages).
    """
    level, funnel = config.level_with_policy_parameters, config.funnel_with_policy_daytime
    days = range(level.days) if config.product is None else list_open_days(clean)
    free_days = reorder_so_last_days_differ_in_weekday(stream.shuffled_copy(days), level.baseline)
    series = DailySeries(clean, funnel, level)
    entries: list[CalendarEntry] = []
    kinds = list(TITLE_BY_KIND)
    while len(entries) < level.decoys and free_days:
        clean_day = build_clean_day(series, clean, free_days.pop())
        plan = plan_anomalies_of_day(stream, [_draw_anomaly_type(stream, config)], clean_day)
        if plan is None:
            continue
        kind = stream.choose(kinds)
        if kind == LATE_DATA:
            kinds.remove(LATE_DATA)
        entries.append(
            CalendarEntry(
                day=clean_day.day,
                kind=kind,
                title=TITLE_BY_KIND[kind],
                explains=_list_changed_series(clean_day, plan.hours),
                effects=tuple(anomaly.effect for anomaly in plan.anomalies),
            )
        )
    return CalendarPlan(tuple(entries), free_days)


def plant_suspended_anomalies(
    stream: BitStream, config: EpisodeConfig, clean: IntArray, free_days: list[int]
) -> None:
    """Add anomalies that only the suspended rule of the reporting policy would report.

    Args:
        stream: random stream.
        config: configuration of the episode, whose level has the number of these anomalies.
        clean: hourly counts, which are changed in place; shape (days, hours, stages).
        free_days: indices of the available days. Days are removed from the end of the list.
    """
    level, funnel = config.level_with_policy_parameters, config.funnel_with_policy_daytime
    if level.suspended_rule is None:
        return
    types = ANOMALY_TYPES_BY_SUSPENDABLE_RULE[level.suspended_rule]
    series = DailySeries(clean, funnel, replace(level, suspended_rule=None))
    planted = 0
    while planted < level.suspended_anomalies and free_days:
        clean_day = build_clean_day(series, clean, free_days.pop())
        for _ in range(MAX_PLAN_ATTEMPTS):
            plan = plan_anomalies_of_day(stream, [stream.choose(types)], clean_day)
            if plan is None:
                continue
            deviations = compute_deviations_of_hours(clean_day, plan.hours).tolist()
            no_excess = [0.0] * len(funnel.quality_check_names)
            if not find_roots_of_day(deviations, no_excess, funnel, level):
                clean[clean_day.day] = plan.hours
                planted += 1
                break


def build_clean_day(series: DailySeries, hourly: IntArray, day: int) -> CleanDay:
    """Return the data of one day, as planners need it."""
    return CleanDay(
        day=day,
        hours=hourly[day],
        values=series.values[day].tolist(),
        baselines=series.baselines[day % len(series.baselines)].tolist(),
        funnel=series.funnel,
        level=series.level,
    )


def _draw_anomaly_type(stream: BitStream, config: EpisodeConfig) -> str:
    if config.scenario_family not in (MIXED, QUALITY_ISSUE):
        return config.scenario_family
    return stream.choose([name for name in config.possible_families if name != QUALITY_ISSUE])


def _list_changed_series(clean_day: CleanDay, hours: IntArray) -> tuple[str, ...]:
    """Return the names of the series that deviate noticeably on a day, in funnel order.

    Args:
        clean_day: the day before its decoy is applied.
        hours: hourly counts with the decoy, shape (hours, stages).
    """
    deviations = compute_deviations_of_hours(clean_day, hours)
    limits = EXPLAINED_THRESHOLD_MULTIPLE * np.array(clean_day.limits.thresholds)
    is_changed = np.abs(deviations) >= limits
    names = zip(clean_day.funnel.daily_series_names, is_changed.tolist(), strict=True)
    return tuple(name for name, has_changed in names if has_changed)


def compute_deviations_of_hours(clean_day: CleanDay, hours: IntArray) -> FloatArray:
    """Return the deviations by column that hourly counts would give a day."""
    return compute_deviations(
        compute_rounded_daily_values(hours, clean_day.funnel),
        np.array(clean_day.baselines),
        has_daytime_share=clean_day.funnel.columns.has_daytime_share,
        is_zero_baseline_flagged=clean_day.level.is_zero_baseline_flagged,
    )
