"""Baselines: what a leaf's traffic and step rates usually are on a day, by several sound methods.

Every function takes the counts as floats by stage, shape (stages, leaves, days), and returns a
`Baseline`. What is usual on a weekday does not depend on the others: all but the running and the
global median may be given some weekdays alone. Only exactly rounded operations in a fixed order are
used.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from metric_tracker_rl.drilldown.config import DAYS, WEEKS
from metric_tracker_rl.drilldown.cube import Bools, Floats

LOWEST_RATE, HIGHEST_RATE = 0.002, 0.985
AT_ONCE = 200
"""Leaves whose running medians are taken together."""
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


def median_of_weekday(stages: Floats) -> Baseline:
    """Median over the eight same weekdays, the day itself included."""
    values = traffic_and_rates(stages)
    ordered = sorted_weeks(values)
    return _of_weekdays((ordered[3] + ordered[4]) / 2.0)


def median_of_others(stages: Floats) -> Baseline:
    """Median over the seven other same weekdays."""
    values = traffic_and_rates(stages)
    ordered = sorted_weeks(values)
    weeks = values.reshape(*values.shape[:2], WEEKS, -1)
    below = weeks <= ordered[3][:, :, None]
    others = np.where(below, ordered[4][:, :, None], ordered[3][:, :, None])
    return _split(others.reshape(values.shape))


def pooled(stages: Floats, touched: Bools | None = None) -> Baseline:
    """Mean traffic and pooled rates over the other same weekdays that no known root touches.

    Args:
        stages: the counts.
        touched: which (channel, leaf, day) a known root touches; None for none.
    """
    weeks = stages.reshape(*stages.shape[:2], WEEKS, -1)
    keep = np.ones(weeks.shape) if touched is None else 1.0 - touched.reshape(weeks.shape)
    own, days = weeks[0] * keep[0], keep[0]
    traffic = (_total(own) - own) / np.maximum(_total(days) - days, 1.0)
    into, out_of = weeks[1:] * keep[1:], weeks[:-1] * keep[1:]
    people = _total(out_of) - out_of
    rates = (_total(into) - into) / np.maximum(people, 1.0)
    flat = stages.shape[1:]
    return Baseline(traffic.reshape(flat), _clipped(rates.reshape(len(rates), *flat)))


def running_median(stages: Floats) -> Baseline:
    """Weekday factor of the whole period times a running median over five weeks."""
    values = traffic_and_rates(stages)
    ordered = sorted_weeks(values)
    middle = (ordered[3] + ordered[4]) / 2.0
    usual = np.tile(middle, WEEKS)
    level = values / np.maximum(usual, 1e-9)
    half = 17
    padded = np.concatenate([level[..., half:0:-1], level, level[..., -2 : -half - 2 : -1]], axis=2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=2)
    for row, first in product(range(len(level)), range(0, level.shape[1], AT_ONCE)):
        some = slice(first, first + AT_ONCE)  # the windows of all leaves would take 200 MB
        level[row, some] = np.partition(windows[row, some], half, axis=2)[..., half]
    return _split(usual * level)


def global_median(stages: Floats) -> Baseline:
    """Median over all days: ignores weekdays, and so is not sound."""
    values = np.sort(traffic_and_rates(stages), axis=2)
    middle = (values[..., DAYS // 2 - 1] + values[..., DAYS // 2]) / 2.0
    return _split(np.repeat(middle[..., None], DAYS, axis=2))


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
    return Baseline(values[0], _clipped(values[1:]))


def _clipped(rates: Floats) -> Floats:
    return np.minimum(np.maximum(rates, LOWEST_RATE), HIGHEST_RATE)


def _total(weeks: Floats) -> Floats:
    """Sum over the weeks, shape (…, 1, weekdays), in order."""
    total = weeks[..., 0, :].copy()
    for week in range(1, WEEKS):
        total += weeks[..., week, :]
    return total[..., None, :]
