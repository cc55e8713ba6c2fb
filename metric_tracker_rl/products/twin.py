"""Generates twins: synthetic counts drawn from a product, with its levels, noise and daily pattern.

The counts must be identical on every machine. This module therefore uses only + − × ÷ √ and
rounding, in a fixed order, because other functions can differ in the last bit between libraries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metric_tracker_rl.products.product import (
    DAYS_PER_BLOCK,
    DAYS_PER_WEEK,
    RESIDUAL_SCORES,
    Product,
    ProductSeries,
)
from metric_tracker_rl.products.spread import draw_first_stage_hours, draw_later_stage_hours
from openenv_kit.bitstream import BitStream

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

TWIN_VERSION = "1"
"""Version of the twin generator, which is recorded with the episodes of a product."""
WARM_UP_DAYS = 14
"""Number of days that are drawn before the first one, so that the correlations of autocorrelated
series are stationary from the first day on."""
MAX_DAILY_COUNT = 1e12
"""Largest count of a day. Sums of such counts are exact in floating-point arithmetic."""
_POINTS_PER_SCORE = 2.0


@dataclass(frozen=True)
class TwinDays:
    """Daily totals of a twin, which consists of synthetic counts drawn from a product.

    Attributes:
        counts: counts by day and stage, shape (days, stages).
        daytime_shares: share of the first stage's count that falls in daytime, shape (days,); None
            for daily products.
    """

    counts: IntArray
    daytime_shares: FloatArray | None


def generate_twin_counts(
    stream: BitStream, product: Product, days: int, first_weekday: int
) -> IntArray:
    """Generate synthetic counts without anomalies for a random window of the product's history.

    Args:
        stream: random stream; the order of the draws determines the counts.
        product: product from which the counts are drawn.
        days: number of days, at most those of the product.
        first_weekday: weekday of the first day, 0 for Monday.

    Returns:
        Counts of shape (days, 24, stages), or (days, 1, stages) for daily products.
    """
    return spread_totals_over_hours(
        stream, product, generate_twin_days(stream, product, days, first_weekday)
    )


def generate_twin_days(
    stream: BitStream, product: Product, days: int, first_weekday: int
) -> TwinDays:
    """Generate synthetic daily totals for a random window of the product's history.

    See `generate_twin_days_at` for the arguments.
    """
    first_day = stream.integer_below(product.days - days + 1)
    return generate_twin_days_at(stream, product, days, first_weekday, first_day)


def generate_twin_days_at(
    stream: BitStream, product: Product, days: int, first_weekday: int, first_day: int
) -> TwinDays:
    """Generate synthetic daily totals for a given window of the product's history.

    Args:
        stream: random stream.
        product: product from which the totals are drawn.
        days: number of days.
        first_weekday: weekday of the first day, 0 for Monday.
        first_day: index of the first day in the history, which determines the levels.
    """
    latents = _draw_latents(stream, product, days)
    values = [
        compute_expected_values(series, days, first_weekday, first_day)
        * (1.0 + compute_residuals(latents[:, column], series.residual))
        for column, series in enumerate(product.series)
    ]
    stage_count = len(product.stages)
    counts = np.empty((days, stage_count), dtype=np.int64)
    totals = np.minimum(np.maximum(np.rint(values[0]), 0.0), MAX_DAILY_COUNT)
    counts[:, 0] = totals
    for stage in range(1, stage_count):
        totals = np.rint(totals * _clip_to_fraction(values[stage]))
        counts[:, stage] = totals
    shares = _clip_to_fraction(values[stage_count]) if product.is_hourly else None
    return TwinDays(counts, shares)


def spread_totals_over_hours(stream: BitStream, product: Product, twin_days: TwinDays) -> IntArray:
    """Spread daily totals over the hours of each day.

    In each hour, the count of a stage is at most that of the previous stage. The totals of daily
    products are not divided.

    Args:
        stream: random stream.
        product: product with the weights of the hours.
        twin_days: daily totals.

    Returns:
        Counts of shape (days, 24, stages), or (days, 1, stages) for daily products.
    """
    counts = twin_days.counts
    if product.daytime is None or twin_days.daytime_shares is None:
        return counts[:, np.newaxis, :]
    days, stage_count = counts.shape
    hours = np.empty((days, len(product.hour_weights), stage_count), dtype=np.int64)
    hours[..., 0] = draw_first_stage_hours(
        stream, counts[:, 0], twin_days.daytime_shares, product.hour_weights, product.daytime
    )
    for stage in range(1, stage_count):
        hours[..., stage] = draw_later_stage_hours(stream, counts[:, stage], hours[..., stage - 1])
    return hours


def compute_expected_values(
    series: ProductSeries, days: int, first_weekday: int, first_day: int
) -> FloatArray:
    """Return the expected values of a series on consecutive days, shape (days,).

    The expected value of a day is its level multiplied by the factor of its weekday.

    Args:
        series: series with the levels and weekday factors.
        days: number of days.
        first_weekday: weekday of the first day, 0 for Monday.
        first_day: index of the first day in the history.
    """
    weekdays = (first_weekday + np.arange(days)) % DAYS_PER_WEEK
    return compute_levels(series.levels, days, first_day) * np.array(series.weekday)[weekdays]


def compute_levels(block_levels: tuple[float, ...], days: int, first_day: int) -> FloatArray:
    """Return the level of a series on consecutive days, shape (days,).

    Between the centres of two blocks, the level is interpolated linearly. Before the centre of the
    first block and after that of the last block, it is constant.
    """
    centre_of_first_block = (DAYS_PER_BLOCK - 1) / 2.0
    positions = (np.arange(first_day, first_day + days) - centre_of_first_block) / DAYS_PER_BLOCK
    return _interpolate(np.array(block_levels), positions)


def compute_residuals(latents: FloatArray, residual: tuple[float, ...]) -> FloatArray:
    """Convert standard normal values to residuals of a series.

    The residuals are interpolated linearly between the 13 points that the product stores. Values
    beyond the outermost points get the residual of the nearest point, so synthetic residuals are
    never more extreme than the stored ones.
    """
    positions = (latents - RESIDUAL_SCORES[0]) * _POINTS_PER_SCORE
    return _interpolate(np.array(residual), positions)


def _interpolate(points: FloatArray, positions: FloatArray) -> FloatArray:
    """Interpolate linearly between points at the positions 0, 1, 2 and so on.

    A position before the first point or after the last one gets the value of the nearest point.
    """
    if len(points) == 1:
        return np.full(len(positions), points[0])
    inside = np.minimum(np.maximum(positions, 0.0), float(len(points) - 1))
    below = np.minimum(np.floor(inside), float(len(points) - 2))
    index = below.astype(np.int64)
    return points[index] + (points[index + 1] - points[index]) * (inside - below)


def _draw_latents(stream: BitStream, product: Product, days: int) -> FloatArray:
    """Draw correlated and autocorrelated standard normal values, shape (days, series).

    The values follow z_t = φ z_(t−1) + √(1 − φ²) L ε_t, where φ is the autocorrelation of each
    series, L is the matrix `Product.noise_factor`, and ε_t are independent normal values.
    """
    series_count = len(product.series)
    independent = stream.draw_normals(WARM_UP_DAYS + days, series_count)
    correlated = np.zeros_like(independent)
    for row, factors in enumerate(product.noise_factor):
        for column, factor in enumerate(factors):
            correlated[:, row] += factor * independent[:, column]
    lag1 = np.array([series.lag1 for series in product.series])
    innovations = np.sqrt(1.0 - lag1 * lag1) * correlated
    latents = np.empty_like(correlated)
    latents[0] = correlated[0]
    for day in range(1, len(latents)):
        latents[day] = lag1 * latents[day - 1] + innovations[day]
    return latents[WARM_UP_DAYS:]


def _clip_to_fraction(values: FloatArray) -> FloatArray:
    return np.minimum(np.maximum(values, 0.0), 1.0)
