"""Effects, which describe how an anomaly or a calendar event changes a day's hourly counts."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.engine.definitions.funnel import HourRange
from metric_tracker_rl.engine.reporting_policy.daily_series import IntArray


class CountEffect(Protocol):
    """A change of one day's hourly counts."""

    def apply_to_copy(self, hourly_counts: IntArray) -> IntArray:
        """Return a changed copy of one day's hourly counts, shape (hours, stages)."""


class ScaleTraffic(NamedTuple):
    """Effect that changes traffic by multiplying the counts of all stages by the same factor."""

    factor: float

    def apply_to_copy(self, hourly_counts: IntArray) -> IntArray:
        return _round_to_possible_counts(hourly_counts * self.factor)


class StepFactor(NamedTuple):
    """Factor by which the rate of the step that leads to a stage is multiplied."""

    stage: int
    factor: float


class ScaleStepRates(NamedTuple):
    """Effect that multiplies step rates and thereby changes all later stages.

    Attributes:
        factors: factor of each changed step rate, in funnel order.
    """

    factors: tuple[StepFactor, ...]

    def apply_to_copy(self, hourly_counts: IntArray) -> IntArray:
        scaled = hourly_counts.astype(np.float64)
        for stage, factor in self.factors:
            scaled[:, stage:] *= factor
        return _round_to_possible_counts(scaled)


class ScaleStageCount(NamedTuple):
    """Effect of lost or duplicated events, which multiplies the count of a single stage.

    The result is clipped so that no stage has more events than the stage before it.
    """

    stage: int
    factor: float

    def apply_to_copy(self, hourly_counts: IntArray) -> IntArray:
        changed, stage = hourly_counts.copy(), self.stage
        scaled = np.rint(hourly_counts[:, stage] * self.factor)
        changed[:, stage] = np.clip(
            scaled, hourly_counts[:, stage + 1], hourly_counts[:, stage - 1]
        )
        return changed


class ShiftHours(NamedTuple):
    """Effect that multiplies traffic by one factor inside a range of hours and another outside.

    Attributes:
        hour_range: hours to which `inside_factor` applies.
        inside_factor, outside_factor: factors for the counts of all stages inside and outside the
            range.
    """

    hour_range: HourRange
    inside_factor: float
    outside_factor: float = 1.0

    def apply_to_copy(self, hourly_counts: IntArray) -> IntArray:
        scale = np.full((len(hourly_counts), 1), self.outside_factor)
        scale[slice(*self.hour_range)] = self.inside_factor
        return _round_to_possible_counts(hourly_counts * scale)


class HourExcess(NamedTuple):
    """Number of events by which a stage exceeds the previous stage in one hour of the day."""

    hour: int
    events: int


def spread_excess_over_hours(
    total_events: int, first_hour: int, hours: int
) -> tuple[HourExcess, ...]:
    """Spread excess events over consecutive hours as evenly as possible, earlier hours first."""
    events_per_hour, remaining_events = divmod(total_events, hours)
    return tuple(
        HourExcess(first_hour + number, events_per_hour + (1 if number < remaining_events else 0))
        for number in range(hours)
    )


class AddImpossibleCounts(NamedTuple):
    """Effect of a fault that makes a stage record more events than the previous stage.

    Attributes:
        stage: index of the stage that records too many events.
        excess: number of excess events in each hour of the fault.
    """

    stage: int
    excess: tuple[HourExcess, ...]

    def apply_to_copy(self, hourly_counts: IntArray) -> IntArray:
        changed = hourly_counts.copy()
        for hour, events in self.excess:
            changed[hour, self.stage] = hourly_counts[hour, self.stage - 1] + events
        return changed


def _round_to_possible_counts(scaled: NDArray[np.floating[Any]]) -> IntArray:
    """Round counts to integers and limit the count of each stage to that of the previous stage."""
    counts = np.maximum(np.rint(scaled), 0.0).astype(np.int64)
    return np.minimum.accumulate(counts, axis=-1)
