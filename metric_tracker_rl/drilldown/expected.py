"""What is expected of one channel by weekday, and the bounds on causes that follow from it alone.

A draw asks for the same weekdays many times while it looks for a place for a cause. What does not
depend on the cause is worked out here, once for each draw, of all cells and weekdays together.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from metric_tracker_rl.drilldown.channel import STANDARD
from metric_tracker_rl.drilldown.cube import Cube, Floats, in_order

HIDES = 1.75
"""Most that a hidden root is planned to show in a single value; 3 are allowed on the sample."""
PAIR_HIDES = 2.5
"""The same in weekly sums of any two of its values."""
PAIR_FLOOR = (0.003, 0.001)
"""Relative noise of such a sum beside what all people share: share of traffic, steps."""
SPARE = 1.3
"""Factor on the variance of expected counts, which other causes may lower."""
WEEKLY_FLOOR = (0.004, 0.002)
"""Relative noise of weekly sums: share of traffic, steps."""


class Expected:
    """Expected people and weights of one channel.

    Args:
        cube: geometry.
        channel: 0 for traffic, else the step.
        every: weights by weekday of all cells, in the order of `Cube.sums_of_all`.
        people: people who enter the step, by weekday and cell.

    Attributes:
        weights: by weekday and cell.
        week: of a whole week, by cell.
        floor2: relative variance of a day that never averages out.
        tau: smallest relative change that counts.
    """

    def __init__(self, cube: Cube, channel: int, every: Floats, people: Floats) -> None:
        self.cube, self.channel, self.every, self.people = cube, channel, every, people
        side = min(channel, 1)
        self.floor2 = STANDARD.floor[side] * STANDARD.floor[side]
        self.tau = STANDARD.tau[side]
        self.weights = every if cube.whole else every[:, cube.places]
        self.week = in_order(self.weights)
        self._left: dict[int, Floats] = {}

    @cached_property
    def single(self) -> Floats:
        """Largest size of every cell that none of its single values shows, by weekday and cell."""
        noise = HIDES * np.sqrt(1.0 / self.weights + self.floor2) * self.weights
        return np.asarray(np.min(noise[:, self.cube.singles], axis=2) / self.weights)

    @cached_property
    def unseen(self) -> Floats:
        """Largest surplus of every cell that weekly sums of none of its pairs show."""
        floor = PAIR_FLOOR[min(self.channel, 1)]
        allowed = PAIR_HIDES * np.sqrt(self.week + floor * floor * self.week * self.week)
        return np.asarray(np.min(allowed[self.cube.pairs], axis=1))

    @cached_property
    def weekly_noise(self) -> Floats:
        """Standard deviation of the surplus of every cell in a week."""
        floor = WEEKLY_FLOOR[min(self.channel, 1)]
        return np.asarray(np.sqrt(SPARE / self.week + floor * floor) * self.week)

    @cached_property
    def noise_of_pairs(self) -> Floats:
        """The same of the quietest of a cell's pairs of values."""
        return np.asarray(np.min(self.weekly_noise[self.cube.pairs], axis=1))

    def left(self, weekday: int) -> Floats:
        """Share of each cell's gain on a day that no other candidate explains.

        Returns:
            Shape (cells,); 1 for cells that do not fix three values.
        """
        if weekday not in self._left:
            triples, others, shared = self.cube.beside_triples
            weights = self.weights[weekday]
            inside = self.every[weekday][shared]
            alike = inside * inside / (weights[triples][:, None] * weights[others])
            left = np.ones(self.cube.cells)
            left[triples] = np.maximum(1.0 - np.max(alike, axis=1), 1e-3)
            self._left[weekday] = left
        return self._left[weekday]
