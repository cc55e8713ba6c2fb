"""Labels, which are the report rows that the reporting policy requires for an episode's data.

The policy asks only for the series that an anomaly changed directly (roots), not for the series
that changed as a result (consequences). Labels are computed from the displayed
daily values and the level's thresholds, never from the generator's plan, so a player can find every
label with the tools.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metric_tracker_rl.engine.definitions.display import subtract_baseline_and_round_for_display
from metric_tracker_rl.engine.definitions.entity_types import DETECTION_METHODS
from metric_tracker_rl.engine.definitions.report_row import ReportRow
from metric_tracker_rl.engine.definitions.severity import find_highest_severity_reached
from metric_tracker_rl.engine.reporting_policy.daily_series import DailySeries
from metric_tracker_rl.engine.reporting_policy.find_roots import RootFinding, find_roots_of_day


def compute_expected_rows(series: DailySeries, dates: Sequence[str]) -> tuple[ReportRow, ...]:
    """Apply the reporting policy to an episode and return the rows of a correct report.

    The rows are sorted by date. Rows with the same date are in the order of the policy's rules.

    Args:
        series: daily series of the episode.
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
    """Create the report row of a series to report, with the same values as the tools show.

    Args:
        finding: the series, as found by the policy's rules.
        day: index of the day.
        date: ISO date of the day.
        series: daily series that contains the values.
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
        delta_value=subtract_baseline_and_round_for_display(
            metric.value, metric.baseline, finding.entity_type
        ),
        severity=find_highest_severity_reached(
            abs(metric.deviation), series.limits.bounds[finding.column]
        ),
    )
