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
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.engine.funnel import Funnel
from metric_tracker_rl.engine.levels import Level
from metric_tracker_rl.engine.vocabulary import ALL_DAYS

RATE_DECIMALS = 4
SHARE_DECIMALS = 6
WEEK = 7

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def rounded(values: Floats, decimals: int) -> Floats:
    """Round half to even at a decimal place, with operations that are exact everywhere."""
    scale = float(10**decimals)
    return np.asarray(np.rint(values * scale) / scale)


class Days(NamedTuple):
    """An episode's days before they are compared with each other; see `DailySeries`."""

    values: Floats
    excess: Ints
    funnel: Funnel
    level: Level
    explained: NDArray[np.bool_] | None = None


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
        reportable: deviations, 0 where the calendar explains them.
        thresholds: reporting threshold of each column.
        excess: events by which each adjacent pair exceeds the possible, summed over the
            day's hours, shape (days, stages - 1).
    """

    def __init__(
        self,
        hourly: Ints,
        funnel: Funnel,
        level: Level,
        explained: NDArray[np.bool_] | None = None,
    ) -> None:
        values = daily_values(hourly, funnel)
        usual = baselines(values, funnel, level.baseline)
        changes = deviations(values, usual)
        self._fill(Days(values, excess_counts(hourly), funnel, level, explained), usual, changes)

    def _fill(self, days: Days, usual: Floats, changes: Floats) -> None:
        self.values, self.excess, self.funnel, self.level, self.explained = days
        self.baselines, self.deviations = usual, changes
        self.reportable = (
            changes if self.explained is None else np.where(self.explained, 0.0, changes)
        )
        self.thresholds = np.array(thresholds(self.funnel, self.level))

    @classmethod
    def of_days(cls, episodes: Sequence[Days]) -> list[DailySeries]:
        """Series of many episodes of one length, funnel and kind of baseline, made at once."""
        values = np.array([each.values for each in episodes])
        usual = baselines(values, episodes[0].funnel, episodes[0].level.baseline)
        changes = deviations(values, usual)
        made = [cls.__new__(cls) for _ in episodes]
        for series, days, base, change in zip(made, episodes, usual, changes, strict=True):
            # Copies, so that a series that is kept does not keep its company.
            series._fill(days, base.copy(), change.copy())
        return made

    def look_up(self, day: int, column: int) -> tuple[float, float, float]:
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
    def rows(self) -> list[list[float]]:
        """`values`, then `excess`, by day and column."""
        return np.concatenate([self.values, self.excess], axis=1).tolist()

    @cached_property
    def excess_rows(self) -> list[list[int]]:
        """`excess` by day and pair."""
        return self.excess.tolist()

    @cached_property
    def baseline_rows(self) -> list[list[float]]:
        """`baselines`, then a 0 for each pair, by day and column."""
        none = [0.0] * self.excess.shape[1]
        rows = [[*row, *none] for row in self.baselines.tolist()]
        return rows * (len(self.values) // len(rows))

    @cached_property
    def median_row(self) -> list[float]:
        """Medians over all days, displayed, then a 0 for each pair, by column."""
        return [*medians(self.values, self.funnel).tolist(), *([0.0] * self.excess.shape[1])]

    @cached_property
    def deviation_rows(self) -> list[list[float]]:
        """`deviations`, then `excess`, by day and column."""
        return self._deviations_and_excess.tolist()

    @cached_property
    def deviation_sizes(self) -> list[list[float]]:
        """The same without their sign, by column and day."""
        return np.abs(self._deviations_and_excess).T.tolist()

    @cached_property
    def difference_columns(self) -> list[list[float]]:
        """Value minus baseline, then `excess`, by column and day."""
        return np.concatenate([self.values - self.baselines, self.excess], axis=1).T.tolist()

    @cached_property
    def spreads(self) -> tuple[float, ...]:
        """Standard deviation from the baseline of each column: √ mean (value − baseline)²."""
        columns, bases = zip(*self.rows, strict=True), zip(*self.baseline_rows, strict=True)
        return tuple(map(spread, columns, bases))

    @cached_property
    def far_days(self) -> list[list[int]]:
        """Days on which each column reaches its reporting threshold."""
        reached = np.abs(self.deviations) >= self.thresholds
        every = np.concatenate([reached, self.excess > 0], axis=1)
        return [np.flatnonzero(column).tolist() for column in every.T]

    @property
    def _deviations_and_excess(self) -> Floats:
        return np.concatenate([self.deviations, self.excess], axis=1)

    @property
    def share_column(self) -> int:
        """Index of the daytime share."""
        return len(self.funnel.metrics)


def daily_values(hourly: Ints, funnel: Funnel) -> Floats:
    """Displayed daily values of hourly counts of shape (…, 24, stages): shape (…, metrics + 1)."""
    counts = _over_the_day(hourly)
    start, stop = funnel.daytime
    above, below = funnel.ratio_stages
    numerators = counts[..., above].astype(np.float64)
    numerators[..., -1] = np.add.reduce(hourly[..., start:stop, 0], axis=-1)
    denominators = counts[..., below].astype(np.float64)
    # A denominator of 0 counts as 1, as the policy's text says; it keeps every column finite.
    ratios = numerators / np.where(denominators == 0.0, 1.0, denominators)
    rates = rounded(ratios[..., :-1] * 100.0, RATE_DECIMALS)
    share = rounded(ratios[..., -1:], SHARE_DECIMALS)
    return np.concatenate([counts.astype(np.float64), rates, share], axis=-1)


def baselines(values: Floats, funnel: Funnel, baseline: str) -> Floats:
    """What daily values of shape (…, days, columns) are held against, displayed.

    Medians over all days have the shape (…, 1, columns), those of the same weekday that of the
    values: days of one weekday stand a week apart, and an episode is whole weeks.
    """
    if baseline == ALL_DAYS:
        return medians(values, funnel)[..., np.newaxis, :]
    *others, days, columns = values.shape
    by_week = values.reshape(*others, days // WEEK, WEEK, columns)
    by_weekday = medians(by_week.swapaxes(-3, -2), funnel)
    return np.concatenate([by_weekday] * (days // WEEK), axis=-2)


def medians(values: Floats, funnel: Funnel) -> Floats:
    """Displayed median of each column: of shape (…, days, columns), shape (…, columns)."""
    ordered = np.sort(values, axis=-2)
    days = values.shape[-2]
    half = days // 2
    upper = ordered[..., half, :]
    displayed = upper.copy() if days % 2 else (ordered[..., half - 1, :] + upper) / 2.0
    counts = len(funnel.counts)
    displayed[..., counts:-1] = rounded(displayed[..., counts:-1], RATE_DECIMALS)
    displayed[..., -1:] = rounded(displayed[..., -1:], SHARE_DECIMALS)
    return np.asarray(displayed)


def deviations(values: Floats, baselines: Floats) -> Floats:
    """Relative deviations from baselines; absolute for the share, which is a fraction.

    Args:
        values: shape (…, columns).
        baselines: the same, or a shape that is broadcast to it.
    """
    differences = values - baselines
    # Both shares are shown to six decimals: 0.58 is 0.08 from 0.5, not 0.07999999999999996.
    differences[..., -1] = rounded(differences[..., -1], SHARE_DECIMALS)
    scales = np.where(baselines == 0.0, 1.0, baselines)
    scales[..., -1] = 1.0
    return np.asarray(differences / scales)


def thresholds(funnel: Funnel, level: Level) -> list[float]:
    """Reporting threshold of each column, up to the share."""
    counts, rates = len(funnel.counts), len(funnel.rates)
    return [level.count_threshold] * counts + [level.rate_threshold] * rates + [level.mix_threshold]


def excess_counts(hourly: Ints) -> Ints:
    """Events above the possible per day and adjacent pair, shape (…, stages - 1)."""
    hours = hourly.reshape(*hourly.shape[:-2], -1)
    surplus = np.zeros_like(hours)  # of every number over the one before it, but for the first
    np.subtract(hours[..., 1:], hours[..., :-1], out=surplus[..., 1:])
    np.maximum(surplus, 0, out=surplus)
    return _over_the_day(surplus.reshape(hourly.shape))[..., 1:]


def _over_the_day(hourly: Ints) -> Ints:
    """Sums over hours of shape (…, 24, stages)."""
    # NumPy's own sum adds five numbers at a time here, which takes ten times longer.
    while not (half := divmod(hourly.shape[-2], 2))[1]:
        hourly = hourly[..., : half[0], :] + hourly[..., half[0] :, :]
    return np.asarray(np.add.reduce(hourly, axis=-2))


def spread(column: Sequence[float], bases: Sequence[float]) -> float:
    """√ mean (value − base)², with a correctly rounded sum so that order cannot show."""
    # A product, not a power: no C library promises pow() to the last bit.
    differences = [value - base for value, base in zip(column, bases, strict=True)]
    return math.sqrt(math.fsum(each * each for each in differences) / len(differences))
