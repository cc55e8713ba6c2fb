"""Difficulty levels: thresholds, noise and separation, all declared in one table.

Thresholds and what follows from them are the reporting policy's (version 1), whose parameters
`variants` may replace. Noise and separation belong to the generator: a harder level has noisier
clean days and anomalies closer to the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from metric_tracker_rl.engine.definitions.names import (
    ALL_DAYS,
    CONVERSION_RATE,
    DATA_QUALITY,
    EVENT_COUNT,
    FUNNEL_STEP,
    HOURLY_MIX,
    SEVERITIES,
    SHORTEST,
)
from metric_tracker_rl.engine.definitions.versions import DRAWN_POLICIES_VERSION, POLICY_VERSION

GUARD_BAND = 0.10
"""No accepted deviation lies within this relative distance of its threshold."""

SEVERITY_GUARD = 0.01
"""No expected row lies within this relative distance of a severity bound, so that the order
in which an agent divides and subtracts cannot decide a severity."""

SeverityBounds = tuple[float, float, float]
"""Lower bounds of medium, high and critical."""


class SeverityBoundsByKind(NamedTuple):
    """Severity bounds.

    Attributes:
        counts, rates: of a relative deviation.
        share: of the absolute deviation of the daytime share.
        excess: of impossible counts: of the day's total excess of the pair, in events.
    """

    counts: SeverityBounds = (0.25, 0.35, 0.50)
    rates: SeverityBounds = (0.18, 0.30, 0.45)
    share: SeverityBounds = (0.06, 0.10, 0.15)
    excess: SeverityBounds = (20.0, 60.0, 120.0)

    def by_entity_type(self) -> dict[str, SeverityBounds]:
        """Bounds of each entity type; a funnel step has those of its rate."""
        return {
            EVENT_COUNT: self.counts,
            CONVERSION_RATE: self.rates,
            FUNNEL_STEP: self.rates,
            HOURLY_MIX: self.share,
            DATA_QUALITY: self.excess,
        }


DEFAULT_SEVERITY_BOUNDS = SeverityBoundsByKind()
"""Those of every level, where no policy is drawn."""


@dataclass(frozen=True)
class FunnelLevel:
    """One difficulty level.

    Attributes:
        name: identifier at reset.
        count_threshold, rate_threshold, break_threshold: relative deviations that are flagged.
        mix_threshold: absolute deviation of the daytime share that is flagged.
        sampling_noise: factor on the binomial sampling noise of every hour.
        traffic_noise, rate_noise: standard deviation of a day's relative level and step rates.
        shape_noise: standard deviation of a day's relative shift between day and night.
        separation: anomalies are drawn between these multiples of their threshold.
        mixed_needs_both: whether a `mixed` episode of two or more anomalies surely holds a
            count anomaly and a rate anomaly.
        days: length of an episode.
        max_anomalies: most anomalies an episode may be asked for.
        weekday_factors: seven factors, Monday first, in the place of the funnel's own.
        decoys: days that deviate for a reason the public calendar gives; 0 for no calendar.
        bounds_by_kind: severity bounds.
        baseline: "all_days_median", or "same_weekday_median" for one of each weekday.
        leak_reports: which flagged composite a slow leak is reported as: "shortest_composite" or
            "longest_composite".
        wording: which words the policy is told in; 0 for the usual ones.
        has_drawn_policy: whether the policy was drawn.
    """

    name: str
    count_threshold: float
    rate_threshold: float
    break_threshold: float
    mix_threshold: float
    sampling_noise: float
    traffic_noise: float
    rate_noise: float
    shape_noise: float
    separation: tuple[float, float]
    mixed_needs_both: bool
    days: int
    max_anomalies: int
    weekday_factors: tuple[float, ...] | None
    decoys: int
    bounds_by_kind: SeverityBoundsByKind = DEFAULT_SEVERITY_BOUNDS
    baseline: str = ALL_DAYS
    leak_reports: str = SHORTEST
    wording: int = 0
    has_drawn_policy: bool = False

    @cached_property
    def thresholds(self) -> dict[str, float]:
        """Reporting threshold of each entity type; any impossible count is past its own."""
        return {
            EVENT_COUNT: self.count_threshold,
            CONVERSION_RATE: self.rate_threshold,
            FUNNEL_STEP: self.break_threshold,
            HOURLY_MIX: self.mix_threshold,
            DATA_QUALITY: 0.0,
        }

    @cached_property
    def severity_bounds(self) -> dict[str, SeverityBounds]:
        """Severity bounds of each entity type."""
        return self.bounds_by_kind.by_entity_type()

    @property
    def policy_version(self) -> str:
        """Version of the reporting policy in force: with a calendar it has one rule more."""
        varied = f"+varied{DRAWN_POLICIES_VERSION}" if self.has_drawn_policy else ""
        return f"{POLICY_VERSION}{'+calendar' if self.decoys else ''}{varied}"


_LEVEL_NAMES = ("easy", "medium", "hard", "expert")
_LEVEL_FIELDS: dict[str, tuple[Any, ...]] = {
    "count_threshold": (0.30, 0.25, 0.20, 0.25),
    "rate_threshold": (0.20, 0.15, 0.10, 0.10),
    "break_threshold": (0.35, 0.35, 0.35, 0.35),
    "mix_threshold": (0.08, 0.06, 0.04, 0.04),
    "sampling_noise": (0.6, 0.8, 1.0, 1.2),
    "traffic_noise": (0.008, 0.012, 0.016, 0.016),
    "rate_noise": (0.004, 0.006, 0.008, 0.006),
    "shape_noise": (0.004, 0.006, 0.008, 0.008),
    "separation": ((1.30, 2.00), (1.20, 1.75), (1.13, 1.50), (1.13, 1.40)),
    "mixed_needs_both": (True, True, False, False),
    "days": (28, 28, 28, 56),
    "max_anomalies": (7, 7, 7, 12),
    "weekday_factors": (None, None, None, (0.94, 0.96, 0.98, 1.0, 1.06, 1.11, 1.08)),
    "decoys": (0, 0, 0, 4),
}
LEVELS: dict[str, FunnelLevel] = {
    name: FunnelLevel(name, **{field: values[place] for field, values in _LEVEL_FIELDS.items()})
    for place, name in enumerate(_LEVEL_NAMES)
}

ANOMALY_COUNT_BY_DENSITY: dict[str, int] = {"low": 2, "medium": 3, "high": 4}
"""Number of anomalies an `anomaly_density` stands for, where no count is given."""


def is_clear_of_bounds(size: float, bounds: Sequence[float]) -> bool:
    """Whether an absolute size keeps the severity guard's distance from every bound."""
    return all(abs(size / bound - 1.0) > SEVERITY_GUARD for bound in bounds)


def severity_of(size: float, bounds: Sequence[float]) -> str:
    """Severity of an absolute size: the last band whose lower bound it reaches."""
    return SEVERITIES[sum(size >= bound for bound in bounds)]
