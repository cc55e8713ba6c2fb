"""Planned anomalies, and the data of a day before anomalies are applied to it."""

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
    """Identifies the root of a planned anomaly: the row that a correct report contains for it."""

    entity_type: str
    entity_name: str
    anomaly_type: str


class PlannedAnomaly(NamedTuple):
    """A planned change of one day's counts, and the root that the policy should find for it."""

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
        level: level that provides the thresholds and the range of anomaly sizes.
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
        """Return the day's rate of the step that leads to a stage, as a fraction."""
        return self.values[self.funnel.columns.column_of_step_rate_into(stage)] / 100.0

    def compute_factor_for_count_deviation(self, stage: int, deviation: float) -> float:
        """Return the factor by which to multiply a stage's count so that it has a given deviation.

        The deviation is relative to the baseline.
        """
        return self.baselines[stage] * (1.0 + deviation) / self.values[stage]

    def compute_factor_for_step_rate_deviation(self, stage: int, deviation: float) -> float:
        """Return the factor by which to multiply a step rate so that it has a given deviation.

        The deviation is relative to the baseline. The step leads to the given stage.
        """
        column = self.funnel.columns.column_of_step_rate_into(stage)
        return self.baselines[column] * (1.0 + deviation) / self.values[column]

    def draw_deviation_size_past_threshold(
        self, stream: BitStream, threshold: float, max_deviation: float
    ) -> float:
        """Draw the size of a deviation that is past a threshold.

        The level's separation is the range of sizes, in multiples of the threshold.

        Args:
            stream: random stream.
            threshold: reporting threshold.
            max_deviation: upper limit of the result.
        """
        separation = self.level.separation
        nearest = max(threshold * separation.nearest, threshold * MIN_PLANNED_MULTIPLE)
        farthest = threshold * separation.farthest
        return stream.uniform(min(nearest, max_deviation), min(farthest, max_deviation))
