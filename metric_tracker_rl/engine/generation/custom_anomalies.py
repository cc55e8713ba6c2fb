"""Custom anomalies at reset: a metric set to median ± factor × standard deviation.

A count is set by scaling that stage's record alone; a rate by scaling its numerator's stage
and every later one. The reporting policy then labels the result like any other data, which
can be more rows than were set, fewer, or impossible counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from metric_tracker_rl.engine.configuration.episode_config import CustomAnomaly
from metric_tracker_rl.engine.definitions.funnel import Funnel
from metric_tracker_rl.engine.definitions.levels import FunnelLevel
from metric_tracker_rl.engine.definitions.names import (
    CONVERSION_RATE,
    DETECTION_METHODS,
    EVENT_COUNT,
    STDDEV_SHIFT,
)
from metric_tracker_rl.engine.reporting_policy.daily_series import (
    RATE_DECIMALS,
    DailySeries,
    IntArray,
)
from metric_tracker_rl.engine.reporting_policy.find_roots import anomaly_type_of_deviation
from openenv_kit.errors import InvalidValueError, find_nearest_name


def apply_custom_anomalies(
    hourly: IntArray,
    anomalies: Sequence[CustomAnomaly],
    dates: Sequence[str],
    funnel: Funnel,
    level: FunnelLevel,
) -> tuple[IntArray, tuple[dict[str, Any], ...]]:
    """Counts after all custom anomalies, in the order given, and what was done.

    What was done is told in the fields of `AppliedSyntheticGenerator`, in their order.

    Medians and standard deviations are those of the data before any of them.

    Raises:
        InvalidValueError: a date outside the episode; names the range.
    """
    before = DailySeries(hourly, funnel, level)
    result = hourly.copy()
    applied = []
    for anomaly in anomalies:
        for date in anomaly.dates:
            day = _require_day_index(date, dates)
            for metric in anomaly.metrics:
                applied.append(_apply_custom_anomaly(result, before, anomaly, day, date, metric))
    return result, tuple(applied)


def _require_day_index(date: str, dates: Sequence[str]) -> int:
    if date in dates:
        return dates.index(date)
    guess = find_nearest_name(date, dates)
    hint = f" (did you mean {guess}?)" if guess else ""
    raise InvalidValueError(
        "anomaly date", date, f"a date from {dates[0]} to {dates[-1]} as YYYY-MM-DD{hint}"
    )


def _apply_custom_anomaly(
    hourly: IntArray, before: DailySeries, anomaly: CustomAnomaly, day: int, date: str, metric: str
) -> dict[str, Any]:
    """Set one metric on one day of `result`, in place."""
    funnel = before.funnel
    column = funnel.metric_names.index(metric)
    is_count = metric in funnel.count_names
    current = _displayed_value(hourly[day], funnel, column)
    median, spread = before.baselines_by_day[day][column], before.std_devs_from_baseline[column]
    distance = anomaly.stddev_factor * spread
    ceiling = float("inf") if is_count else 100.0
    direction = anomaly.direction
    if direction == "auto":
        up = current >= median and median + distance <= ceiling
        direction = "up" if up or median - distance < 0.0 else "down"
    sign = 1.0 if direction == "up" else -1.0
    target = min(max(median + sign * distance, 0.0), ceiling)
    if is_count:
        target = float(np.rint(target))
        hourly[day, :, column] = _scale_to_total(hourly[day, :, column], int(target))
    else:
        _scale_to_rate(hourly[day], funnel, column, target / 100.0)
    metric_type = EVENT_COUNT if is_count else CONVERSION_RATE
    return {
        "method_name": STDDEV_SHIFT,
        "date": date,
        "metric_name": metric,
        "metric_type": metric_type,
        "direction": direction,
        "anomaly_type": anomaly_type_of_deviation(metric_type, sign),
        "detection_method": DETECTION_METHODS[metric_type],
        "baseline_value": median,
        "pre_applied_value": current,
        "std_dev_from_median": round(spread, RATE_DECIMALS),
        "stddev_factor": anomaly.stddev_factor,
        "threshold_value": round(distance, RATE_DECIMALS),
        "target_value": round(target, RATE_DECIMALS),
        "actual_value": _displayed_value(hourly[day], funnel, column),
        "formula": f"target = median {'-+'[sign > 0]} stddev_factor * std_dev_from_median",
    }


def _displayed_value(hours: IntArray, funnel: Funnel, column: int) -> float:
    """Displayed value of one column on a day of hourly counts."""
    counts = hours.sum(axis=0)
    if column < len(funnel.count_names):
        return float(counts[column])
    above, below = funnel.rate_stage_indices[column - len(funnel.count_names)]
    return round(float(counts[above] / max(counts[below], 1)) * 100.0, RATE_DECIMALS)


def _scale_to_rate(hours: IntArray, funnel: Funnel, column: int, target_rate: float) -> None:
    """Scale the rate's numerator stage and all later ones so that the day's rate is `target`."""
    above, below = funnel.rate_stage_indices[column - len(funnel.count_names)]
    counts = hours.sum(axis=0)
    wanted = float(counts[below]) * target_rate
    factor = wanted / float(counts[above]) if counts[above] else 0.0
    for stage in range(above, len(funnel.count_names)):
        total = int(np.rint(float(counts[stage]) * factor))
        hours[:, stage] = _scale_to_total(hours[:, stage], total)


def _scale_to_total(counts: IntArray, total: int) -> IntArray:
    """Scale 24 counts to an exact total: whole parts first, then one event per hour."""
    have = int(counts.sum())
    weights = counts if have else np.ones_like(counts)
    have = have or len(counts)
    scaled = np.array([int(weight) * total // have for weight in weights.tolist()], dtype=np.int64)
    missing = total - int(scaled.sum())
    scaled[np.argsort(-weights, kind="stable")[:missing]] += 1
    return scaled
