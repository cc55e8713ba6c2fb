"""What a cause does to a day's hourly counts: pure functions on one array."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.engine.reporting_policy.daily_series import IntArray


class CountEffect(Protocol):
    """A pure change of one day's hourly counts."""

    def apply(self, hours: IntArray) -> IntArray:
        """New counts, shape (24, stages); the argument is left as it is."""


class ScaleTraffic(NamedTuple):
    """All stages scaled by one factor: more or fewer people came."""

    factor: float

    def apply(self, hours: IntArray) -> IntArray:
        return _round_to_possible_counts(hours * self.factor)


class ScaleStepRates(NamedTuple):
    """Step rates scaled; every later stage follows.

    Attributes:
        factors: (stage index, factor) pairs in the funnel's order; the factor multiplies the rate
            into that stage.
    """

    factors: tuple[tuple[int, float], ...]

    def apply(self, hours: IntArray) -> IntArray:
        scaled = hours.astype(np.float64)
        for stage, factor in self.factors:
            scaled[:, stage:] *= factor
        return _round_to_possible_counts(scaled)


class ScaleStageCount(NamedTuple):
    """One stage's events lost or doubled; the stages around it keep theirs.

    The result stays between the stages below and above, so it is never impossible.
    """

    stage: int
    factor: float

    def apply(self, hours: IntArray) -> IntArray:
        changed, stage = hours.copy(), self.stage
        scaled = np.rint(hours[:, stage] * self.factor)
        changed[:, stage] = np.clip(scaled, hours[:, stage + 1], hours[:, stage - 1])
        return changed


class ShiftHours(NamedTuple):
    """Traffic of a stretch of the day and of its other hours scaled; conversion stays.

    Attributes:
        hour_range: first hour of the stretch, and the first hour after.
        inside_factor, outside_factor: factors within it and outside.
    """

    hour_range: tuple[int, int]
    inside_factor: float
    outside_factor: float = 1.0

    def apply(self, hours: IntArray) -> IntArray:
        scale = np.full((len(hours), 1), self.outside_factor)
        scale[slice(*self.hour_range)] = self.inside_factor
        return _round_to_possible_counts(hours * scale)


class AddImpossibleCounts(NamedTuple):
    """An instrumentation fault: in some hours a stage records more than the one above it.

    Attributes:
        stage: index of the stage that over-counts.
        excess: (hour, events above the previous stage) pairs.
    """

    stage: int
    excess: tuple[tuple[int, int], ...]

    def apply(self, hours: IntArray) -> IntArray:
        changed = hours.copy()
        for hour, surplus in self.excess:
            changed[hour, self.stage] = hours[hour, self.stage - 1] + surplus
        return changed


def _round_to_possible_counts(scaled: NDArray[np.floating[Any]]) -> IntArray:
    """Whole events, and no stage above the one before it."""
    whole = np.maximum(np.rint(scaled), 0.0).astype(np.int64)
    return np.minimum.accumulate(whole, axis=-1)
