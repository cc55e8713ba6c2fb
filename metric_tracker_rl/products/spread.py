"""Spreads daily totals over the hours of a day, with identical results on every machine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from metric_tracker_rl.engine.definitions.funnel import HourRange
from openenv_kit.bitstream import BitStream

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def draw_first_stage_hours(
    stream: BitStream,
    totals: IntArray,
    daytime_shares: FloatArray,
    hour_weights: tuple[float, ...],
    daytime: HourRange,
) -> IntArray:
    """Divide the first stage's daily totals randomly into hourly counts, shape (days, 24).

    The counts of the daytime hours add up to the daytime share of the total, rounded to whole
    events. The count of an hour deviates randomly from its expected value, with a standard
    deviation of about the square root of that value.

    Args:
        stream: random stream.
        totals: count of each day, shape (days,).
        daytime_shares: share of each day's count that falls in daytime, shape (days,).
        hour_weights: share of each of the 24 hours in a usual day.
        daytime: hours that count as daytime.
    """
    is_daytime = np.zeros(len(hour_weights), dtype=np.bool_)
    is_daytime[slice(*daytime)] = True
    normals = stream.draw_normals(len(totals), len(hour_weights))
    daytime_totals = np.rint(totals * daytime_shares).astype(np.int64)
    hours = np.zeros(normals.shape, dtype=np.int64)
    for mask, part_totals in ((is_daytime, daytime_totals), (~is_daytime, totals - daytime_totals)):
        if not mask.any():
            continue
        weights = np.array(hour_weights)[mask]
        usual = np.tile(weights if weights.any() else np.ones(len(weights)), (len(totals), 1))
        expected = part_totals[:, np.newaxis] * (usual / _sum_hours(usual))
        noisy = np.maximum(expected + np.sqrt(expected) * normals[:, mask], 0.0)
        has_noise = _sum_hours(noisy) > 0.0
        hours[:, mask] = apportion_totals(part_totals, np.where(has_noise, noisy, usual))
    return hours


def draw_later_stage_hours(
    stream: BitStream, totals: IntArray, previous_hours: IntArray
) -> IntArray:
    """Divide a later stage's daily totals randomly into hourly counts, shape (days, 24).

    No hour has more events than the same hour of the previous stage. The rate between the two
    stages is the same in every hour of a day, apart from random noise.

    Args:
        stream: random stream.
        totals: count of each day, shape (days,), at most that of the previous stage.
        previous_hours: counts of the previous stage by hour, shape (days, 24).
    """
    normals = stream.draw_normals(*previous_hours.shape)
    previous_totals = np.maximum(previous_hours.sum(axis=-1), 1)
    rates = (totals / previous_totals)[:, np.newaxis]
    expected = previous_hours * rates
    noisy = expected + np.sqrt(expected * (1.0 - rates)) * normals
    return apportion_totals_within_bounds(
        totals, noisy, np.zeros_like(previous_hours), previous_hours
    )


def apportion_totals(totals: IntArray, weights: FloatArray) -> IntArray:
    """Divide totals into whole numbers in proportion to weights, with the largest-remainder method.

    Args:
        totals: whole numbers of at least 0, shape (days,).
        weights: numbers of at least 0, shape (days, hours). A row may be all 0 only if its total is
            0.

    Returns:
        Whole numbers, shape (days, hours); each row adds up to its total.
    """
    sums = _sum_hours(weights)
    exact = totals[:, np.newaxis] * weights / np.where(sums > 0.0, sums, 1.0)
    whole = np.floor(exact)
    # Hours with a weight of 0 come last, so that rounding errors never give them an event.
    remainders = np.where(weights > 0.0, exact - whole, -1.0)
    parts = whole.astype(np.int64)
    missing = totals - parts.sum(axis=-1)
    order = np.argsort(-remainders, axis=-1, kind="stable")
    ranks = np.argsort(order, axis=-1, kind="stable")
    return parts + (ranks < missing[:, np.newaxis])


def apportion_totals_within_bounds(
    totals: IntArray, targets: FloatArray, lowest: IntArray, highest: IntArray
) -> IntArray:
    """Divide totals into whole numbers that are near target values and within bounds.

    The targets are rounded down and limited to their bounds. If their sum is too small, the missing
    amount is divided among the hours in proportion to their distances from the upper bounds. If it
    is too large, the excess is subtracted in proportion to the distances from the lower bounds.

    Args:
        totals: whole numbers, shape (days,), between the sums of `lowest` and of `highest`.
        targets: desired values, shape (days, hours).
        lowest: smallest allowed values, shape (days, hours).
        highest: largest allowed values, shape (days, hours).

    Returns:
        Whole numbers, shape (days, hours); each row adds up to its total.
    """
    values = np.minimum(np.maximum(np.floor(targets), lowest), highest).astype(np.int64)
    missing = totals - values.sum(axis=-1)
    is_short = (missing >= 0)[:, np.newaxis]
    room = np.where(is_short, highest - values, values - lowest)
    moved = apportion_totals(np.abs(missing), room.astype(np.float64))
    return np.where(is_short, values + moved, values - moved)


def _sum_hours(values: FloatArray) -> FloatArray:
    """Return the sum over the hours of each day, shape (days, 1).

    The values are added from left to right, so the result is the same on every machine.
    """
    return np.add.accumulate(values, axis=-1)[:, -1:]
