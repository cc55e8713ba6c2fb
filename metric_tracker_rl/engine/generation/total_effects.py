"""Effects that set the totals of a day exactly and then spread them over the hours.

They are used in episodes about a user's product, whose counts can be small. If every hour were
changed and rounded separately, a change of small counts could be lost.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from metric_tracker_rl.engine.definitions.funnel import HourRange
from metric_tracker_rl.engine.reporting_policy.daily_series import IntArray
from metric_tracker_rl.products.spread import apportion_totals, apportion_totals_within_bounds


class SetTotals(NamedTuple):
    """Effect that sets the daily total of every stage.

    The daytime share of the first stage is preserved, up to rounding to whole events.

    Attributes:
        totals: new totals in funnel order, each at most that of the previous stage.
        daytime: hours that count as daytime; None if the funnel has no daytime share.
    """

    totals: tuple[int, ...]
    daytime: HourRange | None

    def apply_to_copy(self, hourly_counts: IntArray) -> IntArray:
        first = hourly_counts[:, 0]
        daytime_total = None
        if self.daytime is not None:
            share = int(first[slice(*self.daytime)].sum()) / max(int(first.sum()), 1)
            daytime_total = round(share * self.totals[0])
        return _spread_totals(hourly_counts, self.totals, self.daytime, daytime_total)


class ScaleTotals(NamedTuple):
    """Effect that multiplies the daily total of each stage by a factor.

    A stage whose scaled total would exceed that of the previous stage gets the previous stage's
    total instead.

    Attributes:
        factors: one factor for each stage.
        daytime: hours that count as daytime; None if the funnel has no daytime share.
        hours: hours whose counts are scaled, without preserving the daytime share; None to scale
            the whole day.
    """

    factors: tuple[float, ...]
    daytime: HourRange | None
    hours: HourRange | None = None

    def apply_to_copy(self, hourly_counts: IntArray) -> IntArray:
        if self.hours is not None:
            changed = hourly_counts.copy()
            part = slice(*self.hours)
            changed[part] = ScaleTotals(self.factors, None).apply_to_copy(hourly_counts[part])
            return changed
        scaled = np.rint(hourly_counts.sum(axis=0) * np.array(self.factors)).astype(np.int64)
        totals = tuple(np.minimum.accumulate(scaled).tolist())
        return SetTotals(totals, self.daytime).apply_to_copy(hourly_counts)


class SetDaytimeShare(NamedTuple):
    """Effect that moves events between daytime and night without changing the daily totals.

    Attributes:
        daytime: hours that count as daytime.
        share: new share of the first stage's events in daytime.
    """

    daytime: HourRange
    share: float

    def apply_to_copy(self, hourly_counts: IntArray) -> IntArray:
        totals = tuple(int(total) for total in hourly_counts.sum(axis=0))
        daytime_total = round(self.share * totals[0])
        return _spread_totals(hourly_counts, totals, self.daytime, daytime_total)


class AddDailyExcess(NamedTuple):
    """Effect that makes the daily total of a stage larger than that of the previous stage.

    Such a total is impossible in a funnel and shows a fault in how events are recorded.

    Attributes:
        stage: index of the stage that records more events than the previous stage.
        events: number of events by which its total exceeds that of the previous stage.
    """

    stage: int
    events: int

    def apply_to_copy(self, hourly_counts: IntArray) -> IntArray:
        changed, above = hourly_counts.copy(), hourly_counts[:, self.stage - 1]
        changed[:, self.stage] = _apportion_total(int(above.sum()) + self.events, above)
        return changed


def _spread_totals(
    hourly_counts: IntArray,
    totals: tuple[int, ...],
    daytime: HourRange | None,
    daytime_total: int | None,
) -> IntArray:
    """Spread new daily totals over the hours in the same way as the given hourly counts.

    Args:
        hourly_counts: counts, shape (hours, stages).
        totals: total of each stage, each at most that of the previous stage.
        daytime: hours that count as daytime; None if the funnel has no daytime share.
        daytime_total: number of the first stage's events to place in the daytime; None if the
            funnel has no daytime share.
    """
    changed = np.empty_like(hourly_counts)
    first = hourly_counts[:, 0]
    if daytime is None or daytime_total is None:
        changed[:, 0] = _apportion_total(totals[0], first)
    else:
        is_daytime = np.zeros(len(first), dtype=np.bool_)
        is_daytime[slice(*daytime)] = True
        changed[is_daytime, 0] = _apportion_total(daytime_total, first[is_daytime])
        changed[~is_daytime, 0] = _apportion_total(totals[0] - daytime_total, first[~is_daytime])
    for stage in range(1, len(totals)):
        above = changed[:, stage - 1]
        # Each hour keeps its step rate, up to a common factor and the bound by the previous stage.
        rates = hourly_counts[:, stage] / np.maximum(hourly_counts[:, stage - 1], 1)
        expected = above * rates
        scale = totals[stage] / max(float(np.add.accumulate(expected)[-1]), 1.0)
        changed[:, stage] = apportion_totals_within_bounds(
            np.array([totals[stage]]),
            (expected * scale)[np.newaxis],
            np.zeros_like(above)[np.newaxis],
            above[np.newaxis],
        )[0]
    return changed


def _apportion_total(total: int, weights: IntArray) -> IntArray:
    """Divide a total into whole numbers in proportion to weights.

    If all weights are 0, the total is divided evenly.
    """
    if not len(weights):
        return weights
    usable = weights if weights.any() else np.ones_like(weights)
    return apportion_totals(np.array([total]), usable[np.newaxis].astype(np.float64))[0]
