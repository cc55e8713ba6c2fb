"""Adds near misses, which another draw of the thresholds would have flagged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.definitions.levels import FunnelLevel
from metric_tracker_rl.engine.definitions.rungs import EVERY_LEVEL
from metric_tracker_rl.engine.generation.effects import (
    CountEffect,
    ScaleStepRates,
    ScaleTraffic,
    ShiftHours,
    StepFactor,
)
from metric_tracker_rl.engine.generation.explained_anomalies import (
    build_clean_day,
    compute_deviations_of_hours,
)
from metric_tracker_rl.engine.generation.plan_anomalies import (
    MAX_PLAN_ATTEMPTS,
    PLANNING_GUARD_BAND,
)
from metric_tracker_rl.engine.generation.planned_anomaly import CleanDay
from metric_tracker_rl.engine.reporting_policy.daily_series import (
    DailySeries,
    IntArray,
    build_near_threshold_mask,
)
from metric_tracker_rl.engine.reporting_policy.find_roots import find_roots_of_day
from openenv_kit.bitstream import BitStream

SMALLEST_MULTIPLE = 1.02
"""Smallest near miss, in multiples of the smaller threshold that would flag it."""


class _Kind(NamedTuple):
    """A kind of series, with its threshold and a function that changes a day by an amount."""

    threshold: str
    draw_effect: Callable[[BitStream, CleanDay, float], CountEffect]


def plant_near_misses(
    stream: BitStream, config: EpisodeConfig, clean: IntArray, free_days: list[int]
) -> None:
    """Add deviations that lie between a threshold that could be drawn and the drawn one.

    Args:
        stream: random stream.
        config: configuration of the episode, whose level has the number of near misses.
        clean: hourly counts, which are changed in place; shape (days, hours, stages).
        free_days: indices of the available days. Days are removed from the end of the list.
    """
    level, base = config.level_with_policy_parameters, EVERY_LEVEL[config.difficulty]
    # No rule is suspended here, because a near miss must not depend on the suspended rule.
    series = DailySeries(
        clean, config.funnel_with_policy_daytime, replace(level, suspended_rule=None)
    )
    planted = 0
    while planted < level.near_misses and free_days:
        clean_day = build_clean_day(series, clean, free_days.pop())
        for _ in range(MAX_PLAN_ATTEMPTS):
            hours = _propose_near_miss(stream, clean_day, base)
            if hours is not None:
                clean[clean_day.day] = hours
                planted += 1
                break


def _propose_near_miss(
    stream: BitStream, clean_day: CleanDay, base: FunnelLevel
) -> IntArray | None:
    """Return a day's counts with a near miss; None if the proposal is not a near miss.

    Args:
        stream: random stream.
        clean_day: the day and the level with the drawn thresholds.
        base: the level with the smallest thresholds.
    """
    level, funnel = clean_day.level, clean_day.funnel
    kinds = [
        kind for kind in _KINDS if getattr(level, kind.threshold) > getattr(base, kind.threshold)
    ]
    kind = stream.choose(kinds)
    smaller_threshold = _draw_smaller_threshold(stream, kind, level, base)
    threshold = getattr(level, kind.threshold)
    size = stream.uniform(
        SMALLEST_MULTIPLE * smaller_threshold, (1.0 - PLANNING_GUARD_BAND) * threshold
    )
    hours = kind.draw_effect(stream, clean_day, size).apply_to_copy(clean_day.hours)
    deviations = compute_deviations_of_hours(clean_day, hours)
    if build_near_threshold_mask(deviations, funnel, level, PLANNING_GUARD_BAND).any():
        return None
    no_excess = [0.0] * len(funnel.quality_check_names)
    changed_threshold: dict[str, Any] = {kind.threshold: smaller_threshold}
    smaller = replace(level, **changed_threshold)
    is_flagged, would_be_flagged = (
        bool(find_roots_of_day(deviations.tolist(), no_excess, funnel, each))
        for each in (level, smaller)
    )
    return hours if would_be_flagged and not is_flagged else None


def _draw_smaller_threshold(
    stream: BitStream, kind: _Kind, level: FunnelLevel, base: FunnelLevel
) -> float:
    possible = [getattr(base, kind.threshold) * factor for factor in base.threshold_factors]
    threshold = getattr(level, kind.threshold)
    largest = (1.0 - PLANNING_GUARD_BAND) * threshold / SMALLEST_MULTIPLE
    return stream.choose([each for each in possible if each < largest])


def _draw_traffic_change(stream: BitStream, day: CleanDay, size: float) -> CountEffect:
    return ScaleTraffic(day.compute_factor_for_count_deviation(0, _draw_sign(stream) * size))


def _draw_step_rate_change(stream: BitStream, day: CleanDay, size: float) -> CountEffect:
    # The rate of the last step is too high to rise.
    stage = stream.choose(day.funnel.step_stage_indices[:-1])
    factor = day.compute_factor_for_step_rate_deviation(stage, _draw_sign(stream) * size)
    return ScaleStepRates((StepFactor(stage, factor),))


def _draw_mix_shift(stream: BitStream, day: CleanDay, size: float) -> CountEffect:
    column = day.funnel.columns.daytime_share
    share = day.values[column]
    target = day.baselines[column] + _draw_sign(stream) * size
    return ShiftHours(day.funnel.daytime_hours, target / share, (1.0 - target) / (1.0 - share))


def _draw_sign(stream: BitStream) -> float:
    return 1.0 if stream.integer_below(2) else -1.0


_KINDS = (
    _Kind("count_threshold", _draw_traffic_change),
    _Kind("rate_threshold", _draw_step_rate_change),
    _Kind("mix_threshold", _draw_mix_shift),
)
