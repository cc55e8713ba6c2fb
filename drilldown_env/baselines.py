"""Baselines: what a leaf's traffic and step rates usually are on a day, by several sound methods.

Every function takes the counts as floats by stage, shape (stages, leaves, days), and returns a
`Baseline`. Only exactly rounded operations in a fixed order are used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drilldown_env.config import WEEKS
from drilldown_env.cube import Bools, Floats

LOWEST_RATE, HIGHEST_RATE = 0.002, 0.985
_NETWORK = (
    *((0, 2), (1, 3), (4, 6), (5, 7), (0, 4), (1, 5), (2, 6), (3, 7), (0, 1), (2, 3), (4, 5)),
    *((6, 7), (2, 4), (3, 5), (1, 4), (3, 6), (1, 2), (3, 4), (5, 6)),
)
"""Comparators that sort eight values."""


@dataclass(frozen=True)
class Baseline:
    """What is usual.

    Attributes:
        traffic: first-stage counts, shape (leaves, days).
        rates: step rates within [0.002, 0.985], shape (steps, leaves, days).
    """

    traffic: Floats
    rates: Floats


def by_stage(counts: np.ndarray) -> Floats:
    """Counts of shape (leaves, stages, days) as floats of shape (stages, leaves, days)."""
    return np.ascontiguousarray(counts.transpose(1, 0, 2), dtype=np.float64)


class Weekdays:
    """Traffic and rates with the eight same weekdays sorted once, for the baselines of their ranks.

    Args:
        stages: the counts.
    """

    def __init__(self, stages: Floats) -> None:
        self.values = traffic_and_rates(stages)
        self.ordered = sorted_weeks(self.values)

    def median(self) -> Baseline:
        """Median over the eight same weekdays, the day itself included."""
        return _of_weekdays((self.ordered[3] + self.ordered[4]) / 2.0)

    def midmean(self) -> Baseline:
        """Mean of the middle four of the eight same weekdays."""
        return _of_weekdays(sum(self.ordered[3:6], self.ordered[2]) / 4.0)

    def median_of_others(self) -> Baseline:
        """Median over the seven other same weekdays."""
        weeks = self.values.reshape(*self.values.shape[:2], WEEKS, -1)
        low, high = self.ordered[3][:, :, None], self.ordered[4][:, :, None]
        return _split(np.where(weeks <= low, high, low).reshape(self.values.shape))


def pooled(stages: Floats, touched: Bools | None = None) -> Baseline:
    """Mean traffic and pooled rates over the other same weekdays that no known root touches.

    Args:
        stages: the counts.
        touched: which (channel, leaf, day) a known root touches; None for none.
    """
    weeks = stages.reshape(*stages.shape[:2], WEEKS, -1)
    keep = np.ones(weeks.shape) if touched is None else 1.0 - touched.reshape(weeks.shape)
    means = [
        _of_others(into * kept) / np.maximum(_of_others(out_of * kept), 1.0)
        for into, out_of, kept in zip(weeks, [1.0, *weeks], keep, strict=False)
    ]
    return _split(np.stack(means).reshape(stages.shape))


def sorted_weeks(values: Floats) -> list[Floats]:
    """Values, shape (rows, leaves, days), as eight of (rows, leaves, weekdays), smallest first."""
    weeks = values.reshape(*values.shape[:2], WEEKS, -1)
    lanes = [weeks[:, :, week] for week in range(WEEKS)]
    for one, other in _NETWORK:
        low = np.minimum(lanes[one], lanes[other])
        lanes[other] = np.maximum(lanes[one], lanes[other])
        lanes[one] = low
    return lanes


def traffic_and_rates(stages: Floats) -> Floats:
    """Traffic, then the rates; nobody in a step counts as one person."""
    values = stages.copy()
    values[1:] /= np.maximum(stages[:-1], 1.0)
    return values


def _of_weekdays(values: Floats) -> Baseline:
    return _split(np.tile(values, WEEKS))


def _split(values: Floats) -> Baseline:
    return Baseline(values[0], np.clip(values[1:], LOWEST_RATE, HIGHEST_RATE))


def _of_others(weeks: Floats) -> Floats:
    """Sum over the other weeks, in order; shape (leaves, weeks, weekdays) as what is summed."""
    total = weeks[:, 0].copy()
    for week in range(1, WEEKS):
        total += weeks[:, week]
    return total[:, None] - weeks
