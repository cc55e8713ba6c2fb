"""Effects: how an anomaly or a calendar event changes the hourly counts of a day."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.engine.definitions.funnel import HourRange
from metric_tracker_rl.engine.reporting_policy.daily_series import IntArray


class CountEffect(Protocol):
    """A change of one day's hourly counts."""

    def apply(self, hours: IntArray) -> IntArray:
        """Return the changed counts, shape (24, stages). The argument is not modified."""


class ScaleTraffic(NamedTuple):
    """Effect that multiplies all stages by one factor, as a change of traffic does."""

    factor: float

    def apply(self, hours: IntArray) -> IntArray:
        return _round_to_possible_counts(hours * self.factor)


class StepFactor(NamedTuple):
    """Factor on the step rate into a stage."""

    stage: int
    factor: float


class ScaleStepRates(NamedTuple):
    """Effect that multiplies step rates and thereby changes all later stages.

    Attributes:
        factors: factors in the funnel's order.
    """

    factors: tuple[StepFactor, ...]

    def apply(self, hours: IntArray) -> IntArray:
        scaled = hours.astype(np.float64)
        for stage, factor in self.factors:
            scaled[:, stage:] *= factor
        return _round_to_possible_counts(scaled)


class ScaleStageCount(NamedTuple):
    """Effect that multiplies the count of one stage, as lost or duplicated events do.

    The result is limited by the stages before and after it, so that no count is impossible.
    """

    stage: int
    factor: float

    def apply(self, hours: IntArray) -> IntArray:
        changed, stage = hours.copy(), self.stage
        scaled = np.rint(hours[:, stage] * self.factor)
        changed[:, stage] = np.clip(scaled, hours[:, stage + 1], hours[:, stage - 1])
        return changed


class ShiftHours(NamedTuple):
    """Effect that multiplies the traffic of some hours and of the others by different factors.

    Attributes:
        hour_range: hours that `inside_factor` applies to.
        inside_factor, outside_factor: factors on all stages within the range and outside it.
    """

    hour_range: HourRange
    inside_factor: float
    outside_factor: float = 1.0

    def apply(self, hours: IntArray) -> IntArray:
        scale = np.full((len(hours), 1), self.outside_factor)
        scale[slice(*self.hour_range)] = self.inside_factor
        return _round_to_possible_counts(hours * scale)


class HourExcess(NamedTuple):
    """Events by which a stage exceeds the stage before it in one hour."""

    hour: int
    events: int


class AddImpossibleCounts(NamedTuple):
    """Effect of an instrumentation fault: a stage records more events than the stage before it.

    Attributes:
        stage: stage that records too much.
        excess: hours of the fault, with the events in excess.
    """

    stage: int
    excess: tuple[HourExcess, ...]

    def apply(self, hours: IntArray) -> IntArray:
        changed = hours.copy()
        for hour, events in self.excess:
            changed[hour, self.stage] = hours[hour, self.stage - 1] + events
        return changed


def _round_to_possible_counts(scaled: NDArray[np.floating[Any]]) -> IntArray:
    """Round counts to whole numbers and limit each stage to the stage before it."""
    counts = np.maximum(np.rint(scaled), 0.0).astype(np.int64)
    return np.minimum.accumulate(counts, axis=-1)
