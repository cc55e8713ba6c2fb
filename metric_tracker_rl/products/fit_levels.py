"""Fits a series' levels, weekday factors and the distribution of its residuals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from metric_tracker_rl.products.daily_values import BoolArray, FloatArray, IntArray
from metric_tracker_rl.products.parse_product import MAX_RESIDUAL, MIN_LEVEL
from metric_tracker_rl.products.product import (
    DAYS_PER_BLOCK,
    DAYS_PER_WEEK,
    RESIDUAL_SCORES,
    count_blocks,
)
from metric_tracker_rl.products.twin import compute_levels, compute_residuals

FIT_PASSES = 4
"""Number of passes, each of which estimates the levels and then the weekday factors."""
MIN_DAYS_OF_BLOCK = 10
"""Smallest number of used days of a block from which its level is estimated."""
UNUSUAL_SCALES = 4.0
"""A day is unusual if its residual exceeds the scale of its series by this factor."""
MAX_UNUSUAL_SHARE = 0.05
"""Largest share of the usable days that are set aside as unusual."""
MIN_SCALE = 1e-9
EXTREME_DAYS = 3
"""Number of days that are averaged for an outermost residual, so that no single day is stored."""
MAD_TO_STANDARD_DEVIATION = 1.4826
_SCORE_GRID = np.linspace(-8.0, 8.0, 6401)
_GRID_WEIGHTS = np.exp(-_SCORE_GRID * _SCORE_GRID / 2.0)
_GRID_WEIGHTS /= _GRID_WEIGHTS.sum()


@dataclass(frozen=True)
class FittedLevel:
    """Levels and weekday factors of a series.

    Attributes:
        block_levels: level of each block of 28 days.
        weekday_factors: seven factors, Monday first. Their mean over the open weekdays is 1; they
            are 0 on weekdays without values.
    """

    block_levels: FloatArray
    weekday_factors: FloatArray


def get_score_grid() -> FloatArray:
    """Return the grid of standard normal scores that is used for numerical integration."""
    return _SCORE_GRID


def get_grid_weights() -> FloatArray:
    """Return the probability weight of each score of `get_score_grid`.

    The weights are proportional to the standard normal density and add up to 1.
    """
    return _GRID_WEIGHTS


def fit_level(values: FloatArray, weekdays: IntArray) -> FittedLevel:
    """Estimate the levels and weekday factors of a series.

    In each of several passes, the levels are estimated from the current weekday factors, and then
    the weekday factors from the new levels.

    Args:
        values: values of a series by day; NaN on days that are not used.
        weekdays: weekday of each day, 0 for Monday.
    """
    days = len(values)
    is_used = np.isfinite(values)
    factors = np.array(
        [float(is_used[weekdays == weekday].any()) for weekday in range(DAYS_PER_WEEK)]
    )
    is_open = factors > 0.0
    blocks = np.zeros(count_blocks(days))
    for _ in range(FIT_PASSES):
        blocks = _fit_block_levels(values, factors[weekdays], is_used)
        levels = compute_levels(tuple(blocks.tolist()), days, 0)
        for weekday in np.flatnonzero(is_open):
            is_day = is_used & (weekdays == weekday)
            factors[weekday] = _compute_typical_value(values[is_day] / levels[is_day]) or 1.0
        mean_factor = factors[is_open].mean()
        factors /= mean_factor
        blocks *= mean_factor
    return FittedLevel(np.maximum(blocks, MIN_LEVEL), factors)


def compute_fitted_values(level: FittedLevel, weekdays: IntArray) -> FloatArray:
    """Return each day's level multiplied by the factor of its weekday, shape (days,)."""
    levels = compute_levels(tuple(level.block_levels.tolist()), len(weekdays), 0)
    return levels * level.weekday_factors[weekdays]


def find_unusual_days(residuals: FloatArray) -> BoolArray:
    """Return a mask of the days on which any series is far from its fitted level, shape (days,).

    A series is far from its level if its residual exceeds four times a robust estimate of the
    standard deviation of the series' residuals. If this is the case on more than 5 % of the days
    with values, only the most extreme days are in the mask, up to this share.

    Args:
        residuals: relative residuals, shape (days, series); NaN where a value is undefined.
    """
    sizes = np.abs(residuals)
    scales = np.maximum(
        MIN_SCALE,
        np.maximum(
            MAD_TO_STANDARD_DEVIATION * np.nanmedian(sizes, axis=0),
            np.nanquantile(sizes, 0.90, axis=0) / 3.0,
        ),
    )
    multiples = np.nan_to_num(sizes / scales, nan=0.0).max(axis=1)
    usable_days = int(np.isfinite(residuals).any(axis=1).sum())
    largest_count = math.floor(MAX_UNUSUAL_SHARE * usable_days)
    is_unusual = np.zeros(len(residuals), dtype=np.bool_)
    is_unusual[np.argsort(-multiples, kind="stable")[:largest_count]] = True
    return is_unusual & (multiples > UNUSUAL_SCALES)


def fit_residual_points(residuals: FloatArray) -> FloatArray:
    """Return 13 points that describe the distribution of a series' residuals, in ascending order.

    The points are the residuals that correspond to standard normal scores from −3 to 3 in steps
    of 0.5. Each outermost residual is the mean of the three most extreme days. All points are then
    shifted and scaled so that residuals drawn from them have the mean and standard deviation of
    the given residuals.

    Args:
        residuals: residuals of the ordinary days; NaN where a value is undefined.
    """
    known = np.sort(residuals[np.isfinite(residuals)])
    if not len(known):
        return np.zeros(len(RESIDUAL_SCORES))
    probabilities = [0.5 * (1.0 + math.erf(score / math.sqrt(2.0))) for score in RESIDUAL_SCORES]
    lowest, highest = known[:EXTREME_DAYS].mean(), known[-EXTREME_DAYS:].mean()
    points = np.clip(np.quantile(known, probabilities), lowest, highest)
    points[0], points[-1] = lowest, highest
    drawn = compute_residuals(_SCORE_GRID, tuple(points.tolist()))
    drawn_mean = (drawn * _GRID_WEIGHTS).sum()
    drawn_deviation = math.sqrt((((drawn - drawn_mean) ** 2) * _GRID_WEIGHTS).sum())
    scale = known.std() / drawn_deviation if drawn_deviation > 0.0 else 0.0
    return np.clip(known.mean() + scale * (points - drawn_mean), -1.0, MAX_RESIDUAL)


def _fit_block_levels(
    values: FloatArray, factors_by_day: FloatArray, is_used: BoolArray
) -> FloatArray:
    """Return the level of each block of 28 days.

    The level is the median of the block's values after division by the weekday factors, or their
    mean if the median is 0. The level of a block with too few used days is interpolated from the
    other blocks. If every block has too few, all blocks get the level of the whole series.
    """
    days = len(values)
    block_of_day = np.arange(days) // DAYS_PER_BLOCK
    block_count = count_blocks(days)
    levels = np.full(block_count, np.nan)
    for block in range(block_count):
        is_in_block = is_used & (block_of_day == block)
        if is_in_block.sum() >= MIN_DAYS_OF_BLOCK:
            levels[block] = _compute_typical_value(
                values[is_in_block] / factors_by_day[is_in_block]
            )
    known = np.flatnonzero(np.isfinite(levels))
    if not len(known):
        typical = _compute_typical_value(values[is_used] / factors_by_day[is_used])
        return np.full(block_count, max(typical, MIN_LEVEL))
    interpolated = np.interp(np.arange(block_count), known, levels[known])
    return np.maximum(interpolated, MIN_LEVEL)


def _compute_typical_value(values: FloatArray) -> float:
    """Return the median of the values, or their mean if the median is 0.

    The median of the rate of a rare event can be 0. Without values, the result is 0.
    """
    if not len(values):
        return 0.0
    return float(np.median(values)) or float(np.mean(values))
