"""Planning where hidden causes are near the margin: one day, as small as is certain.

Unlike other causes these are planned with a look at the noise of their own days, which is drawn
before: so a cause need be no larger than the counts of its day ask for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from metric_tracker_rl.drilldown.causes import DOWN, PARTNERS, Effect, Planner
from metric_tracker_rl.drilldown.config import DAYS
from metric_tracker_rl.drilldown.cube import MOST_FIXED, Bools, Floats, Ints
from metric_tracker_rl.drilldown.fits import FEWEST_PEOPLE, NARROW, Fits
from metric_tracker_rl.drilldown.levels import CANCEL, CANCEL_TRAFFIC, LOSS

LEAD = 84.0
"""Least lead in gain that a root is expected to have; acceptance asks for 64."""
TRIES_OF_CELL = 32


class FaintPlanner(Planner):
    """Plans hidden causes near the margin; others as any planner."""

    def _short(self) -> tuple[int, int]:
        first = self.stream.below(DAYS)
        return first, first + 1

    def _effects(
        self, family: str, channels: Sequence[int], first: int, stop: int, hidden: bool
    ) -> tuple[Effect, ...]:
        """Effects of a family on a day; empty where none of some cells fits."""
        if not hidden:
            return super()._effects(family, channels, first, stop, hidden)
        fits, allowed = self._fitting(family, channels, first, stop, hidden)
        allowed = self._apart(allowed)
        if not len(allowed):
            return ()
        drifts = [self._drift(channel, first) for channel in channels]
        if family == LOSS:
            allowed = allowed[self._lossy(fits, drifts)[allowed]]
        for _ in range(TRIES_OF_CELL):
            cell = self._pick(allowed)
            if cell is None:
                return ()
            allowed = allowed[allowed != cell]
            effects = self._faint(family, fits, drifts, cell)
            if effects and all(map(self._possible, effects)):
                return effects
        return ()

    def _lossy(self, fits: Sequence[Fits], drifts: Sequence[Floats]) -> Bools:
        """For each cell, whether some loss shows on both steps, and on neither too much."""
        least = fits[1].need - drifts[1]
        size = np.maximum(fits[0].need + drifts[0], least / np.maximum(1.0 + least, 0.5))
        risen = size / np.maximum(1.0 - size, 0.1) + drifts[1]
        return np.asarray((size - drifts[0] <= fits[0].high) & (risen <= fits[1].high))

    def _faint(
        self, family: str, fits: Sequence[Fits], drifts: Sequence[Floats], cell: int
    ) -> tuple[Effect, ...]:
        """Effects that show as little as is certain, given the noise of their own day."""
        day, channels = fits[0].first, [fit.channel for fit in fits]
        fall = self.stream.uniform() < DOWN or len(channels) > 1
        signs = (-1.0, 1.0 if family == LOSS else -1.0) if fall else (1.0,)
        lows = [fit.low(cell) for fit in fits]
        sizes = [
            low * (1.0 + (NARROW - 1.0) * self.stream.uniform()) - sign * float(drift[cell])
            for low, drift, sign in zip(lows, drifts, signs, strict=False)
        ]
        if family == LOSS:  # both steps show, the second of fewer people
            least = sizes[1] / float(np.sqrt(max(1.0 - sizes[0], 0.5)))
            size = max(sizes[0], least / (1.0 + least))
            sizes = [size, size / (1.0 - size)]
        effects = [
            Effect(channel, cell, day, day + 1, 1.0 + sign * size)
            for channel, sign, size in zip(channels, signs, sizes, strict=False)
        ]
        if family in (CANCEL, CANCEL_TRAFFIC):
            partner = self._faint_partner(fits[0], effects[0], drifts[0])
            if partner is None:
                return ()
            effects.append(partner)
        left = 1.0
        for number, effect in enumerate(effects):
            fit, drift = fits[number % len(fits)], drifts[number % len(fits)]
            size = abs(effect.factor - 1.0)
            seen = size + (1.0 if effect.factor > 1.0 else -1.0) * float(drift[effect.cell])
            shown = seen <= fit.high[effect.cell] and size >= fit.low_size
            if not shown or fit.people[effect.cell] * left < FEWEST_PEOPLE:
                return ()
            left = min(effect.factor, 1.0) if len(channels) > 1 else 1.0
        evident = self.noise.gives_away(effects, self.level.evidence)
        return tuple(effects) if evident and self._leads(effects) else ()

    def _faint_partner(self, fits: Fits, effect: Effect, drift: Floats) -> Effect | None:
        """The opposite change of a disjoint segment, as small as is certain as well."""
        size = (effect.factor - 1.0) * fits.run[effect.cell] / fits.run
        seen = np.abs(size - drift)
        able = (self.cube.meet[effect.cell] < 0) & fits.sized & (np.abs(size) >= fits.low_size)
        able &= (seen >= fits.need) & (seen <= fits.high)
        for _ in range(PARTNERS):
            other = self._pick(self._apart(np.flatnonzero(able)))
            if other is None:
                return None
            able[other] = False
            if fits.low(other) <= seen[other]:
                return replace(effect, cell=other, factor=1.0 - float(size[other]))
        return None

    def _leads(self, effects: Sequence[Effect]) -> bool:
        """Whether each effect's gain, with its day's noise in it, is well ahead of any other's."""
        for channel in {effect.channel for effect in effects}:
            own = [effect for effect in effects if effect.channel == channel]
            day = own[0].first
            leaves, surplus = (
                self.leaves[channel][:, day % 7].copy(),
                self.noise.whole(channel, day, day + 1)[0],
            )
            for effect in effects:
                members = self.cube.member[effect.cell]
                if 0 < effect.channel == channel - 1:  # so many people fewer enter this step
                    leaves[members] *= effect.factor
            for effect in own:
                members = self.cube.member[effect.cell]
                surplus[members] += (effect.factor - 1.0) * leaves[members]
            sums = self.cube.sums(np.stack([leaves, surplus])[:, :, None])[:, :, 0]
            gain = sums[1] * sums[1] / sums[0]
            for effect in own:
                beside = self.cube.meet[effect.cell] >= 0
                beside &= self.cube.fixed <= MOST_FIXED
                beside[effect.cell] = False
                if gain[effect.cell] - float(np.max(gain[beside])) < LEAD:
                    return False
        return True

    def _apart(self, cells: Ints) -> Ints:
        """Those of some cells that share no two values with one of an earlier cause."""
        values = self.cube.values
        taken = [effect.cell for cause in self.causes for effect in cause.effects]
        shared = [((values[cells] == values[t]) & (values[t] >= 0)).sum(axis=1) for t in taken]
        return cells[np.all([each < 2 for each in shared], axis=0)] if shared else cells

    def _drift(self, channel: int, day: int) -> Floats:
        """Change of each cell that the noise of a day alone will show, that of counts included."""
        surplus, weight = self.noise.whole(channel, day, day + 1)
        return np.asarray(self.cube.sums(surplus[None, :, None])[0, :, 0] / weight)
