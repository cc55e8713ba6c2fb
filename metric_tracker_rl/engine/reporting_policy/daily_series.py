"""Daily series of an episode, which contain values, baselines and deviations as arrays.

`ColumnLayout` defines the columns. All values are rounded for display, and the reporting policy is
applied to the rounded values, so no label depends on digits that a player cannot see.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.engine.definitions.display import (
    round_daily_values_for_display,
    round_daytime_shares_for_display,
)
from metric_tracker_rl.engine.definitions.funnel import Funnel
from metric_tracker_rl.engine.definitions.levels import FunnelLevel
from metric_tracker_rl.engine.definitions.thresholds import get_policy_limits
from metric_tracker_rl.engine.reporting_policy.baselines import (
    FloatArray,
    compute_rounded_baselines,
    compute_rounded_medians,
)

IntArray = NDArray[np.int64]


class MetricValue(NamedTuple):
    """Value, baseline and deviation of one metric on one day.

    The deviation is relative for counts and rates, and absolute for the daytime share. For
    impossible counts, the value and the deviation are the number of events by which a stage exceeds
    the previous one, and the baseline is 0.
    """

    value: float
    baseline: float
    deviation: float


class DailySeries:
    """Daily metrics, baselines, deviations and impossible counts of one episode.

    Args:
        hourly: hourly counts, shape (days, hours, stages).
        funnel: funnel that provides names and columns.
        level: level that provides thresholds and the kind of baseline.
        explained: whether the calendar explains a metric on a day, shape (days, columns with a
            baseline); None if the level has no calendar.

    Attributes:
        values: rounded values, shape (days, columns with a baseline).
        baselines: rounded baselines: medians over all days, shape (1, columns), or medians of the
            same weekday, shape (days, columns).
        deviations: deviations from the baselines, which are absolute for the daytime share and
            relative for all other columns; same shape as `values`.
        unexplained_deviations: the deviations, replaced by 0 where the calendar explains them.
        limits: thresholds and severity bounds of the columns.
        thresholds: reporting threshold of each column.
        excess: number of events by which a stage exceeds the previous stage, summed over all hours
            with an excess; shape (days, stages - 1).
    """

    def __init__(
        self,
        hourly: IntArray,
        funnel: Funnel,
        level: FunnelLevel,
        explained: NDArray[np.bool_] | None = None,
    ) -> None:
        self.funnel, self.level, self.explained = funnel, level, explained
        self.values = compute_rounded_daily_values(hourly, funnel)
        self.excess = sum_excess_over_previous_stage(
            hourly, compares_daily_totals=funnel.compares_daily_totals
        )
        self.baselines = compute_rounded_baselines(
            self.values, level.baseline, has_daytime_share=funnel.columns.has_daytime_share
        )
        self.limits = get_policy_limits(funnel, level)
        self.deviations = compute_deviations(
            self.values,
            self.baselines,
            has_daytime_share=funnel.columns.has_daytime_share,
            is_zero_baseline_flagged=level.is_zero_baseline_flagged,
        )
        self.unexplained_deviations = self.deviations
        if explained is not None:
            self.unexplained_deviations = np.where(explained, 0.0, self.deviations)
        self.thresholds = np.array(self.limits.thresholds)

    def build_copy_with_level(self, level: FunnelLevel) -> DailySeries:
        """Return the same series with the thresholds and rules of another level.

        The level must have the same kind of baseline.
        """
        other = DailySeries.__new__(DailySeries)
        other.funnel, other.level, other.explained = self.funnel, level, self.explained
        other.values, other.excess, other.baselines = self.values, self.excess, self.baselines
        other.deviations = self.deviations
        other.unexplained_deviations = self.unexplained_deviations
        other.limits = get_policy_limits(self.funnel, level)
        other.thresholds = np.array(other.limits.thresholds)
        return other

    def get_metric_value(self, day: int, column: int) -> MetricValue:
        """Return the value, baseline and deviation of a column on a day."""
        columns = self.funnel.columns
        if columns.is_excess_column(column):
            surplus = float(self.excess[day, columns.pair_index_of_column(column)])
            return MetricValue(surplus, 0.0, surplus)
        return MetricValue(
            self.values.item((day, column)),
            self.baselines.item((day % len(self.baselines), column)),
            self.deviations.item((day, column)),
        )

    # The following properties are lists, because reading single numbers from lists is ten times
    # faster than from arrays. The excess columns follow the daytime share and have baseline 0.

    @cached_property
    def values_and_excess_by_day(self) -> list[list[float]]:
        """One list for each day, with the day's values followed by its excess events."""
        return np.concatenate([self.values, self.excess], axis=1).tolist()

    @cached_property
    def baselines_by_day(self) -> list[list[float]]:
        """One list for each day, with the day's baselines followed by 0 for each excess column."""
        pair_baselines = [0.0] * self.excess.shape[1]
        rows = [[*row, *pair_baselines] for row in self.baselines.tolist()]
        return rows * (len(self.values) // len(rows))

    @cached_property
    def medians_by_column(self) -> list[float]:
        """Rounded median of each column over all days, followed by 0 for each excess column."""
        medians = compute_rounded_medians(
            self.values, has_daytime_share=self.funnel.columns.has_daytime_share
        )
        return [*medians.tolist(), *([0.0] * self.excess.shape[1])]

    @cached_property
    def deviations_and_excess_by_day(self) -> list[list[float]]:
        """One list for each day, with the day's deviations followed by its excess events."""
        return np.concatenate([self.deviations, self.excess], axis=1).tolist()

    @cached_property
    def std_devs_from_baseline(self) -> tuple[float, ...]:
        """Standard deviation of each column from its baseline, √ mean (value − baseline)²."""
        values_by_column = zip(*self.values_and_excess_by_day, strict=True)
        baselines_by_column = zip(*self.baselines_by_day, strict=True)
        return tuple(map(compute_std_dev_from_baseline, values_by_column, baselines_by_column))

    @cached_property
    def days_past_threshold_by_column(self) -> list[list[int]]:
        """One list for each column, with the indices of the days on which the column is flagged.

        A column is flagged if its deviation reaches the reporting threshold, and an excess column
        if there are any excess events. Calendar entries are not considered.
        """
        is_reached = np.abs(self.deviations) >= self.thresholds
        by_column = np.concatenate([is_reached, self.excess > 0], axis=1).T
        return [np.flatnonzero(column).tolist() for column in by_column]


def compute_rounded_daily_values(hourly: IntArray, funnel: Funnel) -> FloatArray:
    """Compute daily counts, rates and daytime shares from hourly counts, rounded for display.

    The result has the shape (…, columns).

    Args:
        hourly: hourly counts, shape (…, hours, stages).
        funnel: funnel that provides the stages and the daytime hours.
    """
    counts = hourly.sum(axis=-2)
    ratios = funnel.rate_and_daytime_share_stage_indices
    # `take` is three times as fast as an index with a list.
    numerators = counts.take(ratios.numerators, axis=-1)
    if funnel.daytime is not None:
        numerators[..., -1] = hourly[..., slice(*funnel.daytime), 0].sum(axis=-1)
    # By definition in the policy's text, a denominator of 0 counts as 1, so all values are finite.
    shares = numerators / np.maximum(counts.take(ratios.denominators, axis=-1), 1)
    shares[..., : funnel.columns.rate_total] *= 100.0
    return round_daily_values_for_display(
        np.concatenate([counts, shares], axis=-1),
        has_daytime_share=funnel.columns.has_daytime_share,
    )


def compute_deviations(
    values: FloatArray,
    baselines: FloatArray,
    *,
    has_daytime_share: bool = True,
    is_zero_baseline_flagged: bool = True,
) -> FloatArray:
    """Compute by how much values deviate from their baselines.

    The deviation of the daytime share is the difference; that of all other columns is the
    difference divided by the baseline.

    Args:
        values: shape (…, columns).
        baselines: same shape as `values`, or a shape that can be broadcast to it.
        has_daytime_share: whether the last column is a daytime share.
        is_zero_baseline_flagged: if True, the deviation from a baseline of 0 is the value itself;
            if False, it is 0.
    """
    differences = values - baselines
    is_zero = baselines == 0.0
    scales = np.where(is_zero, 1.0, baselines)
    if has_daytime_share:
        # Both shares have six decimals: 0.58 deviates from 0.5 by 0.08, not by 0.07999999999999996.
        differences[..., -1] = round_daytime_shares_for_display(differences[..., -1])
        scales[..., -1] = 1.0
    deviations = np.asarray(differences / scales)
    return deviations if is_zero_baseline_flagged else np.where(is_zero, 0.0, deviations)


def build_near_threshold_mask(
    deviations: FloatArray, funnel: Funnel, level: FunnelLevel, guard_band: float
) -> NDArray[np.bool_]:
    """Return a boolean array that is True where a deviation is close to its reporting threshold.

    The generator avoids such deviations, so that it is clear which series are flagged.

    Args:
        deviations: shape (…, columns).
        funnel: funnel that provides the columns.
        level: level that provides the thresholds.
        guard_band: how close a deviation must be, as a fraction of the threshold.

    Returns:
        Shape (…, columns + step rates). The additional columns at the end compare drops of step
        rates with the break threshold.
    """
    drops = -deviations[..., funnel.columns.step_rates]
    limits = get_policy_limits(funnel, level)
    thresholds = [*limits.thresholds, *limits.break_thresholds]
    sizes = np.concatenate([np.abs(deviations), drops], axis=-1) / thresholds
    return np.asarray((sizes >= 1.0 - guard_band) & (sizes <= 1.0 + guard_band))


def sum_excess_over_previous_stage(
    hourly: IntArray, *, compares_daily_totals: bool = False
) -> IntArray:
    """Compute by how many events each stage exceeds the previous stage on each day.

    Only hours in which the stage exceeds the previous one are summed. If `compares_daily_totals` is
    True, the totals of the day are compared instead of the hours. For hourly counts of shape (…,
    hours, stages), the result has the shape (…, stages - 1).
    """
    if compares_daily_totals:
        hourly = hourly.sum(axis=-2, keepdims=True)
    return np.maximum(hourly[..., 1:] - hourly[..., :-1], 0).sum(axis=-2)


def compute_std_dev_from_baseline(values: Sequence[float], baselines: Sequence[float]) -> float:
    """Return the standard deviation of values from their baselines, √ mean (value − baseline)².

    The sum is correctly rounded, so it does not depend on the order of the days.
    """
    # A product is used instead of pow(), whose last bit differs between C libraries.
    differences = [value - base for value, base in zip(values, baselines, strict=True)]
    return math.sqrt(math.fsum(each * each for each in differences) / len(differences))
