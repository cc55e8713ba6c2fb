"""What a comparison of some days with others shows of a segment, beside what everybody did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metric_tracker_rl.drilldown.baselines import HIGHEST_RATE
from metric_tracker_rl.drilldown.cube import Floats
from openenv_kit.adding import add_up

MOVED = 6.0
"""Standard deviations of a day that moved."""
SURE = (0.15, 0.07)
"""Change that a root shows in its own segment on each of its days: traffic, rates."""
WEEKLY_FLOOR = (0.004, 0.001)
DAILY_FLOOR = (0.012, 0.007)
"""Relative noise of a week and of a day beside that of counts: share of traffic, rates."""


@dataclass(frozen=True)
class Seen:
    """What a comparison shows of some people in one channel.

    Attributes:
        change: of their rate, or of their share of traffic, beside what everybody's did.
        weight: of what was to be expected.
        noise: standard deviation of the change.
        count: people who took the step on the days that are looked at.
        sure: change from which it may be a root's.
    """

    change: float
    weight: float
    noise: float
    count: float
    sure: float

    @classmethod
    def of(
        cls, channel: int, into: Floats, below: Floats, common: Floats, days: tuple[int, int]
    ) -> Seen:
        """What is seen of a channel on some days and on others.

        Args:
            channel: which.
            into: people who took the step, or came, on the days and on the others.
            below: people who entered it; of traffic, everybody who came.
            common: the same ratio of everybody.
            days: number of days, and of others.
        """
        floor = (WEEKLY_FLOOR if days[0] == 7 else DAILY_FLOOR)[min(channel, 1)]
        usual = min(float(into[1] / below[1] * (common[0] / common[1])), HIGHEST_RATE)
        weight = float(below[0]) * usual / (1.0 - usual if channel else 1.0)
        return cls(
            change=float(into[0] / below[0]) / usual - 1.0,
            weight=weight,
            noise=float(np.sqrt((1.0 + days[0] / days[1]) / weight + floor * floor)),
            count=float(into[0]),
            sure=SURE[min(channel, 1)],
        )

    @property
    def moved(self) -> bool:
        """Whether it is as large as a root on a day."""
        return abs(self.z) >= MOVED and abs(self.change) >= self.sure

    @property
    def z(self) -> float:
        """Standard deviations of the change."""
        return self.change / self.noise

    @property
    def gain(self) -> float:
        """How much likelier the counts are with the change than without."""
        return self.change * self.change * self.weight


@dataclass(frozen=True)
class Finding:
    """A segment that moved on a run of days of a channel.

    Attributes:
        channel: 0 for traffic, else the step into that stage.
        days: the run.
        cell: the segment.
        factor: on its traffic or rate.
        mix: whether everybody else moved against it.
    """

    channel: int
    days: range
    cell: int
    factor: float
    mix: bool = False


def gain_of_all(parts: Sequence[Seen]) -> float:
    """Gain of all parts of a segment as one."""
    weight = add_up(part.weight for part in parts)
    surplus = add_up(part.weight * part.change for part in parts)
    return surplus * surplus / weight
