"""Which segments a cause fits on some days of a channel, and in what size.

All bounds come from expected weights by weekday, for all cells at once: what a cause needs to be
certain on every day and to show where its level wants it to show; and what a faint cause may not
exceed, so that no single value shows it.
"""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise

import numpy as np

from drilldown_env.channel import FLOOR, PEOPLE, TAU, variance
from drilldown_env.cube import EVERYBODY, Bools, Cube, Floats, over_days
from drilldown_env.levels import LOSS, MIX

OWN = 9.5
"""Standard deviations that a root shows in its own segment, each day."""
APART = 8.0
"""Standard deviations that any other segment in its place leaves or takes in wrongly."""
LEAVES = 7.0
"""Standard deviations that are left in its segment, over the run, with any other taken out."""
SPARE = 1.3
"""Factor on the variance of expected counts, which other causes may lower."""
CLEAR, FAINT, IN_PAIRS = 6.5, (1.45, 1.9), 7.6
"""Standard deviations by week, as planned: least of a clear root in a single value, most of a faint
one there (traffic, steps), and least of a faint one in a pair. On the sample: 5, 3 and 6."""
COUNTER_MOVE = 0.085
"""Least change of everybody else in a mix shift."""
LARGEST_SHARE = 0.42
"""Largest share of traffic that a mix shift's segment has."""
LOW = {"rate": 0.115, "traffic": 0.24, MIX: 0.46, LOSS: 0.12}
HIGH = {"rate": 0.50, "traffic": 0.55, MIX: 1.0, LOSS: 0.45}
"""Smallest and largest sizes that are planned; the promises are .10, .20 and .40."""
OF_THREE = 0.75
"""Largest size of a rate change of a segment of three values."""


class Expected:
    """Expected weights of one channel.

    Args:
        cube: geometry.
        channel: 0 for traffic, else the step.
        leaves: W of every leaf, shape (leaves, weekdays).
        weights: W of every cell, shape (cells, weekdays).
        people: people who enter the step, the same shape.
    """

    def __init__(
        self, cube: Cube, channel: int, leaves: Floats, weights: Floats, people: Floats
    ) -> None:
        self.cube, self.channel = cube, channel
        self.leaves, self.weights, self.people = leaves, weights, people
        self.floor2 = FLOOR[min(channel, 1)] * FLOOR[min(channel, 1)]
        spread = variance(weights, self.floor2)
        self.by_day, self.by_week = np.sqrt(spread), np.sqrt(over_days(spread))

    @cached_property
    def single_by_week(self) -> Floats:
        """Least noise by week of everybody and a cell's single values."""
        return self._least(slice(0, self.cube.simple), self.by_week)

    @cached_property
    def single_by_day(self) -> Floats:
        """The same by day, shape (cells, weekdays)."""
        simple = slice(0, self.cube.simple)
        return np.stack([self._least(simple, day) for day in self.by_day.T], axis=1)

    @cached_property
    def pair_by_week(self) -> Floats:
        """Least noise by week of a cell's pairs of values."""
        pairs = np.flatnonzero(self.cube.fixed == 2)
        return self._least(slice(int(pairs[0]), int(pairs[-1]) + 1), self.by_week)

    def _least(self, cells: slice, noise: Floats) -> Floats:
        held = self.cube.within[:, cells]
        return np.asarray(np.min(np.where(held, noise[cells], np.inf), axis=1))


class Fits:
    """Which segments a cause of one kind fits on some days of a channel, and in what size.

    Args:
        cube: geometry.
        expected: of the channel.
        days: first day, and the day after the last.
        kind: of the cause.
        faint: whether no single value may show it.

    Attributes:
        need, high: least and largest size, by cell.
        run: expected weight over the run, by cell.
        least: expected weight of the weakest day, by cell.
    """

    def __init__(
        self, cube: Cube, expected: Expected, days: tuple[int, int], kind: str, *, faint: bool
    ) -> None:
        self.cube, self.expected, self.kind = cube, expected, kind
        self.first, self.stop = days
        self.weekdays = [day % 7 for day in range(*days)]
        self.weights = expected.weights[:, self.weekdays]
        self.least, self.run = self.weights.min(axis=1), over_days(self.weights)
        usual = "rate" if expected.channel else "traffic"
        own = OWN * np.sqrt(SPARE / self.least + expected.floor2)
        self.need = np.maximum(own, LOW.get(kind, LOW[usual]))
        self.high = np.full(cube.cells, HIGH.get(kind, HIGH[usual]))
        if usual == "rate" and kind != LOSS:
            self.high[cube.fixed == 3] = OF_THREE
        self._show(faint=faint)
        enough = expected.people[:, self.weekdays].min(axis=1) >= 1.5 * PEOPLE
        self.high[~enough] = 0.0
        if kind == MIX:
            share = self.run / self.run[EVERYBODY]
            self.need = np.maximum(self.need, COUNTER_MOVE * (1.0 - share) / share)
            self.high[share >= LARGEST_SHARE] = 0.0

    def _show(self, *, faint: bool) -> None:
        """Bound sizes by what weeks of single values and pairs show of them."""
        if self.kind == MIX:  # everybody else moves as well, which every single value shows
            return
        expected, within = self.expected, self._most_in_a_week()
        if not faint:
            self.need = np.maximum(self.need, CLEAR * expected.single_by_week / within)
            return
        by_day = np.min(expected.single_by_day[:, self.weekdays] / self.weights, axis=1)
        by_week = expected.single_by_week / within
        self.high = np.minimum(
            self.high, FAINT[min(expected.channel, 1)] * np.minimum(by_day, by_week)
        )
        self.need = np.maximum(self.need, IN_PAIRS * expected.pair_by_week / within)
        self.high[self.cube.fixed < 2] = 0.0

    def _most_in_a_week(self) -> Floats:
        """Most weight of the run's days in a week that it touches, by cell."""
        cut = [self.first, *range(self.first // 7 * 7 + 7, self.stop, 7), self.stop]
        parts = [
            over_days(self.weights[:, one - self.first : other - self.first])
            for one, other in pairwise(cut)
        ]
        return np.asarray(np.maximum.reduce(parts))

    def fitting(self) -> Bools:
        """Which cells some size fits."""
        return np.asarray(self.need <= self.high)

    def low(self, cell: int) -> float:
        """Least size at which no other segment could take this one's place on its weakest day."""
        day = self.weekdays[int(np.argmin(self.weights[cell]))]
        own = np.where(self.cube.member[cell], self.expected.leaves[:, day], 0.0)
        shared = self.cube.sums(own[None, :, None])[0, :, 0]
        weights = self.expected.weights[:, day]
        apart = np.maximum(weights[cell] - shared, weights - shared)
        apart[cell] = weights[cell]
        alike = shared * shared / (weights[cell] * weights)
        alike[cell] = 0.0
        left = max(1.0 - float(np.max(alike)), 1e-3)
        floor2, channel = self.expected.floor2, self.expected.channel
        smallest = max(float(np.min(apart)), 1.0)
        return max(
            float(self.need[cell]),
            APART * float(np.sqrt(SPARE / smallest + floor2)),
            LEAVES * float(np.sqrt(SPARE / self.run[cell] + floor2)) / left,
            1.1 * TAU[min(channel, 1)] / left,
        )
