"""What the noise of an episode will show, known to planners because it is drawn before any cause.

Causes can so be planned as small as is certain on their own days, and so that what others may read
of them gives them away, but not by much.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from metric_tracker_rl.drilldown.clean import Clean
from metric_tracker_rl.drilldown.config import WEEKS
from metric_tracker_rl.drilldown.cube import Bools, Cube, Floats, Ints, in_order
from metric_tracker_rl.drilldown.evidence import (
    TOGETHER,
    ancestors_of,
    evidence_of,
    evidence_of_one,
    triples_of,
)
from openenv_kit.adding import add_up

if TYPE_CHECKING:
    from metric_tracker_rl.drilldown.causes import Effect

LITTLE = 1.8
"""Least evidence of each segment and step of a hidden cause."""
NEARLY = 1e-6
"""More than the rounding of sums can make of the evidence; the rest is settled exactly."""


class DayNoise:
    """The noise of a draw's days.

    Args:
        cube: geometry.
        clean: the draw's clean model.
        leaves: expected weight by channel, each of shape (leaves, weekdays).
        weights: expected weight of cells by channel, each of shape (weekdays, cells).
        every: the same of all cells, in the order of `Cube.sums_of_all`.
    """

    def __init__(
        self,
        cube: Cube,
        clean: Clean,
        leaves: Sequence[Floats],
        weights: Sequence[Floats],
        every: Sequence[Floats],
    ) -> None:
        self.cube, self.clean, self.leaves = cube, clean, leaves
        self.weights, self.every = weights, every
        self._days: dict[int, tuple[Floats, Floats]] = {}
        self._weeks: dict[int, tuple[Floats, Floats, Floats]] = {}
        self._swings: dict[tuple[int, int, int], float] = {}
        self._drifts: dict[int, Floats] = {}

    def _by_day(self, channel: int) -> tuple[Floats, Floats]:
        """Surplus of leaves by what people share, and by the noise of the counts themselves.

        Returns:
            Both of shape (leaves, days).
        """
        if channel not in self._days:
            clean, leaves = self.clean, self.leaves[channel]
            actual = clean.rates[channel - 1] if channel else clean.traffic
            usual = clean.weekly_rates[channel - 1] if channel else clean.weekly_traffic
            change = actual / np.tile(usual, WEEKS) - 1.0
            spread = np.tile(np.sqrt(leaves), WEEKS)
            self._days[channel] = np.tile(leaves, WEEKS) * change, spread * clean.noise[channel]
        return self._days[channel]

    def of_day(self, channel: int, day: int) -> Floats:
        """Surplus of leaves that a day will show, but for causes."""
        shared, own = self._by_day(channel)
        return np.asarray(shared[:, day] + own[:, day])

    def drift(self, channel: int, day: int) -> Floats:
        """Change of each cell that a day will show, but for causes."""
        if channel not in self._drifts:
            shared, own = self._by_day(channel)
            sums = self.cube.sums((shared + own)[None])[0]
            self._drifts[channel] = np.ascontiguousarray(sums.T)
        return np.asarray(self._drifts[channel][day] / self.weights[channel][day % 7])

    def swing(self, channel: int, first: int, stop: int) -> float:
        """Largest gain that what people share on some days gives any segment."""
        cube, weights = self.cube, self.weights[channel]
        if (channel, first, stop) in self._swings:
            return self._swings[channel, first, stop]
        if stop == first + 1:  # one day asks for all
            sums = cube.sums(self._by_day(channel)[0][None])[0].T
            gains = sums * sums / np.tile(weights, (WEEKS, 1))
            by_day = np.max(gains[:, cube.candidates], axis=1).tolist()
            for day, gain in enumerate(by_day):
                self._swings[channel, day, day + 1] = gain
        else:
            surplus = in_order(self._by_day(channel)[0].T[first:stop])
            weight = in_order([weights[day % 7] for day in range(first, stop)])
            sums = cube.sums(surplus[None, :, None])[0, :, 0]
            gain = float(np.max((sums * sums / weight)[cube.candidates]))
            self._swings[channel, first, stop] = gain
        return self._swings[channel, first, stop]

    def gives_away(self, effects: Sequence[Effect], bounds: tuple[float, float]) -> bool:
        """Whether weekly tables of two dimensions, read together, give a hidden cause away.

        In one of its weeks each of its segments has to show a little, and the clearest, or one on
        two steps, has to lie within the bounds.
        """
        weeks = {effects[0].first // 7, (effects[0].stop - 1) // 7}
        for estimate, slack in ((self._nearly, NEARLY), (self._evidence, 0.0)):
            found = estimate(effects)
            if not any(_within(effects, found, week, bounds, slack) for week in weeks):
                return False
        return True

    def _evidence(self, effects: Sequence[Effect]) -> list[Floats]:
        """What the tables say about each effect by week, with the noise there will be in it."""
        cube, shown = self.cube, []
        for channel in sorted({effect.channel for effect in effects}):
            surplus, change, weight = self._by_week(channel)
            own = [effect for effect in effects if effect.channel == channel]
            days = [(each, day) for each in own for day in range(each.first, each.stop)]
            weeks = sorted({day // 7 for _, day in days})
            changed = surplus[:, weeks]
            for effect, day in days:
                expected = self.leaves[channel][:, day % 7]
                added = np.where(cube.member[effect.cell], expected, 0.0)
                changed[:, weeks.index(day // 7)] += (effect.factor - 1.0) * added
            change = change.copy()
            change[:, weeks] = cube.sums(changed[None])[0] / weight
            chosen = np.searchsorted(triples_of(cube)[0], [each.cell for each in own]).tolist()
            shown += list(evidence_of(cube, change[None], weight[None], chosen)[0])
        return shown

    def _nearly(self, effects: Sequence[Effect]) -> list[Floats]:
        """The same but for the rounding of sums: by what effects add to the sums without them."""
        cube, shown = self.cube, []
        for effect in sorted(effects, key=lambda each: each.channel):
            _, change, weight = self._by_week(effect.channel)
            rows = ancestors_of(cube)[int(np.searchsorted(triples_of(cube)[0], effect.cell))]
            change, weight = change[rows], weight[rows]
            for other in (each for each in effects if each.channel == effect.channel):
                shared: Ints | int = int(cube.places[other.cell])  # all rows hold their own segment
                meets: Bools | bool = other.cell == effect.cell
                if not meets:
                    meets, shared = cube.meet[other.cell, rows] >= 0, cube.shared(other.cell, rows)
                for day in range(other.first, other.stop):
                    expected = self.every[other.channel][day % 7][shared]
                    added = np.where(meets, (other.factor - 1.0) * expected, 0.0)
                    change[:, day // 7] += added / weight[:, 0]
            shown.append(evidence_of_one(change, weight))
        return shown

    def _by_week(self, channel: int) -> tuple[Floats, Floats, Floats]:
        """Surplus of leaves, and change of cells, that each week will show, but for causes.

        Returns:
            Shapes (leaves, weeks) and (cells, weeks), and the weight of cells, (cells, 1).
        """
        if channel not in self._weeks:
            shared, own = self._by_day(channel)
            surplus = in_order([by[:, day::7] for by in (shared, own) for day in range(7)])
            weight = in_order(self.weights[channel])[:, None]
            self._weeks[channel] = surplus, self.cube.sums(surplus[None])[0] / weight, weight
        return self._weeks[channel]


def _within(
    effects: Sequence[Effect],
    found: Sequence[Floats],
    week: int,
    bounds: tuple[float, float],
    slack: float,
) -> bool:
    """Whether the evidence of a week is as `DayNoise.gives_away` asks, but for some slack."""
    by_channel = sorted(effects, key=lambda effect: effect.channel)
    shown = [
        float(z[week]) if effect.factor > 1.0 else -float(z[week])
        for effect, z in zip(by_channel, found, strict=True)
    ]
    several = by_channel[0].channel != by_channel[-1].channel
    together = add_up(shown) / TOGETHER if several else 0.0
    least, most = bounds
    little = min(shown) >= LITTLE - slack
    return little and least - slack <= max(*shown, together) <= most + slack
