"""Which segments a cause fits on some days of a channel, and in what size.

All bounds come from expected weights by weekday, for all cells at once: what a cause needs to be
certain on every day and to show where its level wants it to show; and what a faint cause may not
exceed, so that no single value shows it.
"""

from __future__ import annotations

from functools import cached_property, reduce

import numpy as np

from drilldown_env.channel import FLOOR, PEOPLE, TAU, variance
from drilldown_env.cube import EVERYBODY, Bools, Cube, Floats, over_days
from drilldown_env.levels import LOSS, MIX

OWN = 9.5
"""Standard deviations that a root shows in its own segment, each day."""
DISTINCT = 8.0
"""Standard deviations that any other segment in its place leaves or takes in wrongly."""
LEAVES = 7.0
"""Standard deviations that are left in its segment, over the run, with any other taken out."""
SPARE = 1.3
"""Factor on the variance of expected counts, which other causes may lower."""
CLEAR, FAINT, IN_PAIRS = 6.5, (1.45, 1.9), 7.6
"""Standard deviations by week, as planned: least of a clear root in a single value, most of a faint
one there (traffic, steps), and least of a faint one in a pair. On the sample: 5, 3 and 6."""
FAINT_BY_DAY = 2.5
"""Most standard deviations by day of a faint root in a single value, as planned."""
COUNTER_MOVE = 0.085
"""Least change of everybody else in a mix shift."""
LARGEST_SHARE = 0.42
"""Largest share of traffic that a mix shift's segment has."""
LOW = {"rate": 0.115, "traffic": 0.24, MIX: 0.46, LOSS: 0.12}
HIGH = {"rate": 0.50, "traffic": 0.55, MIX: 1.0, LOSS: 0.45}
"""Smallest and largest sizes that are planned; the promises are .10, .20 and .40."""
OF_THREE = 0.75
"""Largest size of a rate change of a segment of three values."""


def along(table: Floats, length: int, merge: np.ufunc) -> Floats:
    """Sums, or what else merges days, of runs of a length from each weekday on.

    Args:
        table: by weekday, shape (7, cells).
        length: of the runs, at most 7.
        merge: of two days.
    """
    twice = np.concatenate([table, table])
    return np.asarray(reduce(merge, (twice[day : day + 7] for day in range(length))))


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
        self._runs: dict[int, tuple[Floats, Floats, Floats, Bools]] = {}

    def runs(self, length: int) -> tuple[Floats, Floats, Floats, Bools]:
        """What is expected of runs of a length by the weekday that they begin on, by cell.

        Returns:
            Their weight, the most of it in a week that they touch, the least change that is
            certain on each day, and whether enough people enter the step; shapes (7, cells).
        """
        if length not in self._runs:
            weights = self.weights.T
            run, before = along(weights, length, np.add), np.zeros(weights.shape)
            for day in range(length):
                before[: 7 - day] += weights[day:]
            own = OWN * np.sqrt(SPARE / along(weights, length, np.minimum) + self.floor2)
            enough = along(self.people.T, length, np.minimum) >= 1.5 * PEOPLE
            self._runs[length] = run, np.maximum(before, run - before), own, enough
        return self._runs[length]

    @cached_property
    def single_by_week(self) -> Floats:
        """Least noise by week of everybody and a cell's single values."""
        return np.asarray(self.by_week[self.cube.singles].min(axis=1))

    @cached_property
    def single_by_day(self) -> Floats:
        """The same by day, as a share of the cell's weight; shape (weekdays, cells)."""
        return np.asarray((self.by_day[self.cube.singles].min(axis=1) / self.weights).T)

    @cached_property
    def pair_by_week(self) -> Floats:
        """Least noise by week of a cell's pairs of values."""
        pairs = slice(self.cube.simple, self.cube.fixing[2].stop)
        held = self.cube.within[:, pairs]
        return np.asarray(np.where(held, self.by_week[pairs], np.inf).min(axis=1))


class Fits:
    """Which segments a cause of one kind fits, and in what size, by the weekday it begins on.

    Args:
        cube: geometry.
        expected: of the channel.
        length: days of the cause.
        kind: of the cause.
        faint: whether no single value may show it.

    Attributes:
        need, high: least and largest size, shape (7, cells).
        run: expected weight over the run, the same shape.
        fitting: where some size fits, the same shape.
    """

    def __init__(
        self, cube: Cube, expected: Expected, length: int, kind: str, *, faint: bool
    ) -> None:
        self.cube, self.expected, self.length = cube, expected, length
        self.run, within, own, enough = expected.runs(length)
        usual = "rate" if expected.channel else "traffic"
        self.need = np.maximum(own, LOW.get(kind, LOW[usual]))
        self.high = np.full(self.need.shape, HIGH.get(kind, HIGH[usual]))
        if usual == "rate" and kind != LOSS:
            self.high[:, cube.fixing[3].start :] = OF_THREE
        if kind != MIX:
            self._show(within, faint=faint)
        else:  # everybody else moves as well, which every single value shows
            share = self.run / self.run[:, EVERYBODY, None]
            self.need = np.maximum(self.need, COUNTER_MOVE * (1.0 - share) / share)
            enough = enough & (share < LARGEST_SHARE)
        self.fitting: Bools = enough & (self.need <= self.high)

    def _show(self, within: Floats, *, faint: bool) -> None:
        """Bound sizes by what weeks of single values and pairs show of them."""
        expected = self.expected
        by_week = expected.single_by_week / within
        if not faint:
            self.need = np.maximum(self.need, CLEAR * by_week)
            return
        by_day = along(expected.single_by_day, self.length, np.minimum)
        most = np.minimum(FAINT_BY_DAY * by_day, FAINT[min(expected.channel, 1)] * by_week)
        self.high = np.minimum(self.high, most)
        self.need = np.maximum(self.need, IN_PAIRS * expected.pair_by_week / within)
        self.high[:, : self.cube.simple] = 0.0

    def low(self, first: int, cell: int) -> float:
        """Least size at which no other segment could take this one's place on its weakest day.

        Args:
            first: the weekday that the cause begins on.
            cell: whom it is for.
        """
        days = [(first + day) % 7 for day in range(self.length)]
        day = min(days, key=lambda each: float(self.expected.weights[cell, each]))
        own = np.where(self.cube.member[cell], self.expected.leaves[:, day], 0.0)
        shared = self.cube.sums(own[None, :, None])[0, :, 0]
        weights = self.expected.weights[:, day]
        unshared = np.maximum(weights[cell] - shared, weights - shared)
        unshared[cell] = weights[cell]
        alike = shared * shared / (weights[cell] * weights)
        alike[cell] = 0.0
        left = max(1.0 - float(np.max(alike)), 1e-3)
        floor2, channel = self.expected.floor2, self.expected.channel
        smallest = max(float(np.min(unshared)), 1.0)
        return max(
            float(self.need[first, cell]),
            DISTINCT * float(np.sqrt(SPARE / smallest + floor2)),
            LEAVES * float(np.sqrt(SPARE / self.run[first, cell] + floor2)) / left,
            1.1 * TAU[min(channel, 1)] / left,
        )
