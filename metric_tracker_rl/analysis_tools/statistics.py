"""Methods over the whole episode: medians, spreads, and rows far from the median."""

from __future__ import annotations

from collections.abc import Sequence

from metric_tracker_rl.analysis_tools.arguments import DifferenceArguments, MetricArguments
from metric_tracker_rl.analysis_tools.registry import TOOLS, Result
from metric_tracker_rl.engine.report import require_listed
from metric_tracker_rl.engine.reporting_policy import shown_delta
from metric_tracker_rl.engine.rules import EpisodeView
from metric_tracker_rl.engine.series import RATE_DECIMALS
from metric_tracker_rl.engine.vocabulary import CONVERSION_RATE, EVENT_COUNT


@TOOLS.method(MetricArguments)
def get_metric_median(view: EpisodeView, arguments: MetricArguments) -> Result:
    """Median over all dates of each named metric, or of all."""
    chosen = chosen_metrics(view, arguments.metric_name, arguments.metric_names)
    return {"metric_names": chosen, "results": [_median(view, name) for name in chosen]}


@TOOLS.method(MetricArguments)
def get_metric_std_dev_from_median(view: EpisodeView, arguments: MetricArguments) -> Result:
    """Standard deviation from the median, sqrt(mean((value - median)^2)), of each metric."""
    chosen = chosen_metrics(view, arguments.metric_name, arguments.metric_names)
    results = []
    for name in chosen:
        entry = _median(view, name)
        size = entry.pop("sample_size")
        entry.pop("weekday_medians", None)
        spread = view.episode.series.spreads[metric_column(view, name)]
        results.append(
            {**entry, "std_dev_from_median": round(spread, RATE_DECIMALS), "sample_size": size}
        )
    return {"metric_names": chosen, "results": results}


@TOOLS.method(DifferenceArguments)
def get_rows_with_abs_diff_from_median_gt(
    view: EpisodeView, arguments: DifferenceArguments
) -> Result:
    """Dates on which a metric is further from its median than a threshold in its own unit."""
    series = view.episode.series
    chosen = chosen_metrics(view, arguments.metric_name, arguments.metric_names)
    results, left = [], arguments.limit
    for name in chosen:
        column = metric_column(view, name)
        bases = (row[column] for row in series.baseline_rows)
        rows = [
            {
                "date": date,
                "value": row[column],
                "median_value": base,
                "difference": shown_delta(row[column], base, CONVERSION_RATE),
            }
            for date, row, base in zip(view.episode.dates, series.rows, bases, strict=True)
            if abs(row[column] - base) > arguments.threshold
        ]
        results.append(
            {
                "metric_name": name,
                "threshold": arguments.threshold,
                "match_count": len(rows),
                "rows": rows[:left],
            }
        )
        left -= len(rows[:left])
    return {"metric_names": chosen, "results": results}


def chosen_metrics(
    view: EpisodeView, one: str | None, several: Sequence[str], allowed: Sequence[str] | None = None
) -> list[str]:
    """Named metrics without repeats, or all allowed ones where none is named.

    Raises:
        ToolArgumentError: an unknown metric, or one of the wrong kind for the method.
    """
    names = allowed if allowed is not None else view.episode.config.funnel_spec.metrics
    wanted = list(dict.fromkeys([*([one] if one is not None else []), *several]))
    for name in wanted:
        require_listed("metric", name, names)
    return wanted or list(names)


def metric_column(view: EpisodeView, name: str) -> int:
    """Column of a metric in the derived series."""
    return view.episode.config.funnel_spec.metrics.index(name)


def _median(view: EpisodeView, name: str) -> Result:
    column = metric_column(view, name)
    is_count = column < len(view.episode.config.funnel_spec.counts)
    weekdays = {day: row[column] for day, row in view.episode.weekday_baselines.items()}
    return {
        "metric_name": name,
        "metric_type": EVENT_COUNT if is_count else CONVERSION_RATE,
        "median_value": view.episode.series.median_row[column],
        "sample_size": len(view.episode.dates),
        **({"weekday_medians": weekdays} if weekdays else {}),
    }
