"""What a table of leaves says: which segments explain how a run of days differs from usual."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from metric_tracker_rl.drilldown.cube import Bools, Cube, Floats

PEOPLE = 400.0
"""Promised number of people a day in a root's segment."""
FLOOR = (0.025, 0.007)
LEAST = (0.10, 0.05)
Z, LEFT = 6.0, 7.0
"""Standard deviations of a change, and of what may be left of one by an estimate of its size."""
COUNTER = 0.05
BEST = 120


@dataclass(frozen=True)
class Finding:
    """Segments that moved on a run of days of a channel.

    Attributes:
        channel: 0 for traffic, else the step into that stage.
        days: the run.
        cells, factors: the segments, and the factor on the traffic or rate of each.
        mix: whether everybody else moved against the one segment.
        expected: what was to be expected of each leaf.
    """

    channel: int
    days: range
    cells: tuple[int, ...]
    factors: tuple[float, ...]
    mix: bool
    expected: Floats = field(default_factory=lambda: np.zeros(0))

    def by_leaf(self, cube: Cube) -> Floats:
        """Factor of each leaf on the days of the run."""
        factor = np.ones(cube.leaves)
        for cell, size in zip(self.cells, self.factors, strict=True):
            if self.mix:
                sums = cube.sums(self.expected[None, :, None])[0, :, 0]
                inside = float(sums[cell] / sums[cube.everybody])
                factor *= 1.0 - (size - 1.0) * inside / (1.0 - inside)
            factor[cube.member[cell]] = size
        return factor


class Table:
    """Leaves of one channel over a run of days, beside the same weekdays of other weeks.

    Args:
        cube: geometry.
        channel: 0 for traffic, else the step into that stage.
        days: the run.
        now, then: sums by leaf over the run and over the reference, shape (stages, leaves).
        repeats: how many times the reference repeats the run's weekdays.
    """

    def __init__(
        self, cube: Cube, channel: int, days: range, now: Floats, then: Floats, repeats: float
    ) -> None:
        self.cube, self.channel, self.days = cube, channel, days
        side = min(channel, 1)
        self.floor, self.least = FLOOR[side], LEAST[side]
        self.observed = now[-1]
        if channel:
            rate = then[1] / np.maximum(then[0], 1.0)
            self.rate = np.clip(rate, 0.002, 0.985)
            self.people = now[0]
        else:
            self.rate = np.zeros(cube.leaves)
            self.people = then[0] / repeats
        entering = cube.sums(self.people[None, :, None])[0, :, 0] / len(days)
        self.large: Bools = (entering >= PEOPLE) & (cube.fixed <= 4)
        # The reference is a sample as well: its noise adds to that of the run.
        self.spare = 1.0 + 1.0 / repeats
        self.weight, self.surplus = self._sums(np.ones(cube.leaves))

    def _sums(self, factor: Floats) -> tuple[Floats, Floats]:
        """Weight and surplus of every cell with a factor of each leaf taken out."""
        if self.channel:
            rate = np.clip(self.rate * factor, 0.002, 0.985)
            expected, scale = self.people * rate, 1.0 / (1.0 - rate)
        else:
            expected, scale = self.people * factor, np.ones(self.cube.leaves)
        both = np.stack([scale * expected, scale * (self.observed - expected)])
        sums = self.cube.sums(both[:, :, None])[:, :, 0]
        return np.maximum(sums[0], 1e-9), sums[1]

    def moved(self, weight: Floats, surplus: Floats, z: float = Z) -> bool:
        """Whether some segment that is large enough changed by so many standard deviations."""
        change = np.abs(surplus / weight)
        noise = np.sqrt(self.spare / weight + self.floor * self.floor)
        far = (change >= z * noise) & (change >= self.least) & (noise <= 0.12) & self.large
        return bool(far.any())

    def explain(self) -> Finding | None:
        """The fewest segments that explain the run; None where nothing moved or none do."""
        if not self.moved(self.weight, self.surplus):
            return None
        able = self.large & (self.cube.fixed <= 3)
        likely = self.surplus * self.surplus / self.weight
        # A day's common noise gives wide segments a large gain; the second look discounts it.
        discount = 1.0 + self.floor * self.floor * self.weight
        for gain in (likely, likely / discount):
            found = self._best(np.where(able, gain, -1.0))
            if found is not None:
                return found
        return None

    def _best(self, gain: Floats) -> Finding | None:
        """The first of the best single segments, or else pairs, that explains the run."""
        mixes = self._mixes()
        everybody = self.cube.everybody
        others = self.surplus[everybody] - self.surplus
        rest = np.maximum(self.weight[everybody] - self.weight, 1e-9)
        ruled = np.where(mixes & (gain > 0.0), gain + others * others / rest, gain)
        for cell in np.argsort(-ruled, kind="stable")[:3].tolist():
            found = self._finding((cell,), bool(mixes[cell]))
            if self._explains(found):
                return found
        order = np.argsort(-gain, kind="stable")[:BEST]
        sums = gain[order][:, None] + gain[order][None, :]
        apart = np.triu(self.cube.meet[np.ix_(order, order)] < 0, 1)
        sums = np.where(apart, sums, -1.0)
        for place in np.argsort(-sums, axis=None, kind="stable")[:3].tolist():
            one, other = divmod(place, len(order))
            found = self._finding((int(order[one]), int(order[other])), False)
            if sums[one, other] > 0.0 and self._explains(found):
                return found
        return None

    def _finding(self, cells: tuple[int, ...], mix: bool) -> Finding:
        factors = tuple(1.0 + float(self.surplus[each] / self.weight[each]) for each in cells)
        expected = self.people * self.rate if self.channel else self.people
        return Finding(self.channel, self.days, cells, factors, mix, expected)

    def _explains(self, found: Finding) -> bool:
        if min(found.factors) <= 0.05:
            return False
        return not self.moved(*self._sums(found.by_leaf(self.cube)), z=LEFT)

    def _mixes(self) -> Bools:
        """For each cell, whether everybody else moves against it."""
        if self.channel:
            return np.zeros(self.cube.cells, dtype=bool)
        everybody = self.cube.everybody
        share = self.weight / self.weight[everybody]
        change = self.surplus / self.weight
        against = -change * share / np.maximum(1.0 - share, 1e-9)
        against = np.where(against == 0.0, 1e-12, against)
        rest = np.maximum(self.weight[everybody] - self.weight, 1e-9)
        ratio = (self.surplus[everybody] - self.surplus) / rest / against
        return np.asarray((np.abs(against) >= COUNTER) & (ratio >= 0.5))
