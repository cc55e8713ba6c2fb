"""Readable names of the funnel's tools, result fields and anomaly types.

The names on the wire are part of the contract with models. The page shows these labels instead.
"""

from __future__ import annotations

from collections.abc import Mapping

from metric_tracker_rl.analysis_tools.lookup import NORMAL
from metric_tracker_rl.engine.definitions.anomaly_types import (
    COUNT_DROP,
    COUNT_SPIKE,
    FUNNEL_BREAK,
    MIX_SHIFT,
    QUALITY_ISSUE,
    RATE_DROP,
    RATE_SPIKE,
)
from openenv_kit.page.components.elements import humanize

TOOL_TITLES: Mapping[str, str] = {
    "task_overview": "Rules and thresholds",
    "overview": "Rules and thresholds",
    "list_dates": "All dates",
    "list_entities": "What a report can name",
    "rows_for_date": "Counts and rates of a day",
    "day": "Counts and rates of a day",
    "hourly_rows_for_date": "Hours of a day",
    "hours": "Hours of a day",
    "show_raw_data": "Counts of all days",
    "list_calendar": "Planned events",
    "calendar": "Planned events",
    "preview_submission": "Check the format of rows",
    "compare_rate_to_median": "Compare a rate with its median",
    "compare_count_to_median": "Compare a count with its median",
    "detect_funnel_break": "Large drops of a step",
    "check_impossible_counts": "Impossible counts of a day",
    "list_suspicious_dates": "Rank the days",
    "scan": "All deviations by day",
    "get_metric_median": "Medians",
    "get_metric_std_dev_from_median": "Spread around the median",
    "get_rows_with_abs_diff_from_median_gt": "Days far from a median",
    "payload_generator": "Combine lists of rows",
    "get_median_filter_rows": "Counts and rates far from their median",
    "get_rate_drop_from_median_rows": "Rates far below their median",
    "get_rate_spike_from_median_rows": "Rates far above their median",
    "get_absolute_drop_in_event_count_rows": "Counts far below their median",
    "get_absolute_spike_in_event_count_rows": "Counts far above their median",
    "get_funnel_break_rows": "Steps with a large drop",
    "get_hourly_traffic_mix_shift_rows": "Days with shifted traffic",
    "get_instrumentation_data_quality_issue_rows": "Days with impossible counts",
}
"""Titles of the tools that have a form."""

VALUE_LABELS: Mapping[str, str] = {
    NORMAL: "none: inside the normal range",
    RATE_DROP: "rate below usual",
    RATE_SPIKE: "rate above usual",
    COUNT_DROP: "fewer events than usual",
    COUNT_SPIKE: "more events than usual",
    FUNNEL_BREAK: "large drop of a step",
    MIX_SHIFT: "traffic moved between hours",
    QUALITY_ISSUE: "impossible counts",
}
"""Labels of the anomaly types."""

FIELD_LABELS: Mapping[str, str] = {
    "suspicion_score": "largest deviation",
    "max_rate_delta": "largest change of a rate",
    "max_count_delta_pct": "largest change of a count",
    "hourly_mix_delta_pct": "change of the daytime share",
    "funnel_candidate_count": "steps with a large drop",
    "impossible_issue_count": "impossible counts",
    "issue_count": "impossible counts",
    "total_excess": "events too many",
    "candidates": "steps with a large drop",
    "issues": "impossible counts",
    "events": "planned events",
    "daily_metrics": "counts",
    "derived_rates": "rates",
    "anomaly_type": "anomaly",
    "observed_value": "value",
    "baseline_value": "usual value",
    "median_value": "median",
    "delta_value": "difference",
    "relative_deviation": "relative difference",
    "std_dev_from_median": "spread around the median",
    "baseline_daytime_share": "usual daytime share",
    "metric_name": "series",
    "metric_names": "series",
    "metric_type": "kind of series",
    "entity_name": "series",
    "entity_type": "kind of series",
    "detection_method": "tool that shows it",
    "sample_size": "days",
}
"""Labels of the fields of tool results whose names are not plain."""


def label_field(name: str) -> str:
    """Return the readable name of a field of a tool result."""
    return FIELD_LABELS.get(name, humanize(name))


def label_value(value: str) -> str:
    """Return an anomaly type or another value of a report row in readable form."""
    return VALUE_LABELS.get(value, humanize(value))
