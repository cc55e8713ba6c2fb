"""What the noise of an episode will show, known to planners because it is drawn before any cause.

Causes can so be planned as small as is certain on their own days, and so that what others may read
of them gives them away, but not by much.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from metric_tracker_rl.drilldown.clean import Clean
from metric_tracker_rl.drilldown.config import DAYS
from metric_tracker_rl.drilldown.cube import Cube, Floats
from metric_tracker_rl.drilldown.evidence import TOGETHER, evidence_of, triples_of

if TYPE_CHECKING:
    from metric_tracker_rl.drilldown.causes import Effect

LITTLE = 1.8
"""Least evidence of each segment and step of a hidden cause."""


class DayNoise:
    """The noise of a draw's days.

    Args:
        cube: geometry.
        clean: the draw's clean model.
        leaves: expected weight by channel, each of shape (leaves, weekdays).
        weights: expected weight of cells, shape (channels, weekdays, cells).
    """

    def __init__(self, cube: Cube, clean: Clean, leaves: Sequence[Floats], weights: Floats) -> None:
        self.cube, self.clean, self.leaves, self.weights = cube, clean, leaves, weights
        self._weeks: dict[int, tuple[Floats, Floats]] = {}

    def shared(self, channel: int, first: int, stop: int) -> tuple[Floats, Floats]:
        """Surplus of leaves by what people share on some days; weight of cells.

        The noise of the counts themselves is not in it.
        """
        clean = self.clean
        actual = clean.rates[channel - 1] if channel else clean.traffic
        usual = clean.weekly_rates[channel - 1] if channel else clean.weekly_traffic
        surplus, weight = np.zeros(self.cube.leaves), np.zeros(self.cube.cells)
        for day in range(first, stop):
            change = actual[:, day] / usual[:, day % 7] - 1.0
            surplus += self.leaves[channel][:, day % 7] * change
            weight += self.weights[channel][day % 7]
        return surplus, weight

    def whole(self, channel: int, first: int, stop: int) -> tuple[Floats, Floats]:
        """Surplus of leaves that some days will show, but for causes; weight of cells."""
        surplus, weight = self.shared(channel, first, stop)
        for day in range(first, stop):
            spread = np.sqrt(self.leaves[channel][:, day % 7])
            surplus += spread * self.clean.noise[channel][:, day]
        return surplus, weight

    def swing(self, channel: int, first: int, stop: int) -> float:
        """Largest gain that what people share on some days gives any segment."""
        surplus, weight = self.shared(channel, first, stop)
        sums = self.cube.sums(surplus[None, :, None])[0, :, 0]
        return float(np.max((sums * sums / weight)[self.cube.candidates]))

    def gives_away(self, effects: Sequence[Effect], bounds: tuple[float, float]) -> bool:
        """Whether weekly tables of two dimensions, read together, give a hidden cause away.

        In one of its weeks each of its segments has to show a little, and the clearest, or one on
        two steps, has to lie within the bounds.
        """
        least, most = bounds
        weeks = {effects[0].first // 7, (effects[0].stop - 1) // 7}
        steps = {effect.channel for effect in effects}
        for week in sorted(weeks):
            shown = self._evidence(effects, week)
            together = sum(shown) / TOGETHER if len(steps) > 1 else 0.0
            if min(shown) >= LITTLE and least <= max(*shown, together) <= most:
                return True
        return False

    def _evidence(self, effects: Sequence[Effect], week: int) -> list[float]:
        """What the tables of a week say about each effect, with the noise there will be in it."""
        cube, shown = self.cube, []
        triples = triples_of(cube)[0].tolist()
        for channel in sorted({effect.channel for effect in effects}):
            surplus, weight = self._by_week(channel)
            surplus = surplus.copy()
            own = [effect for effect in effects if effect.channel == channel]
            for effect in own:
                for day in range(effect.first, effect.stop):
                    expected = self.leaves[channel][:, day % 7]
                    added = np.where(cube.member[effect.cell], expected, 0.0)
                    surplus[:, day // 7] += (effect.factor - 1.0) * added
            change = cube.sums(surplus[None]) / weight[None, :, None]
            chosen = [triples.index(effect.cell) for effect in own]
            z = evidence_of(cube, change, weight[None, :, None], chosen)[0, :, week]
            for effect, seen in zip(own, z.tolist(), strict=True):
                shown.append(seen if effect.factor > 1.0 else -seen)
        return shown

    def _by_week(self, channel: int) -> tuple[Floats, Floats]:
        """Surplus of leaves that each week will show, but for causes; weight of cells."""
        if channel not in self._weeks:
            weeks = [self.whole(channel, first, first + 7) for first in range(0, DAYS, 7)]
            self._weeks[channel] = np.stack([each[0] for each in weeks], axis=1), weeks[0][1]
        return self._weeks[channel]
