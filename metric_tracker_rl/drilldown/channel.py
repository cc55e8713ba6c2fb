"""One channel of an episode against a baseline: what moved, and which segments explain a run.

A channel is first-stage traffic or one step. For every cell and day, with e the count that the
baseline expects of each leaf, o the observed one, and w = 1/(1 − rate) for steps and 1 for traffic:
W = Σ w·e and U = Σ w·(o − e) over the cell's leaves. So composition is held fixed: every leaf is
compared with its own usual rate. The relative change is x = U/W, its variance 1/W + floor², and
the gain of taking it out (twice the log-likelihood) U²/W.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np

from metric_tracker_rl.drilldown.baselines import HIGHEST_RATE, LOWEST_RATE, Baseline
from metric_tracker_rl.drilldown.config import DAYS
from metric_tracker_rl.drilldown.cube import MOST_FIXED, Bools, Cube, Floats, Ints

BEST_CELLS = 120
"""Cells of largest gain among which a pair is looked for."""


@dataclass(frozen=True)
class Constants:
    """Numbers of the definition. The answer of a certified episode does not depend on them.

    Attributes:
        floor: relative noise that never averages out: traffic, steps.
        tau: smallest relative change that counts: traffic, steps.
        z: smallest change in standard deviations.
        judge: largest noise at which a cell is judged.
        people: fewest people a day who enter the step in a judged cell.
        mix: smallest change of everybody else that a mix shift needs.
    """

    floor: tuple[float, float] = (0.025, 0.007)
    tau: tuple[float, float] = (0.10, 0.05)
    z: float = 6.0
    judge: float = 0.12
    people: float = 400.0
    mix: float = 0.05


STANDARD = Constants()


@dataclass(frozen=True)
class Explained:
    """The explanation of one run.

    Attributes:
        cells, factors: the segments, and the factor on the rate or the traffic of each.
        mix: whether its one segment moved against everybody else.
        margin: by how much its gain exceeds the next explanation's.
        clear: whether traffic and mix shift are well told apart.
        left: largest |z| that is left in it.
        weakest: smallest |z|, and smallest |x| in units of tau, of a segment on one of its days.
        people: fewest people who enter the step in a segment on one of its days.
        shown: largest |z| of everybody or of a single value, on one of its days or over the run.
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
    shown: float


class Channel:
    """One channel of an episode against a baseline.

    Args:
        cube: geometry.
        number: 0 for traffic, else the step into that stage.
        stages: counts as floats, shape (stages, leaves, days).
        baseline: what is usual.
        people: people who enter the step by cell and day, or None for traffic.
        constants: of the definition.
    """

    def __init__(
        self,
        cube: Cube,
        number: int,
        stages: Floats,
        baseline: Baseline,
        people: Floats | None,
        constants: Constants = STANDARD,
    ) -> None:
        self.cube, self.number = cube, number
        self._judge_by(constants)
        self.observed = stages[number]
        self.base = stages[number - 1] if number else baseline.traffic
        self.rate = baseline.rates[number - 1] if number else None
        sums = cube.sums(self.weighted(slice(0, DAYS), None))
        self.weight, self.surplus = sums[0], sums[1]
        self.people = self.weight if people is None else people
        self._taken: dict[tuple[int, int, tuple[int, ...], bool], tuple[Floats, Floats]] = {}

    def _judge_by(self, constants: Constants) -> None:
        side = min(self.number, 1)
        self.floor2 = constants.floor[side] * constants.floor[side]
        self.tau = constants.tau[side]
        self.constants = constants
        self.enough = 1.0 / (constants.judge * constants.judge - self.floor2)
        self._movers: dict[tuple[int, int], Ints] = {}
        self._runs: dict[tuple[int, int], Explained | None] = {}
        self._moved_on: Bools | None = None

    def judged_by(self, constants: Constants) -> Channel:
        """The same sums under other constants, which what is taken out does not depend on."""
        if constants == self.constants:
            return self
        found = copy(self)
        found._judge_by(constants)
        return found

    def weighted(self, days: slice | Ints, factor: Floats | None) -> Floats:
        """W and U of the leaves on some days, shape (2, leaves, days), with factors taken out."""
        base, observed = self.base[:, days], self.observed[:, days]
        out = np.empty((2, *base.shape))
        if self.rate is None:
            np.multiply(base, 1.0 if factor is None else factor, out=out[0])
            np.subtract(observed, out[0], out=out[1])
            return out
        rate = self.rate[:, days]
        if factor is not None:
            rate = np.minimum(np.maximum(rate * factor, LOWEST_RATE), HIGHEST_RATE)
        rest = 1.0 - rate
        np.multiply(base, rate, out=out[0])
        np.subtract(observed, out[0], out=out[1])
        out /= rest
        return out

    def spread(self, weight: Floats) -> Floats:
        """Variance of U of cells of this weight, shape (cells, columns)."""
        return np.asarray(weight + self.floor2 * weight * weight)

    def judged(self, weight: Floats, people: Floats, *, wide: bool = False) -> Bools:
        """Which cells are large enough; `wide` halves the people that are needed."""
        fewest = self.constants.people * (0.5 if wide else 1.0)
        return np.asarray((weight >= self.enough) & (people >= fewest))

    def moved(self, weight: Floats, surplus: Floats, people: Floats) -> Bools:
        """Which judged cells moved."""
        z = self.constants.z
        far = (surplus * surplus >= (z * z) * self.spread(weight)) & (
            np.abs(surplus) >= self.tau * weight
        )
        return np.asarray(far & self.judged(weight, people))

    def moved_on(self) -> Bools:
        """On which days some cell moved."""
        if self._moved_on is None:
            moved = self.moved(self.weight, self.surplus, self.people)
            self._moved_on = np.asarray(moved.any(axis=0))
        return self._moved_on

    def largest(self, weight: Floats, surplus: Floats, people: Floats) -> float:
        """Largest |z| of cells that are nearly judged and change by nearly tau."""
        squares = surplus * surplus / np.maximum(self.spread(weight), 1e-9)
        near = self.judged(weight, people, wide=True) & (
            np.abs(surplus) >= (0.7 * self.tau) * weight
        )
        return float(np.sqrt(np.max(np.where(near, squares, 0.0), initial=0.0)))

    def explain(self, first: int, stop: int) -> Explained | None:
        """The explanation of a run of days, or None where there is none."""
        if (first, stop) not in self._runs:
            self._runs[first, stop] = self._explain(first, stop)
        return self._runs[first, stop]

    def _explain(self, first: int, stop: int) -> Explained | None:
        days = slice(first, stop)
        weight, surplus = self.weight[:, days], self.surplus[:, days]
        total, extra = over_days(weight), over_days(surplus)
        large = self.judged(weight, self.people[:, days]).all(axis=1)
        large &= self.cube.fixed <= MOST_FIXED
        gain = np.where(large, extra * extra / np.maximum(total, 1e-9), -1.0)
        mixed, clear = self.mixes(total, extra)
        rest = extra[self.cube.everybody] - extra
        others = np.maximum(total[self.cube.everybody] - total, 1e-9)
        ruled = np.where(mixed & large, gain + rest * rest / others, gain)
        best = int(np.argmax(ruled))
        if ruled[best] <= 0.0:
            return None
        left = self.left(days, [best], bool(mixed[best]))
        if left is not None:
            ruled_best = float(ruled[best])
            ruled[best] = -1.0
            margin = ruled_best - float(np.max(ruled))
            found = ((best,), bool(mixed[best]), margin, bool(clear[best]))
            return self._explained(first, stop, *found, left)
        pair, margin = self.best_pair(gain)
        left = self.left(days, pair, False) if pair else None
        if left is None:
            return None
        return self._explained(first, stop, tuple(pair), False, margin, True, left)

    def _explained(
        self,
        first: int,
        stop: int,
        cells: tuple[int, ...],
        mix: bool,
        margin: float,
        clear: bool,
        left: float,
    ) -> Explained:
        days = slice(first, stop)
        weight, surplus = self.weight[list(cells), days], self.surplus[list(cells), days]
        spread = np.sqrt(weight + self.floor2 * weight * weight)
        sizes = np.abs(surplus)
        weakest = float(np.min(sizes / spread)), float(np.min(sizes / weight) / self.tau)
        factors = tuple(self._factor(cell, days) for cell in cells)
        return Explained(
            *(self.number, first, stop, cells, factors, mix, margin, clear, left, weakest),
            float(np.min(self.people[list(cells), days])),
            self._shown(days),
        )

    def _shown(self, days: slice) -> float:
        """Largest |z| of everybody or of a single value."""
        plain = self.cube.fixed <= 1
        weight, surplus = self.weight[plain, days], self.surplus[plain, days]
        both = np.concatenate([weight, over_days(weight)[:, None]], axis=1)
        extra = np.concatenate([surplus, over_days(surplus)[:, None]], axis=1)
        return float(np.sqrt(np.max(extra * extra / (both + self.floor2 * both * both))))

    def _factor(self, cell: int, days: slice) -> float:
        total = over_days(self.weight[cell : cell + 1, days])
        extra = over_days(self.surplus[cell : cell + 1, days])
        return 1.0 + float(extra[0] / total[0])

    def mixes(self, total: Floats, extra: Floats) -> tuple[Bools, Bools]:
        """For each cell, whether everybody else moved against it, and whether that is clear."""
        if self.number:
            return np.zeros(len(total), dtype=bool), np.ones(len(total), dtype=bool)
        everybody = self.cube.everybody
        others = np.maximum(total[everybody] - total, 1e-9)
        share = total / total[everybody]
        against = -(extra / np.maximum(total, 1e-9)) * share / np.maximum(1.0 - share, 1e-9)
        against = np.where(against == 0.0, 1e-12, against)
        ratio = ((extra[everybody] - extra) / others) / against
        sized = np.abs(against) >= self.constants.mix
        unclear = (np.abs(against) >= 0.5 * self.constants.mix) & (np.abs(ratio - 0.5) < 0.2)
        return sized & (ratio >= 0.5), ~unclear

    def best_pair(self, gain: Floats) -> tuple[list[int], float]:
        """The disjoint pair of largest gain, and its lead over the next pair."""
        order = np.argsort(-gain, kind="stable")[:BEST_CELLS]
        order = order[gain[order] > 0.0]
        sums = gain[order][:, None] + gain[order][None, :]
        apart = self.cube.meet[np.ix_(order, order)] < 0
        sums = np.where(np.triu(apart, 1), sums, -1.0)
        if not sums.size or float(np.max(sums)) <= 0.0:
            return [], 0.0
        place = int(np.argmax(sums))
        one, other = divmod(place, len(order))
        best = float(sums[one, other])
        sums[one, other] = -1.0
        return sorted((int(order[one]), int(order[other]))), best - float(np.max(sums))

    def moved_beside(self, days: slice, cells: Sequence[int] | Ints) -> Bools:
        """Which cells hold nobody of some cell that moved: taken out, they leave that one."""
        run = days.start, days.stop
        if run not in self._movers:
            sums = self.weight[:, days], self.surplus[:, days], self.people[:, days]
            weight, surplus = (over_days(each)[:, None] for each in sums[:2])
            moved = np.any(self.moved(*sums), axis=1)
            moved |= self.moved(weight, surplus, sums[2].min(axis=1, keepdims=True))[:, 0]
            self._movers[run] = np.flatnonzero(moved)
        return np.asarray(self.cube.meet[self._movers[run]][:, cells] < 0)

    def taken_out(self, days: slice | Ints, factor: Floats) -> tuple[Floats, Floats]:
        """W and U of every cell on some days with a factor of each leaf and day taken out."""
        sums = self.cube.sums(self.weighted(days, factor))
        return sums[0], sums[1]

    def factor_of(self, days: slice, cells: Sequence[int], mix: bool) -> Floats:
        """What these cells' changes multiply each leaf by on some days, shape (leaves, days)."""
        factor = np.ones((self.cube.leaves, days.stop - days.start))
        for cell in cells:
            size = self._factor(cell, days)
            if mix:
                share = self.weight[cell, days] / self.weight[self.cube.everybody, days]
                factor *= np.maximum(1.0 - (size - 1.0) * share / (1.0 - share), 0.05)
            factor[self.cube.member[cell]] = max(size, 0.05)
        return factor

    def left(self, days: slice, cells: Sequence[int], mix: bool) -> float | None:
        """Largest |z| left with these cells' changes taken out; None where something moved."""
        if not mix and self.moved_beside(days, cells).all(axis=1).any():
            return None
        asked = days.start, days.stop, tuple(cells), mix
        if asked not in self._taken:
            self._taken[asked] = self.taken_out(days, self.factor_of(days, cells, mix))
        weight, surplus = self._taken[asked]
        people = self.people[:, days]
        if not self.number:
            people = weight
        if self.moved(weight, surplus, people).any():
            return None
        together = over_days(weight)[:, None], over_days(surplus)[:, None]
        fewest = people.min(axis=1, keepdims=True)
        if self.moved(*together, fewest).any():
            return None
        return max(self.largest(weight, surplus, people), self.largest(*together, fewest))


def over_days(values: Floats) -> Floats:
    """Sum over the days, in order."""
    total = values[:, 0].copy()
    for day in range(1, values.shape[1]):
        total += values[:, day]
    return total
