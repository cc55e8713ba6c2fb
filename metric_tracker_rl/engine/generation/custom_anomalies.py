"""Applies custom anomalies, which set a metric to median ± factor × standard deviation.

Setting a count scales only the events of that stage. Setting a rate scales the events of its
numerator stage and of all later stages. The reporting policy labels the result like any other data,
so the number of expected rows can differ from the number of custom anomalies, and impossible counts
can occur.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from metric_tracker_rl.engine.configuration.episode_config import CustomAnomaly
from metric_tracker_rl.engine.definitions.anomaly_types import find_anomaly_type_of_deviation
from metric_tracker_rl.engine.definitions.dates import build_unknown_date_message
from metric_tracker_rl.engine.definitions.display import RATE_DECIMALS
from metric_tracker_rl.engine.definitions.entity_types import (
    CONVERSION_RATE,
    DETECTION_METHODS,
    EVENT_COUNT,
)
from metric_tracker_rl.engine.definitions.funnel import Funnel
from metric_tracker_rl.engine.definitions.levels import FunnelLevel
from metric_tracker_rl.engine.definitions.names import STDDEV_SHIFT
from metric_tracker_rl.engine.reporting_policy.daily_series import DailySeries, IntArray
from openenv_kit.errors import ConfigurationError

AppliedAnomalyFields = dict[str, Any]
"""Fields of `AppliedSyntheticGenerator`, in the order of their declaration."""
MAX_RATE = 100.0
"""Upper limit of the value that a rate can be set to, in percent."""


class CustomizedCounts(NamedTuple):
    """Hourly counts after custom anomalies were applied, and a description of each change.

    Attributes:
        hourly: hourly counts, shape (days, 24, stages).
        applied: one description for each changed metric and date.
    """

    hourly: IntArray
    applied: tuple[AppliedAnomalyFields, ...]


def apply_custom_anomalies(
    hourly: IntArray,
    anomalies: Sequence[CustomAnomaly],
    dates: Sequence[str],
    funnel: Funnel,
    level: FunnelLevel,
) -> CustomizedCounts:
    """Apply custom anomalies to a copy of the counts, and describe each change.

    The anomalies are applied in the given order.
    Medians and standard deviations are computed from the unmodified counts.

    Args:
        hourly: counts, shape (days, 24, stages); not modified.
        anomalies: custom anomalies.
        dates: ISO date of each day.
        funnel: funnel that provides the metric names and columns.
        level: level that determines the kind of baseline.

    Raises:
        ConfigurationError: a date is outside the episode. The message contains the range.
    """
    before = DailySeries(hourly, funnel, level)
    result = hourly.copy()
    applied = []
    for anomaly in anomalies:
        for date in anomaly.dates:
            if date not in dates:
                raise ConfigurationError(build_unknown_date_message(date, dates))
            day = dates.index(date)
            for metric in anomaly.metrics:
                applied.append(
                    _apply_custom_anomaly_in_place(result, before, anomaly, day, date, metric)
                )
    return CustomizedCounts(result, tuple(applied))


def _apply_custom_anomaly_in_place(
    hourly: IntArray,
    series_before: DailySeries,
    anomaly: CustomAnomaly,
    day: int,
    date: str,
    metric_name: str,
) -> AppliedAnomalyFields:
    """Set one metric on one day of `hourly` in place, and return a description of the change."""
    funnel = series_before.funnel
    column = funnel.count_and_rate_names.index(metric_name)
    is_count = funnel.columns.is_event_count_column(column)
    current = _compute_displayed_count_or_rate(hourly[day], funnel, column)
    median = series_before.baselines_by_day[day][column]
    std_dev = series_before.std_devs_from_baseline[column]
    distance = anomaly.stddev_factor * std_dev
    ceiling = float("inf") if is_count else MAX_RATE
    direction = anomaly.direction
    if direction == "auto":
        has_room_above = current >= median and median + distance <= ceiling
        direction = "up" if has_room_above or median - distance < 0.0 else "down"
    sign = 1.0 if direction == "up" else -1.0
    target = min(max(median + sign * distance, 0.0), ceiling)
    if is_count:
        target = float(np.rint(target))
        hourly[day, :, column] = _scale_hourly_counts_to_exact_total(
            hourly[day, :, column], int(target)
        )
    else:
        _scale_numerator_and_later_stages_in_place(hourly[day], funnel, column, target / 100.0)
    metric_type = EVENT_COUNT if is_count else CONVERSION_RATE
    return {
        "method_name": STDDEV_SHIFT,
        "date": date,
        "metric_name": metric_name,
        "metric_type": metric_type,
        "direction": direction,
        "anomaly_type": find_anomaly_type_of_deviation(metric_type, sign),
        "detection_method": DETECTION_METHODS[metric_type],
        "baseline_value": median,
        "pre_applied_value": current,
        "std_dev_from_median": round(std_dev, RATE_DECIMALS),
        "stddev_factor": anomaly.stddev_factor,
        "threshold_value": round(distance, RATE_DECIMALS),
        "target_value": round(target, RATE_DECIMALS),
        "actual_value": _compute_displayed_count_or_rate(hourly[day], funnel, column),
        "formula": (
            f"target = median {'+' if sign > 0 else '-'} stddev_factor * std_dev_from_median"
        ),
    }


def _compute_displayed_count_or_rate(
    hourly_counts_of_day: IntArray, funnel: Funnel, column: int
) -> float:
    """Return an event count or a conversion rate of one day, rounded for display.

    Args:
        hourly_counts_of_day: counts of the day, shape (24, stages).
        funnel: funnel that the stages belong to.
        column: column of the count or rate.
    """
    counts = hourly_counts_of_day.sum(axis=0)
    if funnel.columns.is_event_count_column(column):
        return float(counts[column])
    stages = funnel.rate_stage_indices[funnel.columns.rate_index_of_column(column)]
    rate = float(counts[stages.numerator] / max(counts[stages.denominator], 1)) * 100.0
    return round(rate, RATE_DECIMALS)


def _scale_numerator_and_later_stages_in_place(
    hourly_counts_of_day: IntArray, funnel: Funnel, rate_column: int, target_fraction: float
) -> None:
    """Change one day's counts in place so that a conversion rate reaches a target.

    The counts of the rate's numerator stage and of all later stages are scaled by one factor.

    Args:
        hourly_counts_of_day: counts of one day, shape (24, stages).
        funnel: funnel that the stages belong to.
        rate_column: column of the rate.
        target_fraction: new value of the rate, as a fraction.
    """
    stages = funnel.rate_stage_indices[funnel.columns.rate_index_of_column(rate_column)]
    counts = hourly_counts_of_day.sum(axis=0)
    numerator = counts[stages.numerator]
    target_count = float(counts[stages.denominator]) * target_fraction
    factor = target_count / float(numerator) if numerator else 0.0
    for stage in range(stages.numerator, len(funnel.event_count_names)):
        total = int(np.rint(float(counts[stage]) * factor))
        hourly_counts_of_day[:, stage] = _scale_hourly_counts_to_exact_total(
            hourly_counts_of_day[:, stage], total
        )


def _scale_hourly_counts_to_exact_total(counts: IntArray, total: int) -> IntArray:
    """Scale 24 hourly counts so that their sum is exactly `total`.

    Counts are rounded down. The missing events are then added one by one to the hours with the
    highest counts.
    """
    current_total = int(counts.sum())
    weights = counts if current_total else np.ones_like(counts)
    weight_sum = current_total or len(counts)
    scaled = np.array(
        [int(weight) * total // weight_sum for weight in weights.tolist()], dtype=np.int64
    )
    missing = total - int(scaled.sum())
    scaled[np.argsort(-weights, kind="stable")[:missing]] += 1
    return scaled
