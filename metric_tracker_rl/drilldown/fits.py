"""Which segments a cause fits on some days of a channel, and in what size.

All bounds come from expected weights by weekday, for all cells at once: what a cause needs to be
certain on every day, against every other segment, and in weekly sums; and what a hidden cause may
not exceed, so that neither single values by day nor pairs of values by week show it.
"""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise

import numpy as np

from metric_tracker_rl.drilldown.cube import Bools, Floats, Ints, in_order
from metric_tracker_rl.drilldown.expected import SPARE, Expected
from metric_tracker_rl.drilldown.levels import LOSS, MIX, Level

OWN = 9.5
"""Standard deviations that a root shows in its own segment, each day."""
APART = 8.0
"""Standard deviations that any other segment in its place leaves or takes in wrongly."""
LEAVES = 6.8
"""Standard deviations that are left in its segment, over the run, with any other taken out."""
SHOWS = 6.0
"""Standard deviations that it shows in weekly sums of some pair of its values."""
SHOWS_ITSELF = 4.5
"""Standard deviations that a hidden one shows in weekly sums of its own segment."""
FAINT_OWN, FAINT_LEAVES, FAINT_GAIN = 9.1, 6.6, 74.0
"""What a faint root shows in its own segment, what is left there with any other taken out, both in
standard deviations, and its lead in gain: less than of others, as its days' noise is known."""
FAINT = 6.5
"""Most standard deviations that a faint root shows in weekly sums of its own segment."""
NARROW = 1.5
"""Largest size of a faint root, times the least that is certain."""
HIDDEN_FIXED, MIX_FIXED = 3, (1, 2)
"""Values that a hidden root's segment fixes, and fewest and most that a mix shift's does."""
FEWEST_PEOPLE = 1150.0
"""People who enter the step in a root's segment, each day."""
COUNTER_MOVE = 0.085
"""Least change of everybody else in a mix shift."""
LARGEST_SHARE = 0.42
"""Largest share of traffic that a mix shift's segment has."""


class Fits:
    """Which segments a cause of one family fits on some days of a channel, and in what size.

    Args:
        expected: of the channel.
        level: what is allowed.
        days: first day, and the day after the last.
        family: of the cause; a mix shift is never hidden.

    Attributes:
        need: least size that is certain, by cell.
        high: largest size that is allowed, by cell.
        sized: which cells fix as many values, and hold as many people, as is wanted.
        run: expected weight over the run, by cell.
        people: fewest people who are expected to enter the step on a day, by cell.
    """

    def __init__(
        self, expected: Expected, level: Level, days: tuple[int, int], family: str
    ) -> None:
        self.expected, self.cube, self.channel = expected, expected.cube, expected.channel
        self.level, hidden = level, family != MIX
        self.faint = hidden and level.faint
        self.first, self.stop = days
        self.weekdays = [day % 7 for day in range(*days)]
        self.days = expected.weights[self.weekdays]
        self.least = self.days.min(axis=0)
        self.run = in_order(self.days)
        self.people = expected.people[self.weekdays].min(axis=0)
        low_fixed, high_fixed = (HIDDEN_FIXED, HIDDEN_FIXED) if hidden else MIX_FIXED
        fixed = self.cube.fixed
        self.sized = (fixed >= low_fixed) & (fixed <= high_fixed) & (self.people >= FEWEST_PEOPLE)
        usual = level.rate if self.channel else level.traffic
        self.low_size, high = {MIX: level.mix, LOSS: level.loss}.get(family, usual)
        own = (FAINT_OWN if self.faint else OWN) * np.sqrt(
            (1.0 if self.faint else SPARE) / self.least + expected.floor2
        )
        self.need = np.maximum(own, self.low_size)
        self.high = np.full(self.cube.cells, high)
        if self.faint:
            self.high = np.minimum(self.high, self._itself(FAINT))
        else:
            shown = self._itself(SHOWS_ITSELF) if hidden else self._in_pairs(SHOWS)
            self.need = np.maximum(self.need, shown)
        if hidden:
            self.high = np.minimum(self.high, expected.single[self.weekdays].min(axis=0))
            unseen = level.in_pairs * expected.unseen
            self.high = np.minimum(self.high, unseen / self.in_a_week)
        else:
            share = self.run / self.run[self.cube.everybody]
            self.need = np.maximum(self.need, COUNTER_MOVE * (1.0 - share) / share)
            self.sized = self.sized & (share < LARGEST_SHARE)

    @cached_property
    def in_a_week(self) -> Floats:
        """Most weight of the run's days in a week that it touches, by cell."""
        cut = [self.first, *range(self.first // 7 * 7 + 7, self.stop, 7), self.stop]
        parts = [
            in_order(self.days[one - self.first : other - self.first])
            for one, other in pairwise(cut)
        ]
        return np.asarray(np.maximum.reduce(parts))

    def with_lead(self, first: int, gain: float) -> Fits:
        """The same for the days from the same weekday on, where a cause is to gain so much."""
        found = Fits.__new__(Fits)
        found.__dict__.update(self.__dict__)
        found.first, found.stop = first, first + self.stop - self.first
        found.need = np.maximum(self.need, np.sqrt(gain / self.run))
        return found

    def candidates(self) -> Ints:
        """Cells that some size fits."""
        return np.flatnonzero(self.fitting())

    def fitting(self) -> Bools:
        """Which cells some size fits."""
        return np.asarray(self.sized & (self.need <= self.high))

    def low(self, cell: int) -> float:
        """Least size at which no other segment could take this one's place."""
        others, shared = self.cube.beside(cell)
        common = self.expected.every[self.weekdays][:, shared]
        inside, fewest = in_order(common), common.min(axis=0)
        alike = inside * inside / (self.run[cell] * self.run[others])
        left = max(1.0 - float(np.max(alike, initial=0.0)), 1e-3)
        apart = np.maximum(self.least[cell] - fewest, self.least[others] - fewest)
        smallest = float(np.min(apart, initial=float(self.least[cell])))
        noise = float(np.sqrt(SPARE / self.run[cell] + self.expected.floor2))
        return max(
            float(self.need[cell]),
            APART * float(np.sqrt(SPARE / max(smallest, 1.0) + self.expected.floor2)),
            max(LEAVES * noise, 1.1 * self.expected.tau) / left,
        )

    def faint_lows(self) -> Floats:
        """The same for every cell that a faint root may have; its day's noise is known."""
        left = self.expected.left(self.weekdays[0])
        noise = np.sqrt(1.0 / self.run + self.expected.floor2)
        lead = np.sqrt(FAINT_GAIN / (left * self.run))
        return np.asarray(np.maximum(self.need, np.maximum(FAINT_LEAVES * noise / left, lead)))

    def _in_pairs(self, deviations: float) -> Floats:
        """Size at which weekly sums of some pair of its values show so much of its change."""
        return np.asarray(deviations * self.expected.noise_of_pairs / self.in_a_week)

    def _itself(self, deviations: float) -> Floats:
        """Size at which weekly sums of a cell itself show so much of its change."""
        return np.asarray(deviations * self.expected.weekly_noise / self.in_a_week)
