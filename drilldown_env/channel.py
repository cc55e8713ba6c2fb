"""One channel of an episode against a baseline: what moved, and which segments explain a run.

A channel is first-stage traffic or one step. For every cell and day, with e the count that the
baseline expects of each leaf, o the observed one, and w = 1/(1 − rate) for steps and 1 for traffic:
W = Σ w·e and U = Σ w·(o − e) over the cell's leaves. So composition is held fixed: every leaf is
compared with its own usual rate. The relative change is x = U/W, its variance 1/W + floor², and
the gain of taking it out (twice the log-likelihood) U²/W.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drilldown_env.baselines import HIGHEST_RATE, LOWEST_RATE, Baseline
from drilldown_env.cube import EVERYBODY, Bools, Cube, Floats, over_days

CHANNELS = 5
FLOOR = (0.025, 0.007)
"""Relative noise that never averages out: traffic, steps."""
TAU = (0.10, 0.05)
"""Smallest relative change that counts: traffic, steps."""
Z = 6.0
"""Smallest change in standard deviations."""
JUDGE = 0.12
"""Largest noise at which a cell is judged."""
PEOPLE = 400.0
"""Fewest people a day who enter the step in a judged cell."""
COUNTER_MOVE = 0.05
"""Smallest change of everybody else that a mix shift needs."""
BEST_CELLS = 120
"""Cells of largest gain among which a pair is looked for."""
MAD_TO_SIGMA = 1.4826
"""Standard deviations in a median absolute deviation of normal noise."""


def variance(weight: Floats, floor2: float) -> Floats:
    """Variance of U, and of W, of cells of this weight: counting noise and the floor."""
    return np.asarray(weight * (1.0 + floor2 * weight))


@dataclass(frozen=True)
class Near:
    """The places of a table of cells and days that come near to having moved.

    Attributes:
        days: column of each place.
        squares: its z².
        moved: whether it moved.
    """

    days: NDArray[np.intp]
    squares: Floats
    moved: Bools

    def largest(self, columns: Bools | None = None) -> float:
        """Largest |z|, of the days of these columns."""
        squares = self.squares if columns is None else self.squares[columns[self.days]]
        return float(np.sqrt(np.max(squares, initial=0.0)))


@dataclass(frozen=True)
class Explained:
    """The explanation of one run.

    Attributes:
        cells, factors: the segments, and the factor on the rate or the traffic of each.
        mix: whether its one segment moved against everybody else.
        margin: by how much its gain exceeds the next explanation's.
        clear: whether traffic and mix shift are clearly one or the other.
        left: largest |z| that is left in it.
        weakest: smallest |z|, and smallest |x| in units of tau, of a segment on one of its days.
        people: fewest people who enter the step in a segment on one of its days.
    """

    channel: int
    first: int
    stop: int
    cells: tuple[int, ...]
    factors: tuple[float, ...]
    mix: bool
    margin: float
    clear: bool
    left: float
    weakest: tuple[float, float]
    people: float


def channels_of(
    cube: Cube, stages: Floats, people: Floats, baseline: Baseline, *, robust: bool = False
) -> list[Channel]:
    """Every channel of some counts under one baseline.

    Args:
        cube: geometry.
        stages: counts as floats, shape (stages, leaves, days).
        people: sums of all stages but the last over every cell, (stages − 1, cells, days).
        baseline: what is usual.
        robust: see `Channel`.
    """
    bases, rates = [baseline.traffic, *stages[:-1]], [None, *baseline.rates]
    weighted = np.empty((2, *stages.shape[1:]))
    found = []
    for number, (base, observed, rate) in enumerate(zip(bases, stages, rates, strict=True)):
        _weighted(base, observed, rate, weighted)
        sums = cube.sums(weighted)
        entering = people[number - 1] if number else sums[0]
        found.append(Channel(cube, number, observed, base, rate, sums, entering, robust=robust))
    return found


class Channel:
    """One channel against a baseline.

    Args:
        cube: geometry.
        number: 0 for traffic, else the step into that stage.
        observed: counts of leaves, shape (leaves, days).
        base: people who enter the step, or the usual traffic; the same shape.
        rate: usual rate; None for traffic.
        sums: W and U of every cell, shape (2, cells, days).
        people: people who enter the step by cell and day.
        robust: take a cell to be at least as noisy as it was seen to be, by the median absolute
            deviation of its own calm days. A second opinion only: so few misjudge some cell.
    """

    def __init__(
        self,
        cube: Cube,
        number: int,
        observed: Floats,
        base: Floats,
        rate: Floats | None,
        sums: Floats,
        people: Floats,
        *,
        robust: bool = False,
    ) -> None:
        self.cube, self.number = cube, number
        self.observed, self.base, self.rate, self.people = observed, base, rate, people
        self.weight, self.surplus = sums
        side = min(number, 1)
        self.floor2 = FLOOR[side] * FLOOR[side]
        self.enough = 1.0 / (JUDGE * JUDGE - self.floor2)
        self.tau = TAU[side]
        self.seen2: Floats | None = None
        self.near = self.near_of(self.weight, self.surplus, self.people)
        if robust:
            self.seen2 = self.seen_noise2(slice(None))
            self.near = self.near_of(self.weight, self.surplus, self.people)

    def seen_noise2(self, cells: slice | list[int]) -> Floats:
        """Relative variance of cells by their calm days, shape (cells, 1)."""
        calm = ~self.moved_on()
        change = self.surplus[cells][:, calm] / np.maximum(self.weight[cells][:, calm], 1e-9)
        away = np.abs(change - np.median(change, axis=1, keepdims=True))
        seen = MAD_TO_SIGMA * np.median(away, axis=1, keepdims=True)
        return np.asarray(seen * seen)

    def judged(self, weight: Floats, people: Floats, fewest: float = PEOPLE) -> Bools:
        """Which cells are large enough."""
        return np.asarray((weight >= self.enough) & (people >= fewest))

    def near_of(self, weight: Floats, surplus: Floats, people: Floats) -> Near:
        """Cells, by column, that are nearly judged and change by nearly tau; which of them moved.

        Args:
            weight: W of every cell, shape (cells, columns).
            surplus: its U, the same shape.
            people: who enter the step, the same shape.
        """
        near = np.abs(surplus) >= (0.7 * self.tau) * weight
        places = np.flatnonzero(near & self.judged(weight, people, 0.5 * PEOPLE))
        cells, days = np.divmod(places, weight.shape[1])
        weight, surplus, people = (each.take(places) for each in (weight, surplus, people))
        spread = variance(weight, self.floor2)
        if self.seen2 is not None:
            spread = np.maximum(spread, self.seen2[cells, 0] * weight * weight)
        squares = surplus * surplus / spread
        moved = (squares >= Z * Z) & (np.abs(surplus) >= self.tau * weight) & (people >= PEOPLE)
        return Near(days, squares, moved)

    def moved_on(self) -> Bools:
        """On which days some cell moved."""
        days = np.zeros(self.weight.shape[1], dtype=bool)
        days[self.near.days[self.near.moved]] = True
        return days

    def shown(self, days: slice, cells: slice = slice(None)) -> Floats:
        """Deviation of cells over some days, in standard deviations."""
        weight, surplus = self.weight[cells, days], self.surplus[cells, days]
        spread = over_days(variance(weight, self.floor2))
        return np.asarray(over_days(surplus) / np.sqrt(spread))

    def explain(self, first: int, stop: int) -> Explained | None:
        """The explanation of a run of days, or None where there is none."""
        days = slice(first, stop)
        total, extra = over_days(self.weight[:, days]), over_days(self.surplus[:, days])
        large = self.judged(self.weight[:, days], self.people[:, days]).all(axis=1)
        gain = np.where(large, extra * extra / np.maximum(total, 1e-9), -1.0)
        mixed, clear = self.mixes(total, extra)
        rest = extra[EVERYBODY] - extra
        others = np.maximum(total[EVERYBODY] - total, 1e-9)
        ruled = np.where(mixed & large, gain + rest * rest / others, gain)
        best = int(np.argmax(ruled))
        if ruled[best] <= 0.0:
            return None
        left = self.left(days, [best], bool(mixed[best]))
        if left is not None:
            most = float(ruled[best])
            ruled[best] = -1.0
            margin = most - float(np.max(ruled))
            return self._explained(days, [best], bool(mixed[best]), margin, bool(clear[best]), left)
        pair, margin = self.best_pair(gain)
        left = self.left(days, pair, False) if pair else None
        return None if left is None else self._explained(days, pair, False, margin, True, left)

    def _explained(
        self, days: slice, cells: list[int], mix: bool, margin: float, clear: bool, left: float
    ) -> Explained:
        weight, surplus = self.weight[cells, days], self.surplus[cells, days]
        sizes = np.abs(surplus)
        spread = np.sqrt(variance(weight, self.floor2))
        weakest = float(np.min(sizes / spread)), float(np.min(sizes / weight)) / self.tau
        factors = tuple(self._factor(cell, days) for cell in cells)
        run = self.number, days.start, days.stop
        people = float(np.min(self.people[cells, days]))
        return Explained(*run, tuple(cells), factors, mix, margin, clear, left, weakest, people)

    def _factor(self, cell: int, days: slice) -> float:
        total, extra = over_days(self.weight[cell, days]), over_days(self.surplus[cell, days])
        return 1.0 + float(extra / total)

    def mixes(self, total: Floats, extra: Floats) -> tuple[Bools, Bools]:
        """For each cell, whether everybody else moved against it, and whether that is clear."""
        if self.number:
            return np.zeros(len(total), dtype=bool), np.ones(len(total), dtype=bool)
        others = np.maximum(total[EVERYBODY] - total, 1e-9)
        share = total / total[EVERYBODY]
        against = -(extra / np.maximum(total, 1e-9)) * share / np.maximum(1.0 - share, 1e-9)
        against = np.where(against == 0.0, 1e-12, against)
        ratio = ((extra[EVERYBODY] - extra) / others) / against
        sized = np.abs(against) >= COUNTER_MOVE
        unclear = (np.abs(against) >= 0.5 * COUNTER_MOVE) & (np.abs(ratio - 0.5) < 0.2)
        return sized & (ratio >= 0.5), ~unclear

    def best_pair(self, gain: Floats) -> tuple[list[int], float]:
        """The disjoint pair of largest gain, and its lead over the next pair."""
        order = np.argsort(-gain, kind="stable")[:BEST_CELLS]
        order = order[gain[order] > 0.0]
        sums = gain[order][:, None] + gain[order][None, :]
        disjoint = self.cube.disjoint[np.ix_(order, order)]
        sums = np.where(np.triu(disjoint, 1), sums, -1.0)
        if not sums.size or float(np.max(sums)) <= 0.0:
            return [], 0.0
        place = int(np.argmax(sums))
        one, other = divmod(place, len(order))
        best = float(sums[one, other])
        sums[one, other] = -1.0
        return sorted((int(order[one]), int(order[other]))), best - float(np.max(sums))

    def left(self, days: slice, cells: Sequence[int], mix: bool) -> float | None:
        """Largest |z| left with these cells' changes taken out; None where something moved."""
        weight, surplus = self.cube.sums(self._without(days, cells, mix))
        people = self.people[:, days] if self.number else weight
        weight, surplus = (np.column_stack([each, over_days(each)]) for each in (weight, surplus))
        people = np.column_stack([people, people.min(axis=1)])
        near = self.near_of(weight, surplus, people)
        return None if near.moved.any() else near.largest()

    def still_moves(self, cell: int, days: slice, taken: int, mix: bool) -> bool:
        """Whether people of a cell move on one of the days with another's change taken out.

        Far cheaper than `left`, which has to find something then.
        """
        members = self.cube.member[cell]
        weight, surplus = self._without(days, [taken], mix, members).sum(axis=1, keepdims=True)
        people = self.people[[cell], days] if self.number else weight
        return bool(self.near_of(weight, surplus, people).moved.any())

    def _without(
        self, days: slice, cells: Sequence[int], mix: bool, leaves: Bools | slice = slice(None)
    ) -> Floats:
        """W and U of leaves with these cells' changes taken out, shape (2, leaves, days)."""
        base = self.base[leaves, days]
        factor = np.ones(base.shape)
        for cell in cells:
            size = self._factor(cell, days)
            if mix:
                share = self.weight[cell, days] / self.weight[EVERYBODY, days]
                factor *= np.maximum(1.0 - (size - 1.0) * share / (1.0 - share), 0.05)
            factor[self.cube.member[cell, leaves]] = max(size, 0.05)
        weighted = np.empty((2, *factor.shape))
        if self.rate is None:
            _weighted(base * factor, self.observed[leaves, days], None, weighted)
        else:
            rate = self.rate[leaves, days] * factor
            rate = np.minimum(np.maximum(rate, LOWEST_RATE), HIGHEST_RATE)
            _weighted(base, self.observed[leaves, days], rate, weighted)
        return weighted


def _weighted(base: Floats, observed: Floats, rate: Floats | None, out: Floats) -> None:
    """Write W and U of the leaves, shape (2, leaves, days)."""
    if rate is None:
        out[0] = base
        np.subtract(observed, base, out=out[1])
        return
    np.multiply(base, rate, out=out[0])
    np.subtract(observed, out[0], out=out[1])
    out /= 1.0 - rate
