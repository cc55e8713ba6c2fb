"""The derived daily series of an episode, computed once, vectorised.

Columns stand in one fixed order: event counts, step rates, composite rates, daytime share.
Everything an agent can be shown, and everything the reporting policy decides on, is the
*displayed* value: rates in percent to four decimals, the share to six. So no label can
depend on digits that nobody was shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.engine.definitions.funnel import Funnel
from metric_tracker_rl.engine.definitions.levels import FunnelLevel
from metric_tracker_rl.engine.definitions.names import ALL_DAYS
from metric_tracker_rl.engine.reporting_policy.find_roots import thresholds_by_column

RATE_DECIMALS = 4
SHARE_DECIMALS = 6
_RATE_SCALE, _SHARE_SCALE = float(10**RATE_DECIMALS), float(10**SHARE_DECIMALS)
DAYS_PER_WEEK = 7

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def round_for_display(values: FloatArray) -> FloatArray:
    """Values of shape (…, columns), rounded half to even as they are shown; counts stay.

    The operations are exact everywhere.
    """
    scales = np.full(values.shape[-1], _RATE_SCALE)
    scales[-1] = _SHARE_SCALE
    return np.asarray(np.rint(values * scales) / scales)


class DailySeries:
    """Daily metrics, baselines, deviations and excesses of one episode's hourly counts.

    Args:
        hourly: counts, shape (days, 24, stages).
        funnel: names and stage indices.
        level: thresholds.
        explained: which (day, column) the public calendar explains, or None.

    Attributes:
        values: displayed values, shape (days, metrics + 1); the last column is the share.
        baselines: what each value is held against, displayed: as the level's policy says, medians
            over all days, shape (1, metrics + 1), or over those with the same weekday, by day.
        deviations: relative (share: absolute) deviations from the baseline, same shape
            as `values`.
        unexplained_deviations: deviations, 0 where the calendar explains them.
        thresholds: reporting threshold of each column.
        excess: events by which each adjacent pair exceeds the possible, summed over the
            day's hours, shape (days, stages - 1).
    """

    def __init__(
        self,
        hourly: IntArray,
        funnel: Funnel,
        level: FunnelLevel,
        explained: NDArray[np.bool_] | None = None,
    ) -> None:
        self.funnel, self.level, self.explained = funnel, level, explained
        self.values, self.excess = (
            compute_daily_values(hourly, funnel),
            compute_excess_counts(hourly),
        )
        self.baselines = compute_baselines(self.values, level.baseline)
        self.deviations = self.unexplained_deviations = compute_deviations(
            self.values, self.baselines
        )
        if explained is not None:
            self.unexplained_deviations = np.where(explained, 0.0, self.deviations)
        self.thresholds = np.array(thresholds_by_column(funnel, level))

    def series_value_at(self, day: int, column: int) -> tuple[float, float, float]:
        """Value, baseline and deviation; of a pair its excess, 0 and its excess."""
        pair = column - self.values.shape[1]
        if pair >= 0:
            surplus = float(self.excess[day, pair])
            return surplus, 0.0, surplus
        at, base = (day, column), (day % len(self.baselines), column)
        return self.values.item(at), self.baselines.item(base), self.deviations.item(at)

    # Plain lists, which single look-ups read ten times faster. The pairs' excess follows the
    # share: a series like the others, with a baseline of 0 and any event past its threshold.

    @cached_property
    def values_by_day(self) -> list[list[float]]:
        """`values`, then `excess`, by day and column."""
        return np.concatenate([self.values, self.excess], axis=1).tolist()

    @cached_property
    def baselines_by_day(self) -> list[list[float]]:
        """`baselines`, then a 0 for each pair, by day and column."""
        none = [0.0] * self.excess.shape[1]
        rows = [[*row, *none] for row in self.baselines.tolist()]
        return rows * (len(self.values) // len(rows))

    @cached_property
    def medians_by_column(self) -> list[float]:
        """Medians over all days, displayed, then a 0 for each pair, by column."""
        return [*compute_medians(self.values).tolist(), *([0.0] * self.excess.shape[1])]

    @cached_property
    def deviations_by_day(self) -> list[list[float]]:
        """`deviations`, then `excess`, by day and column."""
        return np.concatenate([self.deviations, self.excess], axis=1).tolist()

    @cached_property
    def std_devs_from_baseline(self) -> tuple[float, ...]:
        """Standard deviation from the baseline of each column: √ mean (value − baseline)²."""
        columns, bases = (
            zip(*self.values_by_day, strict=True),
            zip(*self.baselines_by_day, strict=True),
        )
        return tuple(map(std_dev_from_baseline, columns, bases))

    @cached_property
    def days_past_threshold(self) -> list[list[int]]:
        """Days on which each column reaches its reporting threshold."""
        reached = np.abs(self.deviations) >= self.thresholds
        every = np.concatenate([reached, self.excess > 0], axis=1)
        return [np.flatnonzero(column).tolist() for column in every.T]

    @property
    def share_column(self) -> int:
        """Index of the daytime share."""
        return len(self.funnel.metric_names)


def compute_daily_values(hourly: IntArray, funnel: Funnel) -> FloatArray:
    """Displayed daily values of hourly counts of shape (…, 24, stages): shape (…, metrics + 1)."""
    counts = hourly.sum(axis=-2)
    above, below = funnel.ratio_stage_indices
    numerators = counts[..., above]
    numerators[..., -1] = hourly[..., slice(*funnel.daytime), 0].sum(axis=-1)
    # A denominator of 0 counts as 1, as the policy's text says; it keeps every column finite.
    ratios = numerators / np.maximum(counts[..., below], 1)
    ratios[..., :-1] *= 100.0
    return round_for_display(np.concatenate([counts, ratios], axis=-1))


def compute_baselines(values: FloatArray, baseline_kind: str) -> FloatArray:
    """What daily values of shape (days, columns) are held against, displayed.

    Medians over all days have the shape (1, columns), those of the same weekday that of the
    values: days of one weekday stand a week apart, and an episode is whole weeks.
    """
    if baseline_kind == ALL_DAYS:
        return compute_medians(values)[np.newaxis]
    weeks = len(values) // DAYS_PER_WEEK
    by_weekday = compute_medians(values.reshape(weeks, DAYS_PER_WEEK, -1))
    return np.tile(by_weekday, (weeks, 1))


def compute_medians(values: FloatArray) -> FloatArray:
    """Displayed medians over the first axis; the last one is that of the columns."""
    half, odd = divmod(len(values), 2)
    ordered = np.sort(values, axis=0)
    return round_for_display(ordered[half] if odd else (ordered[half - 1] + ordered[half]) / 2.0)


def compute_deviations(values: FloatArray, baselines: FloatArray) -> FloatArray:
    """Relative deviations from baselines; absolute for the share, which is a fraction.

    Args:
        values: shape (…, columns).
        baselines: the same, or a shape that is broadcast to it.
    """
    differences = values - baselines
    # Both shares are shown to six decimals: 0.58 is 0.08 from 0.5, not 0.07999999999999996.
    differences[..., -1] = np.rint(differences[..., -1] * _SHARE_SCALE) / _SHARE_SCALE
    scales = np.where(baselines == 0.0, 1.0, baselines)
    scales[..., -1] = 1.0
    return np.asarray(differences / scales)


def build_near_threshold_mask(
    deviations: FloatArray, funnel: Funnel, level: FunnelLevel, guard_band: float
) -> NDArray[np.bool_]:
    """Which deviations of shape (…, columns) lie within a relative band of their threshold.

    Drops of the step rates stand once more at the end: they have a second threshold, for breaks.
    """
    stages = len(funnel.count_names)
    drops = -deviations[..., stages : 2 * stages - 1]
    limits = [*thresholds_by_column(funnel, level), *[level.break_threshold] * (stages - 1)]
    sizes = np.concatenate([np.abs(deviations), drops], axis=-1) / limits
    return np.asarray((sizes >= 1.0 - guard_band) & (sizes <= 1.0 + guard_band))


def compute_excess_counts(hourly: IntArray) -> IntArray:
    """Events above the possible per day and adjacent pair, shape (…, stages - 1)."""
    return np.maximum(np.diff(hourly, axis=-1), 0).sum(axis=-2)


def std_dev_from_baseline(values: Sequence[float], baselines: Sequence[float]) -> float:
    """√ mean (value − base)², with a correctly rounded sum so that order cannot show."""
    # A product, not a power: no C library promises pow() to the last bit.
    differences = [value - base for value, base in zip(values, baselines, strict=True)]
    return math.sqrt(math.fsum(each * each for each in differences) / len(differences))
