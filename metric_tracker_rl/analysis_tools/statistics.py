"""Analysis methods over all dates: medians, standard deviations, and dates far from the median."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from metric_tracker_rl.analysis_tools.arguments import DifferenceArguments, MetricArguments
from metric_tracker_rl.analysis_tools.registry import TOOLS, MethodResult
from metric_tracker_rl.engine.definitions.display import (
    RATE_DECIMALS,
    subtract_baseline_and_round_for_display,
)
from metric_tracker_rl.engine.definitions.entity_types import CONVERSION_RATE, EVENT_COUNT
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.report.parse_report import require_allowed_name


class ResultsByMetric(TypedDict):
    """Result of a method that covers all dates, with one mapping for each metric."""

    metric_names: list[str]
    results: list[MethodResult]


@TOOLS.tool(MetricArguments)
def get_metric_median(view: EpisodeView, arguments: MetricArguments) -> ResultsByMetric:
    """Return the median over all dates of each named metric, or of all."""
    names = select_requested_or_all_metric_names(
        view, arguments.metric_name, arguments.metric_names
    )
    return {
        "metric_names": names,
        "results": [_build_median_fields_of_metric(view, name) for name in names],
    }


@TOOLS.tool(MetricArguments)
def get_metric_std_dev_from_median(
    view: EpisodeView, arguments: MetricArguments
) -> ResultsByMetric:
    """Return the standard deviation from the median, sqrt(mean((value - median)^2)), by metric."""
    names = select_requested_or_all_metric_names(
        view, arguments.metric_name, arguments.metric_names
    )
    results = []
    for name in names:
        entry = _build_median_fields_of_metric(view, name)
        sample_size = entry.pop("sample_size")
        entry.pop("weekday_medians", None)
        std_dev = round(float(view.episode.metrics.std_dev_from_baseline[name]), RATE_DECIMALS)
        results.append({**entry, "std_dev_from_median": std_dev, "sample_size": sample_size})
    return {"metric_names": names, "results": results}


@TOOLS.tool(DifferenceArguments)
def get_rows_with_abs_diff_from_median_gt(
    view: EpisodeView, arguments: DifferenceArguments
) -> ResultsByMetric:
    """List dates on which a metric is further from its median than a threshold in its unit."""
    metrics = view.episode.metrics
    names = select_requested_or_all_metric_names(
        view, arguments.metric_name, arguments.metric_names
    )
    values = metrics.value.to_numpy()
    baselines = metrics.baseline.to_numpy()
    is_beyond = np.abs(metrics.value_minus_baseline.to_numpy()) > arguments.threshold
    results = []
    remaining_rows = arguments.limit
    for name, column in zip(
        names, metrics.find_column_positions_of_entities(names).tolist(), strict=True
    ):
        days = np.flatnonzero(is_beyond[:, column]).tolist()
        rows = []
        for day in days[:remaining_rows]:
            value = values[day, column].item()
            baseline = baselines[day, column].item()
            rows.append(
                {
                    "date": view.episode.dates[day],
                    "value": value,
                    "median_value": baseline,
                    "difference": subtract_baseline_and_round_for_display(
                        value, baseline, CONVERSION_RATE
                    ),
                }
            )
        results.append(
            {
                "metric_name": name,
                "threshold": arguments.threshold,
                "match_count": len(days),
                "rows": rows,
            }
        )
        remaining_rows -= len(rows)
    return {"metric_names": names, "results": results}


def select_requested_or_all_metric_names(
    view: EpisodeView,
    metric_name: str | None,
    metric_names: Sequence[str],
    allowed_names: Sequence[str] | None = None,
) -> list[str]:
    """Return the distinct requested metric names, or all allowed names if none is requested.

    Args:
        view: the episode.
        metric_name: one requested metric, or None.
        metric_names: further requested metrics.
        allowed_names: metrics that the method accepts, or None for every count and rate.

    Raises:
        ToolArgumentError: a name is unknown, or the method does not accept it.
    """
    if allowed_names is None:
        allowed_names = view.episode.config.funnel_with_policy_daytime.count_and_rate_names
    first = [] if metric_name is None else [metric_name]
    requested = list(dict.fromkeys([*first, *metric_names]))
    for name in requested:
        require_allowed_name("metric", name, allowed_names)
    return requested or list(allowed_names)


def _build_median_fields_of_metric(view: EpisodeView, metric_name: str) -> MethodResult:
    metrics = view.episode.metrics
    is_count = metric_name in view.episode.config.funnel_with_policy_daytime.event_count_names
    weekday_medians = metrics.baseline_by_weekday_if_any[metric_name].to_dict()
    return {
        "metric_name": metric_name,
        "metric_type": EVENT_COUNT if is_count else CONVERSION_RATE,
        "median_value": float(metrics.median_over_all_days[metric_name]),
        "sample_size": len(view.episode.dates),
        **({"weekday_medians": weekday_medians} if weekday_medians else {}),
    }
