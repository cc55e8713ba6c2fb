"""Checks that each tool which a level requires players to read decides the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from metric_tracker_rl.engine.configuration.episode_config import EpisodeConfig
from metric_tracker_rl.engine.definitions.levels import FunnelLevel
from metric_tracker_rl.engine.definitions.report_row import ReportRow
from metric_tracker_rl.engine.definitions.rungs import EVERY_LEVEL
from metric_tracker_rl.engine.reporting_policy.daily_series import DailySeries, IntArray
from metric_tracker_rl.engine.reporting_policy.drawn_policies import (
    ANOMALY_TYPES_BY_SUSPENDABLE_RULE,
    ThresholdFactors,
    list_threshold_factors,
    multiply_thresholds,
)
from metric_tracker_rl.engine.reporting_policy.labels import compute_expected_rows

MIN_SHARE_OF_OTHER_THRESHOLDS = 0.6
"""Smallest share of the other thresholds that could be drawn with which the report must differ."""


def does_every_tool_decide_the_report(
    config: EpisodeConfig, hourly: IntArray, series: DailySeries, dates: Sequence[str]
) -> bool:
    """Return whether the report would be different with another result of each deciding tool.

    Without the calendar, every decoy would have a row. With every other suspended rule, and with
    most other thresholds that could be drawn, the report would differ. The thresholds are not
    checked if there are no planned anomalies.

    Args:
        config: configuration of the episode.
        hourly: hourly counts with all anomalies, shape (days, hours, stages).
        series: daily series of these counts.
        dates: ISO date of each day.
    """
    level = series.level
    if not level.has_decoys_like_anomalies:
        return True
    keys = _find_row_keys(series, dates)
    if series.explained is not None:
        unexplained_keys = _find_row_keys(DailySeries(hourly, series.funnel, level), dates)
        decoy_dates = {dates[day] for day in np.flatnonzero(series.explained.any(axis=1)).tolist()}
        if not decoy_dates <= {date for date, *_ in unexplained_keys - keys}:
            return False
    if not level.has_drawn_terms:
        return True

    def has_other_report(other_level: FunnelLevel) -> bool:
        return _find_row_keys(series.build_copy_with_level(other_level), dates) != keys

    other_rules = ANOMALY_TYPES_BY_SUSPENDABLE_RULE.keys() - {level.suspended_rule}
    if not all(has_other_report(replace(level, suspended_rule=rule)) for rule in other_rules):
        return False
    if not config.anomaly_count:  # larger thresholds cannot change an empty report
        return True
    has_others = [
        has_other_report(other) for other in _iter_levels_with_other_thresholds(config, level)
    ]
    return sum(has_others) >= MIN_SHARE_OF_OTHER_THRESHOLDS * len(has_others)


def _iter_levels_with_other_thresholds(
    config: EpisodeConfig, level: FunnelLevel
) -> Iterator[FunnelLevel]:
    """Yield the level with all other thresholds that could have been drawn for it."""
    base = EVERY_LEVEL[config.difficulty]
    for factors in list_threshold_factors(base)[1:] if level.threshold_factors else ():
        other = multiply_thresholds(
            replace(base, leak_reports=level.leak_reports, suspended_rule=level.suspended_rule),
            ThresholdFactors(*factors),
        )
        if other != level:
            yield other


def _find_row_keys(series: DailySeries, dates: Sequence[str]) -> set[tuple[str, ...]]:
    """Return date, entity type and entity name of each row that the reporting policy requires."""
    return {_get_key(row) for row in compute_expected_rows(series, dates)}


def _get_key(row: ReportRow) -> tuple[str, ...]:
    return (row.date, row.entity_type, row.entity_name)
