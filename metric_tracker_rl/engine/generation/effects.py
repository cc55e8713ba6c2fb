"""What a cause does to one day of hourly counts.

Every effect takes the recorded counts of a day, shape (24, stages), and returns new ones.
Effects of real user behaviour propagate down the funnel and keep it possible (no stage
larger than the one above it); instrumentation faults touch one stage's record only.
Effects are pure and hold all their numbers, so undoing a cause means applying the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.engine.series import Ints


class Effect(Protocol):
    """A pure change of one day's hourly counts."""

    def apply(self, hours: Ints) -> Ints:
        """New counts, shape (24, stages); the argument is left as it is."""


def to_counts(values: NDArray[np.floating[Any]]) -> Ints:
    """Nearest whole numbers, at least 0."""
    return np.maximum(np.rint(values), 0.0).astype(np.int64)


@dataclass(frozen=True)
class Traffic:
    """All stages scaled by one factor: more or fewer people came."""

    factor: float

    def apply(self, hours: Ints) -> Ints:
        return _clipped(to_counts(hours * self.factor))


@dataclass(frozen=True)
class StepRates:
    """Step rates scaled; every later stage follows.

    Attributes:
        factors: (stage index, factor) pairs; the factor multiplies the rate into that stage.
    """

    factors: tuple[tuple[int, float], ...]

    def apply(self, hours: Ints) -> Ints:
        scaled = hours.astype(np.float64)
        for stage, factor in self.factors:
            scaled[:, stage:] = scaled[:, stage:] * factor
        return _clipped(to_counts(scaled))


@dataclass(frozen=True)
class StageEvents:
    """One stage's events lost or doubled; the stages around it keep theirs.

    The result stays between the stages below and above, so it is never impossible.
    """

    stage: int
    factor: float

    def apply(self, hours: Ints) -> Ints:
        changed = hours.copy()
        scaled = to_counts(hours[:, self.stage] * self.factor)
        floor, ceiling = hours[:, self.stage + 1], hours[:, self.stage - 1]
        changed[:, self.stage] = np.minimum(np.maximum(scaled, floor), ceiling)
        return changed


@dataclass(frozen=True)
class DayShape:
    """Traffic of a stretch of the day and of its other hours scaled; conversion stays.

    Attributes:
        daytime: first hour of the stretch, and the first hour after.
        day_factor, night_factor: factors within it and outside.
    """

    daytime: tuple[int, int]
    day_factor: float
    night_factor: float = 1.0

    def apply(self, hours: Ints) -> Ints:
        start, stop = self.daytime
        scale = np.full((len(hours), 1), self.night_factor)
        scale[start:stop] = self.day_factor
        return _clipped(to_counts(hours * scale))


@dataclass(frozen=True)
class OverCount:
    """An instrumentation fault: in some hours a stage records more than the one above it.

    Attributes:
        stage: index of the stage that over-counts.
        excess: (hour, events above the previous stage) pairs.
    """

    stage: int
    excess: tuple[tuple[int, int], ...]

    def apply(self, hours: Ints) -> Ints:
        changed = hours.copy()
        for hour, surplus in self.excess:
            changed[hour, self.stage] = hours[hour, self.stage - 1] + surplus
        return changed


def _clipped(hours: Ints) -> Ints:
    """No stage above the one before it."""
    return np.asarray(np.minimum.accumulate(hours, axis=1))
