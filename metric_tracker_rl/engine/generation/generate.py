"""Generates episodes in which the reporting policy finds exactly the planned anomalies.

Each attempt generates hourly counts without anomalies, plans and applies the anomalies, and applies
the reporting policy to the result. The result is accepted if the policy finds exactly the planned
roots and no deviation is too close to its threshold. Otherwise another attempt is made. The labels
are always the rows that the policy finds, never the plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.definitions.report_row import ReportRow
from metric_tracker_rl.engine.definitions.thresholds import GUARD_BAND
from metric_tracker_rl.engine.generation.calendar import (
    CalendarEntry,
    draw_release_that_explains_nothing,
)
from metric_tracker_rl.engine.generation.clean_data import draw_clean_data
from metric_tracker_rl.engine.generation.custom_anomalies import (
    AppliedAnomalyFields,
    apply_custom_anomalies,
)
from metric_tracker_rl.engine.generation.deciding_tools import (
    does_every_tool_decide_the_report,
)
from metric_tracker_rl.engine.generation.plan_anomalies import (
    DayPlan,
    draw_families_and_take_free_days,
    plan_anomalies_of_day,
)
from metric_tracker_rl.engine.generation.planned_anomaly import CleanDay, PlannedAnomaly
from metric_tracker_rl.engine.reporting_policy.daily_series import (
    DailySeries,
    IntArray,
    build_near_threshold_mask,
    compute_deviations,
)
from metric_tracker_rl.engine.reporting_policy.labels import compute_expected_rows
from openenv_kit.bitstream import BitStream
from openenv_kit.errors import GenerationError

MAX_ATTEMPTS = 200
"""Maximum number of attempts to generate an episode. On average, little more than one is needed."""
MAX_PRODUCT_ATTEMPTS = 40
"""Maximum number of attempts for an episode of a product, which anyone may send with a reset."""
MAX_REPLANS = 6
"""Maximum number of planning rounds. Each round uses the medians of the previous round's data."""
MAX_MOVED_DAYS = 8
"""Maximum number of times that an attempt moves anomalies to a day on which they are possible."""
MAX_UNPLANNED_DAYS = 100
"""Maximum number of days of a product, over all attempts, on which planning may fail. It limits the
generation time for a product whose data allow few anomalies.
"""


@dataclass(frozen=True)
class GeneratedEpisode:
    """Generated data of one episode, with the plan of its anomalies and its labels.

    Attributes:
        dates: ISO date of each day.
        clean: hourly counts without anomalies, but with the effects of the calendar entries; shape
            (days, 24, stages).
        hourly: hourly counts with all anomalies, same shape.
        planned_anomalies: planned anomalies, sorted by day.
        applied_anomalies: description of each applied custom anomaly.
        series: daily series of `hourly`.
        labels: rows that the reporting policy finds in `series`.
        attempts: number of attempts, including the accepted one.
        calendar: calendar entries, sorted by date.
    """

    dates: tuple[str, ...]
    clean: IntArray
    hourly: IntArray
    planned_anomalies: tuple[PlannedAnomaly, ...]
    applied_anomalies: tuple[AppliedAnomalyFields, ...]
    series: DailySeries
    labels: tuple[ReportRow, ...]
    attempts: int
    calendar: tuple[CalendarEntry, ...] = ()


@dataclass
class PlanningBudget:
    """Limits how often planning may fail in all attempts to generate one episode.

    Attributes:
        unplanned_days_left: number of further days for which planning may fail before the generator
            gives up.
    """

    unplanned_days_left: float = float("inf")


def generate_episode(config: EpisodeConfig) -> GeneratedEpisode:
    """Generate the counts, calendar and labels of an episode from its configuration.

    Raises:
        GenerationError: no attempt was accepted. The limit is `MAX_ATTEMPTS`, or
            `MAX_PRODUCT_ATTEMPTS` for a product. Generation for a product also ends after planning
            has failed on `MAX_UNPLANNED_DAYS` days.
        ConfigurationError: the date of a custom anomaly is outside the episode.
    """
    max_attempts, budget = MAX_ATTEMPTS, PlanningBudget()
    if config.product is not None:
        max_attempts, budget = MAX_PRODUCT_ATTEMPTS, PlanningBudget(MAX_UNPLANNED_DAYS)
    attempts_made = 0
    while attempts_made < max_attempts and budget.unplanned_days_left > 0:
        generated = _try_to_generate_planned_episode(config, attempts_made, budget)
        attempts_made += 1
        if generated is not None:
            if config.anomalies:
                return _add_or_substitute_custom_anomalies(generated, config)
            return generated
    raise GenerationError(
        f"No episode could be generated in {attempts_made} attempts with scenario_family "
        f"{config.scenario_family!r}, difficulty {config.difficulty!r} and anomaly_count "
        f"{config.anomaly_count}. Use another seed."
    )


def _try_to_generate_planned_episode(
    config: EpisodeConfig, attempt_index: int, budget: PlanningBudget
) -> GeneratedEpisode | None:
    """Make one attempt to generate an episode; return None if the result is not accepted.

    Args:
        config: configuration of the episode.
        attempt_index: number of the attempt, counted from 0, which is part of the random stream's
            key.
        budget: remaining planning budget, which this function reduces.
    """
    stream = BitStream(config.random_stream_key_json, attempt_index)
    level, funnel = config.level_with_policy_parameters, config.funnel_with_policy_daytime
    data = draw_clean_data(stream, config)
    dates, clean, explained, calendar = data.dates, data.clean, data.explained, data.calendar
    free_days = data.free_days
    families_by_day = draw_families_and_take_free_days(stream, config, free_days)
    if calendar and families_by_day:
        calendar = (*calendar, draw_release_that_explains_nothing(stream, sorted(families_by_day)))

    clean_series = DailySeries(clean, funnel, level, explained)
    baselines, hourly = clean_series.baselines, clean.copy()
    planned: dict[int, tuple[PlannedAnomaly, ...]] = {}
    moves_left = 0 if config.product is None else MAX_MOVED_DAYS

    def plan_day(day: int) -> DayPlan | None:
        clean_day = CleanDay(
            day=day,
            hours=clean[day],
            values=clean_series.values[day].tolist(),
            baselines=baselines[day % len(baselines)].tolist(),
            funnel=funnel,
            level=level,
        )
        plan = plan_anomalies_of_day(stream, families_by_day[day], clean_day)
        budget.unplanned_days_left -= plan is None
        return plan

    days_to_plan = set(families_by_day)
    for _ in range(MAX_REPLANS):
        for day in sorted(days_to_plan):
            planned_day, plan = day, plan_day(day)
            while plan is None and moves_left and free_days and budget.unplanned_days_left > 0:
                # The anomaly may be possible on another day of the product.
                moves_left -= 1
                planned_day = free_days.pop()
                families_by_day[planned_day] = families_by_day.pop(day)
                planned.pop(day, None)
                hourly[day] = clean[day]
                day, plan = planned_day, plan_day(planned_day)
            if plan is None:
                return None
            planned[planned_day], hourly[planned_day] = plan.anomalies, plan.hours
        series = DailySeries(hourly, funnel, level, explained)
        labels = compute_expected_rows(series, dates)
        days_to_plan = _find_days_to_replan(series, dates, planned, labels)
        if not days_to_plan:
            # Levels of the built-in funnel without decoys or a drawn policy have no clean days near
            # a threshold.
            has_close_clean_days = (
                level.decoys or level.has_drawn_policy or config.product is not None
            )
            if has_close_clean_days and _is_planned_day_near_threshold_without_anomalies(
                clean_series, series, planned
            ):
                return None
            if not does_every_tool_decide_the_report(config, hourly, series, dates):
                return None
            return GeneratedEpisode(
                dates=dates,
                clean=clean,
                hourly=hourly,
                planned_anomalies=tuple(
                    anomaly for day in sorted(planned) for anomaly in planned[day]
                ),
                applied_anomalies=(),
                series=series,
                labels=labels,
                attempts=attempt_index + 1,
                calendar=tuple(sorted(calendar, key=lambda entry: entry.day)),
            )
        if not days_to_plan <= set(planned):
            # A day without a planned anomaly is flagged or near a threshold, which replanning
            # cannot fix.
            return None
        baselines = series.baselines
    return None


def _find_days_to_replan(
    series: DailySeries,
    dates: Sequence[str],
    planned: Mapping[int, Sequence[PlannedAnomaly]],
    labels: Sequence[ReportRow],
) -> set[int]:
    """Return the days on which labels do not match the plan or values are too close to a limit.

    The limits are the reporting thresholds and the severity bounds.

    Args:
        series: daily series of the data with anomalies.
        dates: ISO date of each day.
        planned: planned anomalies by day.
        labels: rows that the reporting policy finds.
    """
    planned_rows = {
        (dates[day], *anomaly.root) for day, anomalies in planned.items() for anomaly in anomalies
    }
    label_rows = {(row.date, row.entity_type, row.entity_name, row.anomaly_type) for row in labels}
    wrong_dates = {date for date, *_ in planned_rows ^ label_rows}
    wrong_dates |= {row.date for row in labels if not series.limits.is_row_clear_of_bounds(row)}
    is_near = build_near_threshold_mask(
        series.unexplained_deviations, series.funnel, series.level, GUARD_BAND
    )
    days = {dates.index(date) for date in wrong_dates}
    return days | set(np.flatnonzero(is_near.any(axis=1)).tolist())


def _is_planned_day_near_threshold_without_anomalies(
    clean: DailySeries, finished: DailySeries, planned_days: Iterable[int]
) -> bool:
    """Return whether any planned day would be near or past a threshold without its anomalies.

    Args:
        clean: daily series of the data without anomalies.
        finished: daily series of the data with anomalies, which provides the baselines.
        planned_days: indices of the days with planned anomalies.
    """
    deviations = compute_deviations(
        clean.values,
        finished.baselines,
        has_daytime_share=finished.funnel.columns.has_daytime_share,
        is_zero_baseline_flagged=finished.level.is_zero_baseline_flagged,
    )
    is_near = np.abs(deviations) >= (1.0 - GUARD_BAND) * finished.thresholds
    if finished.explained is not None:
        is_near &= ~finished.explained
    return bool(is_near[list(planned_days)].any())


def apply_planned_anomalies(clean: IntArray, anomalies: Sequence[PlannedAnomaly]) -> IntArray:
    """Apply planned anomalies in the given order and return the resulting hourly counts.

    Args:
        clean: counts without these anomalies, shape (days, 24, stages); not modified.
        anomalies: planned anomalies.
    """
    hourly = clean.copy()
    for anomaly in anomalies:
        hourly[anomaly.day] = anomaly.effect.apply_to_copy(hourly[anomaly.day])
    return hourly


def count_unexplained_deviations_near_threshold(series: DailySeries) -> int:
    """Return the number of deviations that are too close to their reporting threshold.

    Deviations that a calendar entry explains are not counted.
    """
    is_near = build_near_threshold_mask(
        series.unexplained_deviations, series.funnel, series.level, GUARD_BAND
    )
    return int(is_near.sum())


def _add_or_substitute_custom_anomalies(
    generated: GeneratedEpisode, config: EpisodeConfig
) -> GeneratedEpisode:
    """Apply custom anomalies to a generated episode and recompute its labels.

    They are added to the planned anomalies or, if `only_custom` is set, replace them. Unlike
    planned anomalies, custom anomalies may bring a deviation close to a threshold.
    """
    level, funnel = config.level_with_policy_parameters, config.funnel_with_policy_daytime
    before = generated.clean if config.only_custom else generated.hourly
    hourly, applied = apply_custom_anomalies(
        before, config.anomalies, generated.dates, funnel, level
    )
    series = DailySeries(hourly, funnel, level, generated.series.explained)
    return replace(
        generated,
        hourly=hourly,
        planned_anomalies=() if config.only_custom else generated.planned_anomalies,
        applied_anomalies=applied,
        series=series,
        labels=compute_expected_rows(series, generated.dates),
    )
