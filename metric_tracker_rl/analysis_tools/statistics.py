"""Methods over the whole episode: medians, spreads, and rows far from the median."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metric_tracker_rl.analysis_tools.arguments import DifferenceArguments, MetricArguments
from metric_tracker_rl.analysis_tools.registry import TOOLS, MethodResult
from metric_tracker_rl.engine.definitions.display import RATE_DECIMALS, rounded_delta
from metric_tracker_rl.engine.definitions.entity_types import CONVERSION_RATE, EVENT_COUNT
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from metric_tracker_rl.engine.report.parse_report import require_allowed_name


@TOOLS.tool(MetricArguments)
def get_metric_median(view: EpisodeView, arguments: MetricArguments) -> MethodResult:
    """Median over all dates of each named metric, or of all."""
    chosen = resolve_metric_names(view, arguments.metric_name, arguments.metric_names)
    return {"metric_names": chosen, "results": [_median_fields(view, name) for name in chosen]}


@TOOLS.tool(MetricArguments)
def get_metric_std_dev_from_median(view: EpisodeView, arguments: MetricArguments) -> MethodResult:
    """Standard deviation from the median, sqrt(mean((value - median)^2)), of each metric."""
    chosen = resolve_metric_names(view, arguments.metric_name, arguments.metric_names)
    results = []
    for name in chosen:
        entry = _median_fields(view, name)
        size = entry.pop("sample_size")
        entry.pop("weekday_medians", None)
        spread = round(float(view.episode.metrics.std_dev_from_baseline[name]), RATE_DECIMALS)
        results.append({**entry, "std_dev_from_median": spread, "sample_size": size})
    return {"metric_names": chosen, "results": results}


@TOOLS.tool(DifferenceArguments)
def get_rows_with_abs_diff_from_median_gt(
    view: EpisodeView, arguments: DifferenceArguments
) -> MethodResult:
    """Dates on which a metric is further from its median than a threshold in its own unit."""
    metrics = view.episode.metrics
    chosen = resolve_metric_names(view, arguments.metric_name, arguments.metric_names)
    values, bases = metrics.value.to_numpy(), metrics.baseline.to_numpy()
    far = np.abs(metrics.difference.to_numpy()) > arguments.threshold
    results, left = [], arguments.limit
    for name, column in zip(chosen, metrics.column_positions(chosen).tolist(), strict=True):
        days = np.flatnonzero(far[:, column]).tolist()
        rows = []
        for day in days[:left]:
            value, base = values[day, column].item(), bases[day, column].item()
            rows.append(
                {
                    "date": view.episode.dates[day],
                    "value": value,
                    "median_value": base,
                    "difference": rounded_delta(value, base, CONVERSION_RATE),
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
        left -= len(rows)
    return {"metric_names": chosen, "results": results}


def resolve_metric_names(
    view: EpisodeView,
    metric_name: str | None,
    metric_names: Sequence[str],
    allowed: Sequence[str] | None = None,
) -> list[str]:
    """Named metrics without repeats, or all allowed ones where none is named.

    Raises:
        ToolArgumentError: an unknown metric, or one of the wrong kind for the method.
    """
    names = allowed if allowed is not None else view.episode.config.funnel_spec.metric_names
    wanted = list(
        dict.fromkeys([*([metric_name] if metric_name is not None else []), *metric_names])
    )
    for name in wanted:
        require_allowed_name("metric", name, names)
    return wanted or list(names)


def _median_fields(view: EpisodeView, name: str) -> MethodResult:
    metrics, is_count = view.episode.metrics, name in view.episode.config.funnel_spec.count_names
    weekdays = metrics.weekday_baseline[name].to_dict()
    return {
        "metric_name": name,
        "metric_type": EVENT_COUNT if is_count else CONVERSION_RATE,
        "median_value": float(metrics.median[name]),
        "sample_size": len(view.episode.dates),
        **({"weekday_medians": weekdays} if weekdays else {}),
    }
