"""Public names and parameters of a policy in which every series has its own threshold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metric_tracker_rl.engine.definitions.entity_types import DATA_QUALITY
from metric_tracker_rl.engine.definitions.funnel import Funnel, FunnelStage, HourRange
from metric_tracker_rl.engine.definitions.thresholds import SEVERITY_MULTIPLES
from metric_tracker_rl.engine.reporting_policy.baselines import get_weekday_name_of_date
from metric_tracker_rl.engine.reporting_policy.daily_series import DailySeries


def build_series_policy_numbers(series: DailySeries, first_date: str) -> dict[str, Any]:
    """Return the public parameters of a policy in which every series has its own threshold.

    A client can apply the policy with these fields alone. It does not have to split names at
    `_to_`, which would be ambiguous because names of stages may contain it.

    Args:
        series: daily series of the episode, which provide funnel, level and limits.
        first_date: ISO date of the first day.

    Returns:
        JSON-ready fields:
        `stages`, `step_rates`, `funnel_steps`, `quality_checks`: entity names in funnel order.
        `composite_rates`: index of the last stage of each composite rate, by name, shortest first.
        `daytime_share`: name of the daytime share; missing if the funnel has none.
        `daytime_hours`: first and last daytime hour, both included; missing if the funnel has no
            daytime share.
        `hours_per_day`: number of counts of each stage on a day, 24 or 1.
        `compares_daily_totals`: whether impossible counts are found in the day's totals.
        `thresholds`: thresholds by name of series.
        `break_thresholds`: break thresholds by name of funnel step.
        `severity_multiples`: bounds of medium, high and critical in multiples of the threshold.
        `severity_bands`: bounds of impossible counts.
        `baseline`: kind of baseline.
        `leak_reports`: which composite rate a report must contain for a slow leak.
        `first_weekday`: weekday of the first day.
    """
    funnel, level, limits = series.funnel, series.level, series.limits
    numbers: dict[str, Any] = {
        "stages": list(funnel.event_count_names),
        "step_rates": list(funnel.step_rate_names),
        "composite_rates": dict(
            zip(funnel.composite_rate_names, funnel.composite_ends, strict=True)
        ),
        "funnel_steps": list(funnel.funnel_step_names),
        "quality_checks": list(funnel.quality_check_names),
    }
    if funnel.daytime is not None:
        numbers["daytime_share"] = funnel.daytime_share_name
        numbers["daytime_hours"] = [funnel.daytime.start, funnel.daytime.stop - 1]
    return {
        **numbers,
        "hours_per_day": funnel.hours_per_day,
        "compares_daily_totals": funnel.compares_daily_totals,
        "thresholds": dict(zip(funnel.daily_series_names, limits.thresholds, strict=True)),
        "break_thresholds": dict(
            zip(funnel.funnel_step_names, limits.break_thresholds, strict=True)
        ),
        "severity_multiples": list(SEVERITY_MULTIPLES),
        "severity_bands": {DATA_QUALITY: list(limits.bounds[-1])},
        "baseline": level.baseline.value,
        "leak_reports": level.leak_reports.value,
        "first_weekday": get_weekday_name_of_date(first_date),
    }


def rebuild_funnel_from_numbers(numbers: Mapping[str, Any]) -> Funnel:
    """Rebuild the funnel that the public parameters of a policy describe.

    The result has no model from which counts could be generated.

    Args:
        numbers: result of `build_series_policy_numbers`, or a configuration that contains it.

    Raises:
        KeyError, TypeError, ValueError: a parameter is missing or has the wrong type.
    """
    daytime = None
    if "daytime_hours" in numbers:
        first_hour, last_hour = numbers["daytime_hours"]
        daytime = HourRange(first_hour, last_hour + 1)
    return Funnel(
        name=str(numbers.get("funnel", "")),
        stages=tuple(FunnelStage(name, name) for name in numbers["stages"]),
        composite_ends=tuple(numbers["composite_rates"].values()),
        daytime=daytime,
        hours_per_day=numbers["hours_per_day"],
        compares_daily_totals=numbers["compares_daily_totals"],
    )
