"""Planning: what is to happen to whom and when, so that it can be found and only in one way.

How many values each segment fixes is drawn first, once for all draws of an episode, and kept: what
does not fit in one place is tried in another. Sizes lie between the bounds of `fits`. What does not
work out on the sampled counts is rejected later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import accumulate

import numpy as np

from drilldown_env.causes import Cause, Effect
from drilldown_env.channel import CHANNELS
from drilldown_env.clean import Clean
from drilldown_env.config import DAYS
from drilldown_env.cube import EVERYBODY, Bools, cube_of, limited_to
from drilldown_env.definition import LONGEST_RUN
from drilldown_env.domain import Domain
from drilldown_env.fits import Expected, Fits
from drilldown_env.levels import LOSS, MIX, RATE, TRAFFIC, Level
from drilldown_env.work import AUDIENCES
from openenv_kit.bitstream import BitStream
from openenv_kit.float_sum import sum_left_to_right

HIGHEST = 0.97
"""Highest rate that a cause may lead to."""
TRIES, TRIES_OF_KIND, TRIES_OF_DAYS = 72, 24, 8
"""Places that are tried for a root, for its kind, and for its number of days."""
PARTNERS = 10
DOWN = 0.6
CANCELLING = 0.12
"""Chance that two of the clear roots cancel in their total."""
SIZES = (5, 25, 40, 30)
"""Weights of 0 to 3 fixed values, of roots and of what the change log is about."""
MIXED = (1, 2)
"""Values that the segment of a mix shift fixes: it is large enough to move everybody else."""
SWING = (0.04, 0.02)
"""How far an effect swings about its factor from day to day: traffic, steps. Less than seven tenths
of tau at most, so that no day by itself comes near to having moved."""
WHOM = {RATE: "anyone", TRAFFIC: "advertised", MIX: "advertised", LOSS: "built"}
"""Audience of what moves people so."""
EVENT = (3, 5)
"""Fewest and most days of an entry of the calendar, which lies in one week."""


@dataclass(frozen=True)
class Wanted:
    """What is wanted of one cause.

    Attributes:
        fixed: values that its segment fixes; two numbers for a cancelling pair.
        days: how long it lasts.
        faint: whether no single value may show it.
    """

    fixed: tuple[int, ...]
    days: int
    faint: bool = False


def draw_wanted(level: Level, roots: int, stream: BitStream) -> list[Wanted]:
    """What is wanted of the causes of so many roots: sizes and days first, then which are faint.

    Those are the narrowest. They are of two or three values, a smaller size of theirs is drawn
    again; and a single day, which would have to be large, is another root's if it can. Two that
    cancel each fix a value, for they share no people.
    """
    faint = round(level.faint * roots)
    weights = SIZES[: level.fixed + 1]
    sizes = sorted((weighted(stream, weights) for _ in range(roots)), reverse=True)
    for place in range(faint):
        while sizes[place] < 2:
            sizes[place] = weighted(stream, weights)
    days = sorted(
        (1 + stream.integer_below(LONGEST_RUN) for _ in range(roots)), key=lambda n: n == 1
    )
    found = [Wanted((sizes[n],), days[n], faint=True) for n in range(faint)]
    clear, days = sizes[faint:], stream.shuffled_copy(days[faint:])
    if len(clear) >= 2 and clear[1] and stream.uniform() < CANCELLING:
        found.append(Wanted((clear.pop(0), clear.pop(0)), days.pop()))
    return found + [Wanted((size,), days.pop()) for size in clear]


class Planner:
    """Plans the causes of one draw.

    Args:
        domain: the product.
        clean: the draw's clean model.
        level: what is wanted.
        stream: all choices are drawn from it.
    """

    def __init__(self, domain: Domain, clean: Clean, level: Level, stream: BitStream) -> None:
        self.cube = cube = cube_of(domain.shape)
        self.clean, self.level, self.stream = clean, level, stream
        self.whom = {kind: limited_to(domain, AUDIENCES[each]) for kind, each in WHOM.items()}
        entering = clean.weekly_traffic
        leaves, people = [entering], [entering]
        for rates in clean.weekly_rates:
            people.append(entering)
            leaves.append(entering * rates / (1.0 - rates))
            entering = entering * rates
        sums = cube.sums(np.stack(leaves + people))
        self.expected = [
            Expected(cube, channel, leaves[channel], sums[channel], sums[CHANNELS + channel])
            for channel in range(CHANNELS)
        ]
        self.visits = cube.sums(clean.traffic[None])[0, EVERYBODY]
        self.causes: list[Cause] = []
        self.free = np.ones((CHANNELS, DAYS), dtype=bool)
        self._known: dict[tuple[int, int, str, bool], Fits] = {}

    def plan(self, wanted: Sequence[Wanted]) -> list[Cause] | None:
        """The calendar's entries, and causes as they are wanted; None where one does not fit."""
        steps = [self._event] * self.level.events
        steps += [partial(self._cause, each) for each in wanted]
        for step in steps:
            if (cause := step()) is None:
                return None
            self.causes.append(cause)
            for effect in cause.effects:  # no other shares a week, or is nearer than two quiet days
                first = min(effect.first - 2, 7 * (effect.first // 7))
                stop = max(effect.stop + 2, 7 * ((effect.stop - 1) // 7 + 1))
                self.free[effect.channel, max(first, 0) : stop] = False
        return self.causes

    def _cause(self, wanted: Wanted) -> Cause | None:
        """One more cause, or None after `TRIES` tries."""
        fixed, *partner = wanted.fixed
        sized = self.cube.fixed == fixed
        kinds = [RATE, TRAFFIC]
        if not partner:
            kinds += [LOSS] + [MIX] * (not wanted.faint and fixed in MIXED)
        kinds = [kind for kind in kinds if (self.whom[kind] & sized).any()]
        for turn in range(TRIES):
            if turn % TRIES_OF_KIND == 0:
                kind = self.stream.choose(kinds)
            if turn % TRIES_OF_DAYS == 0:
                length = 1 + self.stream.integer_below(LONGEST_RUN) if turn else wanted.days
            cells = self.whom[kind] & sized
            effects = self._effects(kind, cells, length, faint=wanted.faint)
            if effects and partner:
                effects = self._with_partner(effects[0], kind, partner[0])
            if effects:
                return Cause(kind, effects, wanted.faint)
        return None

    def _event(self) -> Cause | None:
        """Something that the calendar announces: it moves the traffic of one value or everybody."""
        for _ in range(TRIES):
            length = EVENT[0] + self.stream.integer_below(EVENT[1] - EVENT[0] + 1)
            cells = self.whom[TRAFFIC] & (self.cube.fixed == min(self.stream.integer_below(5), 1))
            if effects := self._effects(TRAFFIC, cells, length, announced=True):
                return Cause(TRAFFIC, effects, announced=True)
        return None

    def _effects(
        self,
        kind: str,
        cells: Bools,
        length: int,
        *,
        faint: bool = False,
        announced: bool = False,
    ) -> tuple[Effect, ...]:
        """Effects of a kind on one of these cells, an announced one within a week.

        Empty where they do not fit the place that was drawn.
        """
        channel = (
            0 if kind in (TRAFFIC, MIX) else 1 + self.stream.integer_below(3 if kind == LOSS else 4)
        )
        channels = (channel, channel + 1) if kind == LOSS else (channel,)
        fits = [self._fits(each, length, kind, faint=faint) for each in channels]
        allowed = reduce(np.logical_and, (each.fitting for each in fits))
        allowed = allowed & cells
        able = np.tile(allowed.any(axis=1), DAYS // 7)
        if announced:
            able &= np.arange(DAYS) % 7 + length <= 7
        free = np.all(self.free[list(channels)], axis=0)
        for day in range(length):
            able[: DAYS - day] &= free[day:]
        firsts = np.flatnonzero(able[: DAYS - length + 1]).tolist()
        if not firsts:
            return ()
        first = self.stream.choose(firsts)
        stop, weekday = first + length, first % 7
        cell = int(self.stream.choose(np.flatnonzero(allowed[weekday]).tolist()))
        high = min(float(each.high[weekday, cell]) for each in fits)
        if kind == LOSS:  # the step after it rises by more than this one falls
            after = float(fits[1].high[weekday, cell])
            high = min(float(fits[0].high[weekday, cell]), after / (1.0 + after) if faint else 1.0)
        falls = kind == LOSS or self.stream.uniform() < DOWN
        if kind == MIX and falls:
            high = min(high, 0.65)
        low = 0.0
        for each in fits:
            low = max(low, each.low(weekday, cell))
            if low > high:
                return ()
        size = low + (high - low) * self.stream.uniform()
        factor = 1.0 - size if falls else 1.0 + size
        swing = self._swing(channel, length)
        effects = [Effect(channel, cell, first, stop, factor, swing, kind == MIX)]
        if kind == LOSS:
            inverse = tuple(1.0 / each for each in swing)
            effects.append(Effect(channel + 1, cell, first, stop, 1.0 / factor, inverse))
        certain = all(map(self._possible, effects)) and self._distinguishable(effects[0])
        return tuple(effects) if certain else ()

    def _swing(self, channel: int, length: int) -> tuple[float, ...]:
        """How an effect differs from day to day, 1 on average."""
        drawn = [self.stream.uniform(-1.0, 1.0) for _ in range(length)]
        middle = sum_left_to_right(drawn) / length
        return tuple(1.0 + SWING[min(channel, 1)] * (each - middle) for each in drawn)

    def _distinguishable(self, effect: Effect) -> bool:
        """Whether the days' noise leaves no doubt between a change of traffic and a mix shift."""
        if effect.channel:
            return True
        weights = self.expected[0].weights
        days = range(effect.first, effect.stop)
        own = sum(int(weights[effect.cell, day % 7]) for day in days)
        every = sum(int(weights[EVERYBODY, day % 7]) for day in days)
        if own == every:
            return True
        drift = sum(int(self.visits[day] - weights[EVERYBODY, day % 7]) for day in days) / every
        against = -(effect.factor - 1.0) * own / (every - own)
        if effect.against:
            return drift / against >= -0.25
        return abs(against) < 0.02 or abs(drift / against - 0.5) >= 0.27

    def _fits(self, channel: int, length: int, kind: str, *, faint: bool) -> Fits:
        """What fits on a channel for so many days."""
        key = channel, length, kind, faint
        if key not in self._known:
            self._known[key] = Fits(self.cube, self.expected[channel], length, kind, faint=faint)
        return self._known[key]

    def _with_partner(self, effect: Effect, kind: str, fixed: int) -> tuple[Effect, ...]:
        """The effect, and the opposite change of other people that lets the total stand still."""
        fits = self._fits(effect.channel, effect.stop - effect.first, kind, faint=False)
        weekday = effect.first % 7
        run = fits.run[weekday]
        change = (effect.factor - 1.0) * run[effect.cell] / run
        size = np.abs(change)
        able = self.cube.disjoint[effect.cell] & fits.fitting[weekday]
        able &= (size >= fits.need[weekday]) & (size <= fits.high[weekday])
        able &= self.whom[kind] & (self.cube.fixed == fixed)
        for other in self.stream.shuffled_copy(np.flatnonzero(able).tolist())[:PARTNERS]:
            partner = replace(effect, cell=other, factor=1.0 - float(change[other]))
            if fits.low(weekday, other) <= size[other] and self._possible(partner):
                return effect, partner
        return ()

    def _possible(self, effect: Effect) -> bool:
        """Whether a rate stays a rate."""
        if not effect.channel or effect.factor <= 1.0:
            return True
        members = self.cube.member[effect.cell]
        rates = self.clean.rates[effect.channel - 1][members, effect.first : effect.stop]
        return float(np.max(rates)) * effect.factor * max(effect.swing) <= HIGHEST


def weighted(stream: BitStream, weights: Sequence[int]) -> int:
    """A position, drawn by whole weights."""
    place = stream.integer_below(sum(weights))
    return next(number for number, most in enumerate(accumulate(weights)) if place < most)
