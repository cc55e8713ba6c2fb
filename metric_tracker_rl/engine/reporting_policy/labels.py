"""Labels: the report rows that the reporting policy requires for an episode's data.

The policy asks for the roots of anomalies, not for their consequences. It reads the displayed daily
values and the level's thresholds and never the generator's plan, so that every label can be found
with the tools.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metric_tracker_rl.engine.definitions.display import subtract_and_round
from metric_tracker_rl.engine.definitions.entity_types import DETECTION_METHODS
from metric_tracker_rl.engine.definitions.report_row import ReportRow
from metric_tracker_rl.engine.definitions.severity import find_severity
from metric_tracker_rl.engine.reporting_policy.daily_series import DailySeries
from metric_tracker_rl.engine.reporting_policy.find_roots import RootFinding, find_roots_of_day


def compute_labels(series: DailySeries, dates: Sequence[str]) -> tuple[ReportRow, ...]:
    """Return the expected rows by date, and within a date in the order of the policy's rules.

    Args:
        series: daily series of the finished data.
        dates: ISO date of each day.
    """
    is_flagged = (np.abs(series.unexplained_deviations) >= series.thresholds).any(axis=1)
    rows: list[ReportRow] = []
    for day in np.flatnonzero(is_flagged | series.excess.any(axis=1)).tolist():
        deviations = series.unexplained_deviations[day].tolist()
        excess = series.excess[day].tolist()
        findings = find_roots_of_day(deviations, excess, series.funnel, series.level)
        rows.extend(build_report_row(finding, day, dates[day], series) for finding in findings)
    return tuple(rows)


def build_report_row(finding: RootFinding, day: int, date: str, series: DailySeries) -> ReportRow:
    """Return the report row of a root, with the values that the tools show.

    Args:
        finding: the root.
        day: index of the day.
        date: ISO date of the day.
        series: daily series that the values are read from.
    """
    metric = series.get_metric_value(day, finding.column)
    return ReportRow(
        date=date,
        entity_type=finding.entity_type,
        entity_name=finding.entity_name,
        anomaly_type=finding.anomaly_type,
        detection_method=DETECTION_METHODS[finding.entity_type],
        baseline_value=metric.baseline,
        observed_value=metric.value,
        delta_value=subtract_and_round(metric.value, metric.baseline, finding.entity_type),
        severity=find_severity(
            abs(metric.deviation), series.level.severity_bounds[finding.entity_type]
        ),
    )
