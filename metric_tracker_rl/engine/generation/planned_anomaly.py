"""Planned anomalies, and the clean day that they are planned for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from metric_tracker_rl.engine.definitions.funnel import Funnel
from metric_tracker_rl.engine.definitions.levels import FunnelLevel
from metric_tracker_rl.engine.definitions.thresholds import GUARD_BAND
from metric_tracker_rl.engine.generation.effects import CountEffect
from metric_tracker_rl.engine.reporting_policy.daily_series import IntArray
from openenv_kit.bitstream import BitStream

MIN_PLANNED_MULTIPLE = 1.0 + GUARD_BAND + 0.02
"""Smallest planned deviation in multiples of its threshold: outside the guard band, with room for
rounding to whole events."""


class PlannedRoot(NamedTuple):
    """Report row that a planned anomaly is expected to cause."""

    entity_type: str
    entity_name: str
    anomaly_type: str


class PlannedAnomaly(NamedTuple):
    """One planned anomaly: the day, the change of its counts, and the expected root."""

    day: int
    effect: CountEffect
    root: PlannedRoot


class CleanDay(NamedTuple):
    """Data of one day before its anomalies.

    Attributes:
        day: index in the episode.
        hours: hourly counts, shape (24, stages).
        values: displayed daily values by column.
        baselines: baselines by column.
        funnel: names and stages.
        level: thresholds and separation.
    """

    day: int
    hours: IntArray
    values: Sequence[float]
    baselines: Sequence[float]
    funnel: Funnel
    level: FunnelLevel

    def step_rate_into(self, stage: int) -> float:
        """Return the step rate into a stage, as a fraction."""
        return self.values[self.funnel.columns.step_rate_into(stage)] / 100.0

    def factor_for_count(self, stage: int, deviation: float) -> float:
        """Return the factor that gives a stage's count a relative deviation from its baseline."""
        return self.baselines[stage] * (1.0 + deviation) / self.values[stage]

    def factor_for_step_rate(self, stage: int, deviation: float) -> float:
        """Return the factor that gives the step rate into a stage a relative deviation."""
        column = self.funnel.columns.step_rate_into(stage)
        return self.baselines[column] * (1.0 + deviation) / self.values[column]

    def draw_deviation_past_threshold(
        self, stream: BitStream, threshold: float, max_deviation: float
    ) -> float:
        """Draw the size of a deviation past a threshold, within the level's separation.

        Args:
            stream: random stream.
            threshold: reporting threshold.
            max_deviation: upper limit of the result.
        """
        separation = self.level.separation
        nearest = max(threshold * separation.nearest, threshold * MIN_PLANNED_MULTIPLE)
        farthest = threshold * separation.farthest
        return stream.uniform(min(nearest, max_deviation), min(farthest, max_deviation))
