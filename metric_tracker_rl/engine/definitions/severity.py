"""Severity of report rows, which depends on the size of their deviations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from metric_tracker_rl.engine.definitions.entity_types import (
    CONVERSION_RATE,
    DATA_QUALITY,
    EVENT_COUNT,
    FUNNEL_STEP,
    HOURLY_MIX,
)
from metric_tracker_rl.engine.definitions.report_row import (
    ReportRow,
    compute_deviation_size_for_threshold_comparison,
)

SEVERITIES = ("low", "medium", "high", "critical")

SEVERITY_GUARD = 0.01
"""Smallest allowed relative distance between an expected row's deviation and every severity bound.
If a deviation were closer, its severity could depend on the player's rounding.
"""


class SeverityBounds(NamedTuple):
    """Smallest deviations of medium, high and critical severity.

    A deviation below `medium` has low severity.
    """

    medium: float
    high: float
    critical: float


class SeverityBoundsByKind(NamedTuple):
    """Severity bounds of a reporting policy for each kind of value.

    Attributes:
        counts, rates: bounds for the relative deviations of event counts and of conversion rates.
        share: bounds for the absolute deviation of the daytime share.
        excess: bounds for the number of events by which a stage exceeds the previous one, summed
            over the day.
    """

    counts: SeverityBounds = SeverityBounds(0.25, 0.35, 0.50)
    rates: SeverityBounds = SeverityBounds(0.18, 0.30, 0.45)
    share: SeverityBounds = SeverityBounds(0.06, 0.10, 0.15)
    excess: SeverityBounds = SeverityBounds(20.0, 60.0, 120.0)

    def get_bounds_by_entity_type(self) -> dict[str, SeverityBounds]:
        """Return the severity bounds by entity type, where funnel steps have those of rates."""
        return {
            EVENT_COUNT: self.counts,
            CONVERSION_RATE: self.rates,
            FUNNEL_STEP: self.rates,
            HOURLY_MIX: self.share,
            DATA_QUALITY: self.excess,
        }


DEFAULT_SEVERITY_BOUNDS = SeverityBoundsByKind()
"""Severity bounds of every level, used unless the reporting policy is drawn."""


def find_highest_severity_reached(unsigned_deviation: float, bounds: Sequence[float]) -> str:
    """Return the severity of a deviation.

    Args:
        unsigned_deviation: absolute value of the deviation.
        bounds: smallest deviations of medium, high and critical severity. If the deviation is below
            the first one, its severity is low.
    """
    return SEVERITIES[sum(unsigned_deviation >= bound for bound in bounds)]


def is_clear_of_severity_bounds(unsigned_deviation: float, bounds: Sequence[float]) -> bool:
    """Return whether a deviation is far enough from all severity bounds.

    Its relative distance from every bound must be greater than `SEVERITY_GUARD`, so that a player's
    rounding cannot change the severity.
    """
    return all(abs(unsigned_deviation / bound - 1.0) > SEVERITY_GUARD for bound in bounds)


def is_row_clear_of_severity_bounds(row: ReportRow, bounds: SeverityBounds) -> bool:
    """Return whether a report row satisfies `is_clear_of_severity_bounds`."""
    return is_clear_of_severity_bounds(compute_deviation_size_for_threshold_comparison(row), bounds)


def severity_bounds_to_lists(
    bounds_by_entity_type: Mapping[str, SeverityBounds],
) -> dict[str, list[float]]:
    """Convert the severity bounds of each entity type to a list, as used in replies to players."""
    return {name: list(bounds) for name, bounds in bounds_by_entity_type.items()}
