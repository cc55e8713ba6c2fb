"""Planned anomalies, and the data of the clean day for which they are planned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from metric_tracker_rl.engine.definitions.funnel import Funnel
from metric_tracker_rl.engine.definitions.levels import FunnelLevel
from metric_tracker_rl.engine.definitions.thresholds import (
    GUARD_BAND,
    PolicyLimits,
    get_policy_limits,
)
from metric_tracker_rl.engine.generation.effects import CountEffect
from metric_tracker_rl.engine.reporting_policy.daily_series import IntArray
from openenv_kit.bitstream import BitStream

MIN_PLANNED_MULTIPLE = 1.0 + GUARD_BAND + 0.02
"""Smallest planned deviation in multiples of its threshold. It is outside the guard band even after
rounding to whole events.
"""


class PlannedRoot(NamedTuple):
    """Identifying fields of the report row that a planned anomaly should cause."""

    entity_type: str
    entity_name: str
    anomaly_type: str


class PlannedAnomaly(NamedTuple):
    """A planned anomaly: its day, its effect on the day's counts, and the expected root."""

    day: int
    effect: CountEffect
    root: PlannedRoot


class CleanDay(NamedTuple):
    """Data of one day before anomalies are applied.

    Attributes:
        day: index of the day in the episode.
        hours: hourly counts, shape (hours, stages).
        values: displayed daily values by column.
        baselines: baselines by column.
        funnel: funnel that provides names and stages.
        level: level that provides thresholds and separation.
    """

    day: int
    hours: IntArray
    values: Sequence[float]
    baselines: Sequence[float]
    funnel: Funnel
    level: FunnelLevel

    @property
    def limits(self) -> PolicyLimits:
        """Thresholds and severity bounds of the reporting policy."""
        return get_policy_limits(self.funnel, self.level)

    def get_step_rate_fraction_into(self, stage: int) -> float:
        """Return the step rate into a stage, as a fraction."""
        return self.values[self.funnel.columns.column_of_step_rate_into(stage)] / 100.0

    def compute_factor_for_count_deviation(self, stage: int, deviation: float) -> float:
        """Return the factor that changes a stage's count to the given relative deviation."""
        return self.baselines[stage] * (1.0 + deviation) / self.values[stage]

    def compute_factor_for_step_rate_deviation(self, stage: int, deviation: float) -> float:
        """Return the factor that changes a step rate to the given relative deviation."""
        column = self.funnel.columns.column_of_step_rate_into(stage)
        return self.baselines[column] * (1.0 + deviation) / self.values[column]

    def draw_deviation_size_past_threshold(
        self, stream: BitStream, threshold: float, max_deviation: float
    ) -> float:
        """Draw the size of a deviation past a threshold, within the level's separation range.

        Args:
            stream: random stream.
            threshold: reporting threshold.
            max_deviation: upper limit of the result.
        """
        separation = self.level.separation
        nearest = max(threshold * separation.nearest, threshold * MIN_PLANNED_MULTIPLE)
        farthest = threshold * separation.farthest
        return stream.uniform(min(nearest, max_deviation), min(farthest, max_deviation))
