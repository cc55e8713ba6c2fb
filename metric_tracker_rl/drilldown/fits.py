"""Which segments a cause fits on some days of a channel, and in what size.

All bounds come from expected weights by weekday, for all cells at once: what a cause needs to be
certain on every day, against every other segment, and in weekly sums; and what a hidden cause may
not exceed, so that neither single values by day nor pairs of values by week show it.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from metric_tracker_rl.drilldown.channel import STANDARD
from metric_tracker_rl.drilldown.cube import Cube, Floats, Ints
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
HIDES = 1.75
"""Most that a hidden root is planned to show in a single value; 3 are allowed on the sample."""
PAIR_HIDES = 2.5
"""The same in weekly sums of any two of its values."""
PAIR_FLOOR = (0.003, 0.001)
"""Relative noise of such a sum beside what all people share: share of traffic, steps."""
HIDDEN_FIXED = 3
"""Values that a hidden root's segment fixes."""
SPARE = 1.3
"""Factor on the variance of expected counts, which other causes may lower."""
WEEKLY_FLOOR = (0.004, 0.002)
"""Relative noise of weekly sums: share of traffic, steps."""
FEWEST_PEOPLE = 1150.0
"""People who enter the step in a root's segment, each day."""
COUNTER_MOVE = 0.085
"""Least change of everybody else in a mix shift."""
LARGEST_SHARE = 0.42
"""Largest share of traffic that a mix shift's segment has."""


class Fits:
    """Which segments a cause of one family fits on some days of a channel, and in what size.

    Args:
        cube: geometry.
        level: what is allowed.
        weights, people: expected weight, and people who enter the step, by weekday and cell.
        leaves: expected weight by leaf and weekday.
        days: first day, and the day after the last.
        channel, family, hidden: of the cause.

    Attributes:
        need: least size that is certain, by cell.
        high: largest size that is allowed, by cell.
        sized: which cells fix as many values, and hold as many people, as is wanted.
        run: expected weight over the run, by cell.
        people: fewest people who are expected to enter the step on a day, by cell.
    """

    def __init__(
        self,
        cube: Cube,
        level: Level,
        weights: Floats,
        people: Floats,
        leaves: Floats,
        days: tuple[int, int],
        *,
        channel: int,
        family: str,
        hidden: bool,
    ) -> None:
        self.cube, self.level, self.family, self.hidden = cube, level, family, hidden
        self.first, self.stop = first, stop = days
        side = min(channel, 1)
        self.floor2 = STANDARD.floor[side] * STANDARD.floor[side]
        self.tau = STANDARD.tau[side]
        self.weekly2 = WEEKLY_FLOOR[side] * WEEKLY_FLOOR[side]
        weekdays = [day % 7 for day in range(first, stop)]
        self.by_weekday, self.leaves = weights, leaves
        self.channel = channel
        self.faint = hidden and level.faint
        self.weekdays = weekdays
        self.days = self.by_weekday[weekdays]
        self.least = self.days.min(axis=0)
        self.run = _sum(self.days)
        self.week = _sum(self.by_weekday)
        self.low_size, high = self._sizes(channel)
        self.people = entering = people[weekdays].min(axis=0)
        low_fixed, high_fixed = self.level.fixed
        if family == MIX:
            low_fixed, high_fixed = 1, 2
        elif hidden and level.by_weeks:
            low_fixed = high_fixed = HIDDEN_FIXED
        fixed = self.cube.fixed
        self.sized = (fixed >= low_fixed) & (fixed <= high_fixed) & (entering >= FEWEST_PEOPLE)
        own = (FAINT_OWN if self.faint else OWN) * np.sqrt(
            (1.0 if self.faint else SPARE) / self.least + self.floor2
        )
        self.need = np.maximum(own, self.low_size)
        self.high = np.full(self.cube.cells, high)
        if self.faint:
            self.high = np.minimum(self.high, self._itself(FAINT))
        elif level.by_weeks:
            self.need = np.maximum(self.need, self._shown())
        if hidden:
            self.high = np.minimum(self.high, self._single())
            if level.by_weeks:
                self.high = np.minimum(self.high, self._unseen(PAIR_FLOOR[side]))
        if family == MIX:
            share = self.run / self.run[self.cube.everybody]
            self.need = np.maximum(self.need, COUNTER_MOVE * (1.0 - share) / share)
            self.sized = self.sized & (share < LARGEST_SHARE)

    def _sizes(self, channel: int) -> tuple[float, float]:
        level = self.level
        usual = level.rate if channel else level.traffic
        return {MIX: level.mix, LOSS: level.loss}.get(self.family, usual)

    def candidates(self) -> Ints:
        """Cells that some size fits."""
        return np.flatnonzero(self.sized & (self.need <= self.high))

    def low(self, cell: int) -> float:
        """Least size at which no other segment could take this one's place."""
        common = self.cube.shared(cell, self.leaves, self.by_weekday.T).T[self.weekdays]
        inside = _sum(common)
        alike = inside * inside / (self.run[cell] * self.run)
        alike[cell] = 0.0
        left = max(1.0 - float(np.max(alike[self.cube.candidates])), 1e-3)
        if self.faint:
            noise = float(np.sqrt(1.0 / self.run[cell] + self.floor2))
            lead = float(np.sqrt(FAINT_GAIN / (left * self.run[cell])))
            return max(float(self.need[cell]), FAINT_LEAVES * noise / left, lead)
        shared = common.min(axis=0)
        apart = np.maximum(self.least[cell] - shared, self.least - shared)
        apart[cell] = self.least[cell]
        smallest = float(np.min(apart[self.cube.candidates]))
        noise = float(np.sqrt(SPARE / self.run[cell] + self.floor2))
        return max(
            float(self.need[cell]),
            APART * float(np.sqrt(SPARE / max(smallest, 1.0) + self.floor2)),
            max(LEAVES * noise, 1.1 * self.tau) / left,
        )

    def shows_beside(self, cell: int, other: int, size: float) -> bool:
        """Whether a size shows in weekly sums that hold nothing of another segment.

        A hidden cause is looked for in sums of its own segment, any other in some pair of values.
        """
        if self.hidden or not self.level.by_weeks:
            return True
        pairs = self.cube.pairs[cell]
        clear = pairs[self.cube.meet[pairs, other] < 0]
        return bool(len(clear)) and size >= self._weekly(cell, clear)

    def _weekly(self, cell: int, pairs: Ints) -> float:
        """Least size of a cell's change that weekly sums of one of these cells show."""
        noise = np.sqrt(SPARE / self.week[pairs] + self.weekly2) * self.week[pairs]
        return float(np.min(SHOWS * noise) / np.max(self._in_weeks()[:, cell]))

    def _shown(self) -> Floats:
        """The same for every cell: in its own sums where it is hidden, else in its pairs'."""
        pairs = self.cube.pairs
        noise = np.sqrt(SPARE / self.week + self.weekly2) * self.week
        most = np.max(self._in_weeks(), axis=0)
        if self.hidden:
            return self._itself(SHOWS_ITSELF)
        return np.asarray(SHOWS * np.min(noise[pairs], axis=1) / most)

    def _itself(self, deviations: float) -> Floats:
        """Size at which weekly sums of a cell itself show so much of its change."""
        noise = np.sqrt(SPARE / self.week + self.weekly2) * self.week
        return np.asarray(deviations * noise / np.max(self._in_weeks(), axis=0))

    def _unseen(self, floor: float) -> Floats:
        """Largest size of every cell that weekly sums of none of its pairs show."""
        allowed = PAIR_HIDES * np.sqrt(self.week + floor * floor * self.week * self.week)
        return np.asarray(
            np.min(allowed[self.cube.pairs], axis=1) / np.max(self._in_weeks(), axis=0)
        )

    def _in_weeks(self) -> Floats:
        """Weight of the run's days in each week that it touches, by cell."""
        cut = [self.first, *range(self.first // 7 * 7 + 7, self.stop, 7), self.stop]
        parts = [
            _sum(self.days[one - self.first : other - self.first]) for one, other in pairwise(cut)
        ]
        return np.stack(parts)

    def _single(self) -> Floats:
        """Largest size of every cell that none of its single values shows on any day."""
        noise = HIDES * np.sqrt(1.0 / self.days + self.floor2) * self.days
        by_value = [np.min(noise[:, value] / self.days, axis=0) for value in self.cube.singles.T]
        return np.asarray(np.minimum.reduce(by_value))


def _sum(values: Floats) -> Floats:
    """Sum over rows, in order."""
    total = values[0].copy()
    for row in values[1:]:
        total += row
    return total
