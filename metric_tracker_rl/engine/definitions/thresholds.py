"""Looks up the reporting thresholds and severity bounds of a reporting policy.

They are available by column of the daily series and by public name. The values are fields of a
`FunnelLevel`, which has either one threshold for each kind of series or one for each series.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from metric_tracker_rl.engine.definitions.columns import ColumnLayout
from metric_tracker_rl.engine.definitions.entity_types import (
    CONVERSION_RATE,
    DATA_QUALITY,
    EVENT_COUNT,
    FUNNEL_STEP,
    HOURLY_MIX,
    PUBLIC_THRESHOLD_NAMES,
)
from metric_tracker_rl.engine.definitions.funnel import Funnel
from metric_tracker_rl.engine.definitions.levels import FunnelLevel, SeriesThresholds
from metric_tracker_rl.engine.definitions.report_row import ReportRow
from metric_tracker_rl.engine.definitions.severity import (
    SeverityBounds,
    is_row_clear_of_severity_bounds,
)

GUARD_BAND = 0.10
"""Relative half-width of the guard band around each threshold. Accepted episodes have no deviation
inside this band.
"""
SEVERITY_MULTIPLES = SeverityBounds(1.25, 1.5, 2.0)
"""Severity bounds in multiples of a series' threshold, if every series has its own threshold."""
LIMITS_CACHE_SIZE = 256


@dataclass(frozen=True)
class PolicyLimits:
    """Thresholds and severity bounds of a reporting policy.

    Attributes:
        columns: column layout of the daily series.
        thresholds: reporting threshold of each column with a baseline.
        break_thresholds: break threshold of each funnel step.
        bounds: severity bounds of each column with a baseline, followed by those of each excess
            column. A funnel step has the bounds of its step rate.
    """

    columns: ColumnLayout
    thresholds: tuple[float, ...]
    break_thresholds: tuple[float, ...]
    bounds: tuple[SeverityBounds, ...]

    def get_threshold(self, entity_type: str, column: int) -> float:
        """Return the reporting threshold of an entity, such as an event count or a funnel step.

        The threshold of impossible counts (more events than in the previous stage) is 0.

        Args:
            entity_type: type of the entity.
            column: column of the daily series; for a funnel step, that of its step rate.
        """
        if entity_type == DATA_QUALITY:
            return 0.0
        if entity_type == FUNNEL_STEP:
            return self.break_thresholds[self.columns.step_index_of_column(column)]
        return self.thresholds[column]

    def get_bounds_of_row(self, row: ReportRow) -> SeverityBounds:
        """Return the severity bounds of a report row."""
        return self.bounds[self.columns.get_column_of_entity(row.entity_type, row.entity_name)]

    def is_row_clear_of_bounds(self, row: ReportRow) -> bool:
        """Return whether a row's deviation keeps the required distance from all severity bounds.

        A deviation that is closer to a bound could get another severity by rounding.
        """
        return is_row_clear_of_severity_bounds(row, self.get_bounds_of_row(row))


@lru_cache(maxsize=LIMITS_CACHE_SIZE)
def get_policy_limits(funnel: Funnel, level: FunnelLevel) -> PolicyLimits:
    """Return the thresholds and severity bounds of a level's policy for the series of a funnel."""
    columns = funnel.columns
    by_series = level.series_thresholds
    thresholds = by_series or _repeat_thresholds_of_kinds(columns, level)
    if by_series is None:
        kinds = level.bounds_by_kind
        bounds = [
            *[kinds.counts] * columns.count_total,
            *[kinds.rates] * columns.rate_total,
            *[kinds.share] * columns.has_daytime_share,
        ]
    else:
        bounds = [
            SeverityBounds(*(round(multiple * threshold, 6) for multiple in SEVERITY_MULTIPLES))
            for threshold in by_series.columns
        ]
    bounds += [level.bounds_by_kind.excess] * len(columns.excess_columns)
    return PolicyLimits(columns, thresholds.columns, thresholds.breaks, tuple(bounds))


def _repeat_thresholds_of_kinds(columns: ColumnLayout, level: FunnelLevel) -> SeriesThresholds:
    return SeriesThresholds(
        columns=(
            *[level.count_threshold] * columns.count_total,
            *[level.rate_threshold] * columns.rate_total,
            *[level.mix_threshold] * columns.has_daytime_share,
        ),
        breaks=(level.break_threshold,) * len(columns.step_rate_columns),
    )


def get_thresholds_by_public_name(level: FunnelLevel) -> dict[str, float]:
    """Return the threshold of each kind of series, by its name in the public configuration."""
    thresholds = {
        EVENT_COUNT: level.count_threshold,
        CONVERSION_RATE: level.rate_threshold,
        FUNNEL_STEP: level.break_threshold,
        HOURLY_MIX: level.mix_threshold,
    }
    return {name: thresholds[entity_type] for entity_type, name in PUBLIC_THRESHOLD_NAMES.items()}
