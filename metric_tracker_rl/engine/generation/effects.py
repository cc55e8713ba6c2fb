"""What a cause does to one day of hourly counts.

Every effect takes the recorded counts of a day, shape (24, stages), and returns new ones; days
stand one after the other along a leading axis, so that effects on many of them are applied at once.
Effects of real user behaviour propagate down the funnel and keep it possible (no stage
larger than the one above it); instrumentation faults touch one stage's record only.
Effects are pure and hold all their numbers, so undoing a cause means applying the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from metric_tracker_rl.engine.series import Floats, Ints


class Effect(Protocol):
    """A pure change of one day's hourly counts; many days, each with one of its own, at once."""

    @staticmethod
    def apply_each(hours: Ints, effects: Sequence[Any]) -> Ints:
        """New counts, shape (effects, 24, stages); the argument is left as it is."""


def apply_effects(hours: Ints, effects: Sequence[Sequence[Effect]]) -> Ints:
    """Days after all of their effects.

    Args:
        hours: shape (days, 24, stages).
        effects: for each day, in the order in which they happen; none leaves it as it is.

    Returns:
        Counts, same shape; the argument is left as it is.
    """
    changed = hours
    for turn in range(max(map(len, effects), default=0)):
        kinds: dict[type[Effect], list[int]] = {}
        for day, each in enumerate(effects):
            if turn < len(each):
                kinds.setdefault(type(each[turn]), []).append(day)
        for kind, days in kinds.items():
            if len(days) == len(effects):
                changed = kind.apply_each(changed, [each[turn] for each in effects])
                continue
            if changed is hours:
                changed = hours.copy()
            changed[days] = kind.apply_each(changed[days], [effects[day][turn] for day in days])
    return changed


def to_counts(values: Floats) -> Ints:
    """Nearest whole numbers, at least 0; the argument is overwritten."""
    return to_whole(values).astype(np.int64)


def to_whole(values: Floats) -> Floats:
    """The same as floats, in the argument's place."""
    np.rint(values, out=values)
    return np.maximum(values, 0.0, out=values)


@dataclass(frozen=True)
class Traffic:
    """All stages scaled by one factor: more or fewer people came."""

    factor: float

    @staticmethod
    def apply_each(hours: Ints, effects: Sequence[Traffic]) -> Ints:
        factors = np.array([each.factor for each in effects])
        return _clipped(to_counts(hours * factors[:, np.newaxis, np.newaxis]))


@dataclass(frozen=True)
class StepRates:
    """Step rates scaled; every later stage follows.

    Attributes:
        factors: (stage index, factor) pairs in the funnel's order; the factor multiplies the rate
            into that stage.
    """

    factors: tuple[tuple[int, float], ...]

    @staticmethod
    def apply_each(hours: Ints, effects: Sequence[StepRates]) -> Ints:
        stages = hours.shape[-1]
        factors = np.ones((len(effects), stages))
        for day, each in enumerate(effects):
            for stage, factor in each.factors:
                factors[day, stage] = factor
        scaled = hours.astype(np.float64)
        # One product after the other, from the first step on; a product with 1.0 changes nothing.
        for step in range(1, stages):
            by_day = factors[:, np.newaxis, step]
            for stage in range(step, stages):
                scaled[:, :, stage] *= by_day
        return _clipped(to_counts(scaled))


@dataclass(frozen=True)
class StageEvents:
    """One stage's events lost or doubled; the stages around it keep theirs.

    The result stays between the stages below and above, so it is never impossible.
    """

    stage: int
    factor: float

    @staticmethod
    def apply_each(hours: Ints, effects: Sequence[StageEvents]) -> Ints:
        days, stages = np.arange(len(effects)), np.array([each.stage for each in effects])
        factors = np.array([each.factor for each in effects])[:, np.newaxis]
        scaled = to_counts(hours[days, :, stages] * factors)
        floor, ceiling = hours[days, :, stages + 1], hours[days, :, stages - 1]
        changed = hours.copy()
        changed[days, :, stages] = np.minimum(np.maximum(scaled, floor), ceiling)
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

    @staticmethod
    def apply_each(hours: Ints, effects: Sequence[DayShape]) -> Ints:
        scale: Floats = np.empty((*hours.shape[:2], 1))
        for day, each in enumerate(effects):
            scale[day] = each.night_factor
            scale[day, slice(*each.daytime)] = each.day_factor
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

    @staticmethod
    def apply_each(hours: Ints, effects: Sequence[OverCount]) -> Ints:
        faults = [
            (day, hour, each.stage, surplus)
            for day, each in enumerate(effects)
            for hour, surplus in each.excess
        ]
        days, at, stages, surplus = np.array(faults).T
        changed = hours.copy()
        changed[days, at, stages] = hours[days, at, stages - 1] + surplus
        return changed


def _clipped(hours: Ints) -> Ints:
    """No stage above the one before it; the argument is overwritten."""
    # Stage by stage: NumPy's own running minimum of five numbers at a time takes ten times longer.
    for stage in range(1, hours.shape[-1]):
        np.minimum(hours[..., stage - 1], hours[..., stage], out=hours[..., stage])
    return hours
