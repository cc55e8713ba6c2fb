"""Planning where hidden causes are near the margin: one day, as small as is certain.

Unlike other causes these are planned with a look at the noise of their own days, which is drawn
before: so a cause need be no larger than the counts of its day ask for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from metric_tracker_rl.drilldown.causes import DOWN, PARTNERS, Effect, Planner
from metric_tracker_rl.drilldown.config import DAYS
from metric_tracker_rl.drilldown.cube import Bools, Cube, Floats
from metric_tracker_rl.drilldown.fits import FEWEST_PEOPLE, NARROW, Fits
from metric_tracker_rl.drilldown.levels import CANCEL, CANCEL_TRAFFIC, LOSS, MIX

LEAD = 84.0
"""Least lead in gain that a root is expected to have; acceptance asks for 64."""
TRIES_OF_CELL = 32


class FaintPlanner(Planner):
    """Plans causes near the margin; mix shifts, which are not hidden, as any planner."""

    def _short(self) -> tuple[int, int]:
        first = self.stream.below(DAYS)
        return first, first + 1

    def _effects(
        self, family: str, channels: Sequence[int], first: int, stop: int
    ) -> tuple[Effect, ...]:
        """Effects of a family on a day; empty where none of some cells fits."""
        if family == MIX:
            return super()._effects(family, channels, first, stop)
        fits, allowed = self._fitting(family, channels, first, stop)
        taken = (effect.cell for cause in self.causes for effect in cause.effects)
        apart = _apart(self.cube, tuple(taken))
        allowed = allowed[apart[allowed]]
        if not len(allowed):
            return ()
        drifts = [self.noise.drift(channel, first) for channel in channels]
        if family == LOSS:
            allowed = allowed[self._lossy(fits, drifts)[allowed]]
        lows = [fit.faint_lows() for fit in fits]
        cells = allowed.tolist()
        for _ in range(min(TRIES_OF_CELL, len(cells))):
            cell = self._draw(cells)
            sizes = self._sizes(family, cell, lows, drifts)
            effects = self._faint(family, fits, drifts, sizes, cell, lows[0], apart)
            if effects and all(map(self._possible, effects)):
                return effects
        return ()

    def _draw(self, cells: list[int]) -> int:
        """Take a cell out of a list of cells that all fix as many values."""
        self.stream.below(1)  # how many, which `_pick` draws first
        return cells.pop(self.stream.below(len(cells)))

    def _lossy(self, fits: Sequence[Fits], drifts: Sequence[Floats]) -> Bools:
        """For each cell, whether some loss shows on both steps, and on neither too much."""
        least = fits[1].need - drifts[1]
        size = np.maximum(fits[0].need + drifts[0], least / np.maximum(1.0 + least, 0.5))
        risen = size / np.maximum(1.0 - size, 0.1) + drifts[1]
        return np.asarray((size - drifts[0] <= fits[0].high) & (risen <= fits[1].high))

    def _sizes(
        self, family: str, cell: int, lows: Sequence[Floats], drifts: Sequence[Floats]
    ) -> list[float]:
        """Changes of each step that show as little as is certain, given the noise of their day."""
        fall = self.stream.uniform() < DOWN or len(lows) > 1
        signs = (-1.0, 1.0 if family == LOSS else -1.0) if fall else (1.0,)
        sizes = [
            float(low[cell]) * (1.0 + (NARROW - 1.0) * self.stream.uniform())
            - sign * float(drift[cell])
            for low, drift, sign in zip(lows, drifts, signs, strict=False)
        ]
        if family == LOSS:  # both steps show, the second of fewer people
            least = sizes[1] / math.sqrt(max(1.0 - sizes[0], 0.5))
            size = max(sizes[0], least / (1.0 + least))
            sizes = [size, size / (1.0 - size)]
        return [sign * size for sign, size in zip(signs, sizes, strict=False)]

    def _faint(
        self,
        family: str,
        fits: Sequence[Fits],
        drifts: Sequence[Floats],
        changes: Sequence[float],
        cell: int,
        lows: Floats,
        apart: Bools,
    ) -> tuple[Effect, ...]:
        """The effects of these changes of a cell; empty where they show too much or too little."""
        first, cancels = fits[0], family in (CANCEL, CANCEL_TRAFFIC)
        factors = [1.0 + change for change in changes]
        left = [1.0, min(factors[0], 1.0)]  # so many people are left to enter the second step
        planned = list(zip(fits, drifts, factors, left, strict=False))
        shown = all(_shown(fit, drift, cell, *both) for fit, drift, *both in planned)
        if not shown and not cancels:
            return ()
        effects = [
            Effect(fit.channel, cell, first.first, first.stop, factor)
            for fit, _, factor, _ in planned
        ]
        if cancels:
            partner = self._faint_partner(first, effects[0], drifts[0], lows, apart)
            if partner is None or not shown:
                return ()
            if not _shown(first, drifts[0], partner.cell, partner.factor, 1.0):
                return ()
            effects.append(partner)
        evident = self.noise.gives_away(effects, self.level.evidence)
        return tuple(effects) if evident and self._leads(effects) else ()

    def _faint_partner(
        self, fits: Fits, effect: Effect, drift: Floats, lows: Floats, apart: Bools
    ) -> Effect | None:
        """The opposite change of a disjoint segment, as small as is certain as well."""
        size = (effect.factor - 1.0) * fits.run[effect.cell] / fits.run
        seen = np.abs(size - drift)
        able = (self.cube.meet[effect.cell] < 0) & fits.sized & (np.abs(size) >= fits.low_size)
        able &= (seen >= fits.need) & (seen <= fits.high) & apart
        others = np.flatnonzero(able).tolist()
        for _ in range(min(PARTNERS, len(others))):
            other = self._draw(others)
            if lows[other] <= seen[other]:
                return replace(effect, cell=other, factor=1.0 - float(size[other]))
        return None

    def _leads(self, effects: Sequence[Effect]) -> bool:
        """Whether each effect's gain, with its day's noise in it, is well ahead of any other's."""
        for channel in {effect.channel for effect in effects}:
            own = [effect for effect in effects if effect.channel == channel]
            day = own[0].first
            leaves, surplus = self.leaves[channel][:, day % 7], self.noise.of_day(channel, day)
            for effect in effects:
                if 0 < effect.channel == channel - 1:  # so many people fewer enter this step
                    members = self.cube.member[effect.cell]
                    leaves = np.where(members, leaves * effect.factor, leaves)
            for effect in own:
                members = self.cube.member[effect.cell]
                surplus[members] += (effect.factor - 1.0) * leaves[members]
            sums = self.cube.sums(np.stack([leaves, surplus])[:, :, None])[:, :, 0]
            gain = sums[1] * sums[1] / sums[0]
            for effect in own:
                others, _ = self.cube.beside(effect.cell)
                if gain[effect.cell] - float(np.max(gain[others])) < LEAD:
                    return False
        return True


@lru_cache(maxsize=8)
def _apart(cube: Cube, taken: tuple[int, ...]) -> Bools:
    """Which cells share no two values with any of those that are taken."""
    apart = np.ones(cube.cells, dtype=bool)
    for cell in taken:
        same = (cube.values == cube.values[cell]) & (cube.values[cell] >= 0)
        apart &= same.sum(axis=1) < 2
    return apart


def _shown(fit: Fits, drift: Floats, cell: int, factor: float, left: float) -> bool:
    """Whether a cell's change shows neither too much nor too little, and of people enough.

    Args:
        fit: of its step.
        drift: what the day's noise alone will show, by cell.
        cell: whose change it is.
        factor: on its rate or traffic.
        left: share of the people who still enter the step.
    """
    size = abs(factor - 1.0)
    seen = size + (1.0 if factor > 1.0 else -1.0) * float(drift[cell])
    enough = bool(fit.people[cell] * left >= FEWEST_PEOPLE)
    return enough and size >= fit.low_size and seen <= float(fit.high[cell])
