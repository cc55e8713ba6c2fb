"""Analysis methods that compare dates with medians and find breaks and impossible counts."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, TypedDict

import numpy as np

from metric_tracker_rl.analysis_tools.arguments import (
    CountArguments,
    DateArguments,
    RateArguments,
    SuspiciousDatesArguments,
)
from metric_tracker_rl.analysis_tools.lookup import NORMAL
from metric_tracker_rl.analysis_tools.registry import TOOLS
from metric_tracker_rl.engine.definitions.anomaly_types import (
    FUNNEL_BREAK,
    QUALITY_ISSUE,
    find_anomaly_type_of_deviation,
)
from metric_tracker_rl.engine.definitions.display import (
    DEVIATION_DECIMALS,
    RATE_DECIMALS,
    subtract_baseline_and_round_for_display,
)
from metric_tracker_rl.engine.definitions.entity_types import (
    CONVERSION_RATE,
    DATA_QUALITY,
    DETECTION_METHODS,
    EVENT_COUNT,
    FUNNEL_STEP,
)
from metric_tracker_rl.engine.definitions.severity import find_highest_severity_reached
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from openenv_kit.errors import ToolArgumentError, build_unknown_name_message


class BaselineAndDeviation(TypedDict):
    """Value of a series on one date, its baseline, and the deviation between them."""

    baseline_value: float
    observed_value: float
    delta_value: float
    relative_deviation: float


class ComparisonWithMedian(BaselineAndDeviation):
    """Result of `compare_rate_to_median` and `compare_count_to_median`."""

    found: bool
    date: str
    entity_type: str
    entity_name: str
    detection_method: str
    anomaly_type: str | None
    severity: str


class BrokenFunnelSteps(TypedDict):
    """Result of `detect_funnel_break`, which lists the broken steps of one date."""

    found: bool
    date: str
    candidates: list[dict[str, Any]]


class ImpossibleCounts(TypedDict):
    """Result of `check_impossible_counts` for one date.

    It contains an issue for each pair of adjacent stages with impossible counts. `total_excess` is
    the total number of excess events of all pairs.
    """

    found: bool
    date: str
    issue_count: int
    total_excess: int
    issues: list[dict[str, Any]]


class DatesRankedByDeviation(TypedDict):
    """Result of `list_suspicious_dates`, which is one page of the ranked dates."""

    dates: list[dict[str, Any]]


IMPOSSIBLE_COUNTS_SCORE = 2.0
"""Smallest suspicion score of a date with impossible counts."""


@TOOLS.tool(RateArguments)
def compare_rate_to_median(view: EpisodeView, arguments: RateArguments) -> ComparisonWithMedian:
    """Compare one conversion rate (percent) on one date with its median; normal below threshold."""
    return _compare_count_or_rate_to_median(
        view, CONVERSION_RATE, arguments.date, arguments.entity_name
    )


@TOOLS.tool(CountArguments)
def compare_count_to_median(view: EpisodeView, arguments: CountArguments) -> ComparisonWithMedian:
    """Compare one event count on one date with its median; normal below threshold."""
    return _compare_count_or_rate_to_median(
        view, EVENT_COUNT, arguments.date, arguments.entity_name
    )


@TOOLS.tool(DateArguments)
def detect_funnel_break(view: EpisodeView, arguments: DateArguments) -> BrokenFunnelSteps:
    """List funnel steps whose rate dropped by at least the break threshold on one date."""
    funnel = view.episode.config.funnel_with_policy_daytime
    date = view.episode.require_episode_date(arguments.date)
    is_broken = view.episode.metrics.flagged.loc[date, list(funnel.funnel_step_names)]
    candidates = [
        {
            "entity_type": FUNNEL_STEP,
            "entity_name": name,
            **_build_baseline_and_deviation_fields(view, FUNNEL_STEP, date, name),
            "anomaly_type": FUNNEL_BREAK,
            "detection_method": DETECTION_METHODS[FUNNEL_STEP],
            "severity": _find_severity_of_entity_on_date(view, FUNNEL_STEP, date, name),
        }
        for name in is_broken.index[is_broken]
    ]
    return {"found": True, "date": date, "candidates": candidates}


@TOOLS.tool(DateArguments)
def check_impossible_counts(view: EpisodeView, arguments: DateArguments) -> ImpossibleCounts:
    """List adjacent stages of which the later has more events than the earlier in some hour."""
    episode = view.episode
    funnel = episode.config.funnel_with_policy_daytime
    date = episode.require_episode_date(arguments.date)
    hourly_counts = episode.hourly.loc[date]
    excess_by_pair = episode.metrics.value.loc[date]
    issues = []
    for (earlier, later), name in zip(
        pairwise(funnel.event_count_names), funnel.quality_check_names, strict=True
    ):
        if not excess_by_pair[name]:
            continue
        hourly_excess = hourly_counts[later] - hourly_counts[earlier]
        if funnel.compares_daily_totals:
            hourly_excess = hourly_excess[:0]  # in some hours, the later stage may have more events
        impossible_hours = hourly_excess[hourly_excess > 0].rename("excess")
        issues.append(
            {
                "entity_type": DATA_QUALITY,
                "entity_name": name,
                "baseline_value": 0.0,
                "observed_value": float(excess_by_pair[name]),
                "delta_value": float(excess_by_pair[name]),
                "anomaly_type": QUALITY_ISSUE,
                "detection_method": DETECTION_METHODS[DATA_QUALITY],
                "severity": _find_severity_of_entity_on_date(view, DATA_QUALITY, date, name),
                "hours": impossible_hours.reset_index().to_dict("records"),
            }
        )
    return {
        "found": True,
        "date": date,
        "issue_count": len(issues),
        "total_excess": int(excess_by_pair[list(funnel.quality_check_names)].sum()),
        "issues": issues,
    }


@TOOLS.tool(SuspiciousDatesArguments)
def list_suspicious_dates(
    view: EpisodeView, arguments: SuspiciousDatesArguments
) -> DatesRankedByDeviation:
    """Rank dates by largest deviation as a multiple of its threshold; all deltas in percent.

    A date with impossible counts scores at least 2. Deltas of rates and counts are relative, in
    percent of the median; those of the daytime share are percentage points.
    """
    metrics = view.episode.metrics
    funnel = view.episode.config.funnel_with_policy_daytime
    flagged = metrics.flagged.to_numpy()
    sizes = np.abs(metrics.deviation.to_numpy())
    rate_sizes = sizes[:, metrics.find_column_positions_of_entities(funnel.conversion_rate_names)]
    count_sizes = sizes[:, metrics.find_column_positions_of_entities(funnel.event_count_names)]
    share_columns = metrics.find_column_positions_of_entities(funnel.daytime_share_names)
    share_sizes = sizes[:, share_columns].sum(axis=1)  # 0 if the funnel has no daytime share
    series_sizes = sizes[:, metrics.find_column_positions_of_entities(funnel.daily_series_names)]
    broken_steps = flagged[
        :, metrics.find_column_positions_of_entities(funnel.funnel_step_names)
    ].sum(axis=1)
    impossible_pairs = flagged[
        :, metrics.find_column_positions_of_entities(funnel.quality_check_names)
    ].sum(axis=1)
    scores = (series_sizes / view.episode.series.thresholds).max(axis=1)
    scores[(impossible_pairs > 0) & (scores < IMPOSSIBLE_COUNTS_SCORE)] = IMPOSSIBLE_COUNTS_SCORE
    values_by_field = {
        "suspicion_score": scores,
        "max_rate_delta": 100.0 * rate_sizes.max(axis=1),
        "max_count_delta_pct": 100.0 * count_sizes.max(axis=1),
        "hourly_mix_delta_pct": 100.0 * share_sizes,
        "funnel_candidate_count": broken_steps,
        "impossible_issue_count": impossible_pairs,
    }
    ranked_days = np.argsort(-scores, kind="stable")[arguments.offset :][: arguments.limit]
    dates = [
        # NumPy's round() is occasionally off by one in the last digit; Python's is not.
        {
            "date": view.episode.dates[day],
            **{
                name: round(values[day].item(), RATE_DECIMALS)
                for name, values in values_by_field.items()
            },
        }
        for day in ranked_days.tolist()
    ]
    return {"dates": dates}


def _compare_count_or_rate_to_median(
    view: EpisodeView, entity_type: str, date: str, entity_name: str
) -> ComparisonWithMedian:
    names = view.episode.config.funnel_with_policy_daytime.entity_names_by_type[entity_type]
    metrics = view.episode.metrics
    if entity_name not in names:
        raise ToolArgumentError(build_unknown_name_message("entity_name", entity_name, names))
    view.episode.require_episode_date(date)
    *_, deviation = metrics.get_metric_value(date, entity_name)
    is_flagged = metrics.flagged.at[date, entity_name]
    anomaly_type = find_anomaly_type_of_deviation(entity_type, deviation) if is_flagged else NORMAL
    return {
        "found": True,
        "date": date,
        "entity_type": entity_type,
        "entity_name": entity_name,
        "detection_method": DETECTION_METHODS[entity_type],
        **_build_baseline_and_deviation_fields(view, entity_type, date, entity_name),
        "anomaly_type": anomaly_type,
        "severity": _find_severity_of_entity_on_date(view, entity_type, date, entity_name),
    }


def _build_baseline_and_deviation_fields(
    view: EpisodeView, entity_type: str, date: str, entity_name: str
) -> BaselineAndDeviation:
    observed, baseline, deviation = view.episode.metrics.get_metric_value(date, entity_name)
    return {
        "baseline_value": baseline,
        "observed_value": observed,
        "delta_value": subtract_baseline_and_round_for_display(observed, baseline, entity_type),
        "relative_deviation": round(deviation, DEVIATION_DECIMALS),
    }


def _find_severity_of_entity_on_date(
    view: EpisodeView, entity_type: str, date: str, entity_name: str
) -> str:
    *_, deviation = view.episode.metrics.get_metric_value(date, entity_name)
    series = view.episode.series
    column = series.funnel.columns.get_column_of_entity(entity_type, entity_name)
    return find_highest_severity_reached(abs(deviation), series.limits.bounds[column])
