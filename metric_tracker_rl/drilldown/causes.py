"""Planning: what is to happen to whom and when, so that it can be found and only in one way.

A cause is planned on the expected weights of a weekday, without a look at the sampled counts; its
size is drawn between the bounds of `fits`. What does not work out on the sample is rejected later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.drilldown.clean import Clean, sample
from metric_tracker_rl.drilldown.config import DAYS
from metric_tracker_rl.drilldown.cube import MOST_FIXED, Cube, Floats, Ints
from metric_tracker_rl.drilldown.day_noise import DayNoise
from metric_tracker_rl.drilldown.definition import LONGEST_RUN, Root
from metric_tracker_rl.drilldown.expected import Expected
from metric_tracker_rl.drilldown.fits import FAINT_GAIN, Fits
from metric_tracker_rl.drilldown.levels import (
    CANCEL,
    CANCEL_TRAFFIC,
    DOUBLE,
    LOSS,
    MIX,
    RATE,
    TRAFFIC,
    Level,
)
from openenv_kit.bitstream import BitStream

HIGHEST = 0.97
"""Highest rate that a cause may lead to."""
TRIES, TRIES_OF_FAMILY = 60, 20
PARTNERS = 10
PHANTOMS = 9
"""Segments that the change log may use on each of six channels."""
LEAD, SWING = 150.0, 1.3
"""A root's gain is at least the largest that its days' own noise gives any segment, times the
second, and the first beyond it."""
DOWN = 0.6


@dataclass(frozen=True)
class Effect:
    """One change of one channel.

    Attributes:
        channel: 0 for traffic, else the step into that stage.
        cell: whose traffic or rate it is.
        first, stop: first day, and the day after the last.
        factor: on traffic or rate.
        against: whether everybody else moves so that total traffic stands still.
    """

    channel: int
    cell: int
    first: int
    stop: int
    factor: float
    against: bool = False


@dataclass(frozen=True)
class Cause:
    """One planned cause, with the roots that the definition must find for it."""

    family: str
    effects: tuple[Effect, ...]
    roots: tuple[Root, ...]


def applied(cube: Cube, clean: Clean, causes: Sequence[Cause]) -> tuple[Floats, Floats]:
    """Traffic and rates of the clean model with causes in it."""
    traffic, rates = clean.traffic.copy(), clean.rates.copy()
    for effect in (effect for cause in causes for effect in cause.effects):
        days, members = slice(effect.first, effect.stop), cube.member[effect.cell]
        if effect.channel:
            changed = np.minimum(rates[effect.channel - 1][members, days] * effect.factor, 0.985)
            rates[effect.channel - 1][members, days] = changed
            continue
        if effect.against:
            sums = cube.sums(traffic[None, :, days])[0]
            share = sums[effect.cell] / sums[cube.everybody]
            others = 1.0 - (effect.factor - 1.0) * share / (1.0 - share)
            traffic[~members, days] *= others
        traffic[members, days] *= effect.factor
    return traffic, rates


def counted(cube: Cube, clean: Clean, causes: Sequence[Cause]) -> NDArray[np.int32]:
    """Counts with causes in the clean model, shape (leaves, stages, days).

    The noise is the model's: counts without a cause are the same draw with that cause taken back.
    """
    return sample(clean, *applied(cube, clean, causes))


class Planner:
    """Plans the causes of one draw.

    Args:
        cube: geometry.
        clean: the draw's clean model.
        level: what is allowed.
        stream: all choices are drawn from it.
    """

    def __init__(self, cube: Cube, clean: Clean, level: Level, stream: BitStream) -> None:
        self.cube, self.clean, self.level, self.stream = cube, clean, level, stream
        entering, weights = clean.weekly_traffic, [clean.weekly_traffic]
        people = [clean.weekly_traffic]
        for rates in clean.weekly_rates:
            people.append(entering)
            weights.append(entering * rates / (1.0 - rates))
            entering = entering * rates
        self.leaves = weights
        by_weekday = [  # (channels, weekdays, cells): reduced over weekdays
            np.ascontiguousarray(sums.transpose(0, 2, 1))
            for sums in (cube.sums_of_all(np.stack(weights)), cube.sums(np.stack(people)))
        ]
        self.expected = [
            Expected(cube, channel, *both)
            for channel, both in enumerate(zip(*by_weekday, strict=True))
        ]
        by_cell = [each.weights for each in self.expected], [each.every for each in self.expected]
        self.noise = DayNoise(cube, clean, weights, *by_cell)
        self.causes: list[Cause] = []
        self._usual: dict[tuple[int, int, int, str], Fits] = {}

    def plan(self, number: int) -> list[Cause] | None:
        """So many causes, or None where one of them does not fit."""
        for _ in range(number):
            cause = self.cause()
            if cause is None:
                return None
            self.causes.append(cause)
        return self.causes

    def cause(self) -> Cause | None:
        """One more cause on free days, or None after `TRIES` tries."""
        for turn in range(TRIES):
            if turn % TRIES_OF_FAMILY == 0:
                family = self.stream.pick(self.level.families)
            first, stop = self._days() if family == MIX else self._short()
            channels = self._channels(family)
            if not self._free(first, stop):
                continue
            effects = self._effects(family, channels, first, stop)
            if effects:
                return Cause(family, effects, _roots(family, effects))
        return None

    def phantoms(self) -> list[tuple[int, list[int]]]:
        """Channels, each with cells that something could have been planned for but was not."""
        found = []
        for channel in (*range(5), 1 + self.stream.below(4)):
            first = self.stream.below(DAYS)
            family = RATE if channel else TRAFFIC
            fitting = self._fits(channel, (first, first + 1), family).candidates()
            if groups := self._by_fixed(fitting):
                found.append((channel, [self._pick(groups) for _ in range(PHANTOMS)]))
        return found

    def _fits(self, channel: int, days: tuple[int, int], family: str) -> Fits:
        first, stop = days
        own = family if family in (MIX, LOSS) else ""  # of other families all sizes are the same
        key = channel, first % 7, stop - first, own
        if key not in self._usual:
            expected = self.expected[channel]
            self._usual[key] = Fits(expected, self.level, days, family)
        lead = FAINT_GAIN if self._usual[key].faint else LEAD
        gain = lead + SWING * self.noise.swing(channel, *days)
        return self._usual[key].with_lead(first, gain)

    def _short(self) -> tuple[int, int]:
        """One day of a week, or one of each of two: weekly sums of two values show any more."""
        if self.stream.below(3) == 0:
            first = 7 * self.stream.below(DAYS // 7 - 1) + 6
            return first, first + 2
        first = self.stream.below(DAYS)
        return first, first + 1

    def _days(self) -> tuple[int, int]:
        if self.causes:
            self.stream.uniform()  # once this decided whether to share an earlier cause's days
        length = 1 + self.stream.below(LONGEST_RUN)
        first = self.stream.below(DAYS - length + 1)
        return first, first + length

    def _channels(self, family: str) -> tuple[int, ...]:
        if family in (TRAFFIC, MIX, CANCEL_TRAFFIC):
            return (0,)
        if family in (LOSS, DOUBLE):
            step = 1 + self.stream.below(3)
            return step, step + 1
        return (1 + self.stream.below(4),)

    def _free(self, first: int, stop: int) -> bool:
        """Whether no cause is too near."""
        return all(
            first >= effect.stop + 2 or stop + 2 <= effect.first
            for cause in self.causes
            for effect in cause.effects
        )

    def _fitting(
        self, family: str, channels: Sequence[int], first: int, stop: int
    ) -> tuple[list[Fits], Ints]:
        """What fits on each step, and the cells that fit on all."""
        fits: list[Fits] = []
        allowed = self.cube.fixed <= MOST_FIXED
        for channel in channels:
            fits.append(self._fits(channel, (first, stop), family))
            allowed = allowed & fits[-1].fitting()
            if not allowed.any():
                break
        return fits, np.flatnonzero(allowed)

    def _effects(
        self, family: str, channels: Sequence[int], first: int, stop: int
    ) -> tuple[Effect, ...]:
        """Effects of a family on these days; empty where none fits and shows as it should."""
        fits, allowed = self._fitting(family, channels, first, stop)
        groups = self._by_fixed(allowed)
        if not groups:
            return ()
        cell = self._pick(groups)
        low = max(fit.low(cell) for fit in fits)
        high = min(fit.high[cell] for fit in fits)
        if family == LOSS:  # the step after it rises by more than this one falls
            high = min(fits[0].high[cell], fits[1].high[cell] / (1.0 + fits[1].high[cell]))
        if low > high:
            return ()
        size = low + (high - low) * self.stream.uniform()
        if family == LOSS:
            effects = [
                Effect(channels[0], cell, first, stop, 1.0 - size),
                Effect(channels[1], cell, first, stop, 1.0 / (1.0 - size)),
            ]
        elif family == DOUBLE:
            other = low + (high - low) * self.stream.uniform()
            effects = [
                Effect(channels[0], cell, first, stop, 1.0 - size),
                Effect(channels[1], cell, first, stop, 1.0 - other),
            ]
        else:
            change = -size if self.stream.uniform() < DOWN else size
            effects = [Effect(channels[0], cell, first, stop, 1.0 + change, family == MIX)]
            if family in (CANCEL, CANCEL_TRAFFIC):
                partner = self._partner(fits[0], channels[0], cell, change)
                if partner is None:
                    return ()
                effects.append(partner)
        shown = family == MIX or self.noise.gives_away(effects, self.level.evidence)
        return tuple(effects) if shown and all(map(self._possible, effects)) else ()

    def _by_fixed(self, allowed: Ints) -> list[list[int]]:
        """Candidates by how many values they fix, fewest first."""
        counts = self.cube.fixed[allowed]
        groups = [allowed[counts == fixed].tolist() for fixed in range(MOST_FIXED + 1)]
        return [each for each in groups if each]

    def _pick(self, groups: Sequence[list[int]]) -> int:
        """A candidate: first how many values it fixes, then which."""
        return self.stream.pick(self.stream.pick(groups))

    def _partner(self, fits: Fits, channel: int, cell: int, change: float) -> Effect | None:
        """The opposite change of a disjoint segment that lets the total stand still."""
        ratio = fits.run[cell] / fits.run
        size = abs(change) * ratio
        able = (self.cube.meet[cell] < 0) & (size >= fits.need) & (size <= fits.high)
        for _ in range(PARTNERS):
            groups = self._by_fixed(np.flatnonzero(able & fits.sized))
            if not groups:
                return None
            other = self._pick(groups)
            able[other] = False
            if fits.low(other) <= size[other]:
                factor = 1.0 - change * float(ratio[other])
                return Effect(channel, other, fits.first, fits.stop, factor)
        return None

    def _possible(self, effect: Effect) -> bool:
        """Whether a rate stays a rate."""
        if not effect.channel or effect.factor <= 1.0:
            return True
        members = self.cube.member[effect.cell]
        days = slice(effect.first, effect.stop)
        rates = self.clean.rates[effect.channel - 1][members, days]
        return float(np.max(rates)) * effect.factor <= HIGHEST


def _roots(family: str, effects: Sequence[Effect]) -> tuple[Root, ...]:
    if family == LOSS:
        effects = effects[:1]
    kinds = {MIX: MIX, LOSS: LOSS}
    return tuple(
        Root(
            e.channel,
            e.first,
            e.stop - 1,
            e.cell,
            kinds.get(family, RATE if e.channel else TRAFFIC),
        )
        for e in effects
    )
