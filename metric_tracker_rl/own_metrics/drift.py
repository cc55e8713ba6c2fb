"""Compares the last weeks of a table with a product to find out whether the product still fits.

The expected random variation of these weeks is measured on twins, which are synthetic counts drawn
from the product.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from metric_tracker_rl.own_metrics.table_windows import require_same_funnel
from metric_tracker_rl.products.daily_values import (
    BoolArray,
    FloatArray,
    compute_series_values,
    compute_step_rates,
)
from metric_tracker_rl.products.fit import DAYTIME, find_usable_days
from metric_tracker_rl.products.product import Product, ProductSeries
from metric_tracker_rl.products.twin import (
    TwinDays,
    compute_expected_values,
    generate_twin_days_at,
)
from openenv_kit.bitstream import BitStream
from openenv_kit.errors import ConfigurationError
from openenv_kit.own_data.stage_counts import StageCounts

DRIFT_DAYS = 56
"""Number of days at the end of the table that are compared."""
MIN_USABLE_DAYS = 28
"""Smallest number of these days that must have complete counts and not be holidays."""
TWIN_WINDOWS = 200
BAND_SHARE = 0.99
"""Central share of the medians of twin windows. A median within this range is not a shift."""
SHIFT_THRESHOLD_SHARE = 0.5
"""Share of the threshold that a median must exceed to be a shift."""
MIN_NOISE_RATIO, MAX_NOISE_RATIO = 0.6, 1.5
MAD_TO_STANDARD_DEVIATION = 1.4826


class DriftKind(StrEnum):
    """Way in which a series can differ from its product."""

    SHIFTED = "shifted"
    NOISIER = "noisier"
    QUIETER = "quieter"


@dataclass(frozen=True)
class SeriesDrift:
    """Comparison of the last weeks of a series with the product.

    Attributes:
        name: name of the series.
        median_deviation: median deviation from the values that the product's last level and weekday
            factors predict; absolute for the daytime share, otherwise relative.
        allowed_deviation: size up to which the median deviation does not count as a shift.
        noise_ratio: robust standard deviation of the deviations, divided by that of synthetic
            counts drawn from the product; 1 if both are 0.
        kinds: ways in which the series differs; empty if it fits.
    """

    name: str
    median_deviation: float
    allowed_deviation: float
    noise_ratio: float
    kinds: tuple[DriftKind, ...]

    @property
    def fits(self) -> bool:
        """Whether the series still agrees with the product."""
        return not self.kinds


class TwinBand(NamedTuple):
    """Range that contains the middle 99 % of a series' median deviations in the twin windows.

    A twin window consists of synthetic counts drawn from the product.
    """

    low: float
    high: float


@dataclass(frozen=True)
class _WindowStatistics:
    """Median deviation and robust standard deviation of each series, shape (series,)."""

    medians: FloatArray
    deviations: FloatArray


def compute_drift(table: StageCounts, product: Product) -> tuple[SeriesDrift, ...]:
    """Compare the last eight weeks of a table with a product, and return a result per series.

    Raises:
        ConfigurationError: the table's stages or grain differ from those of the product, or fewer
            than 28 of the days are complete and not holidays.
    """
    require_same_funnel(table, product)
    days = min(DRIFT_DAYS, table.days)
    first_day = table.days - days
    is_used = find_usable_days(table)[first_day:]
    if is_used.sum() < MIN_USABLE_DAYS:
        raise ConfigurationError(
            f"Of the last {DRIFT_DAYS} days, {int(is_used.sum())} are complete and not holidays; "
            f"at least {MIN_USABLE_DAYS} are required."
        )
    first_weekday = table.get_date(first_day).weekday()
    values = compute_series_values(table.counts[first_day:], table.grain, DAYTIME)
    observed = _compute_statistics(values, product, first_weekday, is_used)
    twins = [
        _compute_statistics(
            _draw_twin_values(product, window, days, first_weekday),
            product,
            first_weekday,
            is_used,
        )
        for window in range(TWIN_WINDOWS)
    ]
    twin_medians = np.stack([twin.medians for twin in twins])
    outside = (1.0 - BAND_SHARE) / 2.0
    lows = np.quantile(twin_medians, outside, axis=0)
    highs = np.quantile(twin_medians, 1.0 - outside, axis=0)
    usual_deviations = np.mean([twin.deviations for twin in twins], axis=0)
    return tuple(
        _compare_series(
            series,
            float(observed.medians[column]),
            TwinBand(float(lows[column]), float(highs[column])),
            _divide_deviations(float(observed.deviations[column]), float(usual_deviations[column])),
        )
        for column, series in enumerate(product.series)
    )


def describe_drift(drift: SeriesDrift, product: Product) -> str:
    """Describe the comparison of a series in one line."""
    is_share = drift.name == product.daytime_share_name
    if is_share:
        median = f"{drift.median_deviation:+.3f}".replace("-", "−")
        allowed = f"{drift.allowed_deviation:.3f}"
    else:
        median = f"{100.0 * drift.median_deviation:+.1f} %".replace("-", "−")
        allowed = f"{100.0 * drift.allowed_deviation:.1f} %"
    verdict = ", ".join(drift.kinds) or "fits"
    return f"{verdict}: median {median} (allowed ± {allowed}), noise × {drift.noise_ratio:.2f}"


def _draw_twin_values(product: Product, window: int, days: int, first_weekday: int) -> FloatArray:
    """Draw a window of synthetic counts from a product.

    The window follows the last day of the table to which the product was fitted. The result
    contains the daily series of these counts, shape (days, series).
    """
    stream = BitStream("product drift", window)
    # After the last day of the history, the level is constant.
    twin = generate_twin_days_at(stream, product, days, first_weekday, first_day=product.days)
    return _compute_twin_series(twin)


def _compute_twin_series(twin: TwinDays) -> FloatArray:
    columns = [twin.counts[:, 0].astype(np.float64), *compute_step_rates(twin.counts).T]
    if twin.daytime_shares is not None:
        columns.append(twin.daytime_shares)
    return np.stack(columns, axis=-1)


def _compute_statistics(
    values: FloatArray, product: Product, first_weekday: int, is_used: BoolArray
) -> _WindowStatistics:
    """Compute how far the values of each series are from the values that the product predicts.

    The result contains the median and the robust standard deviation of these deviations on the
    used days.
    """
    expected = np.stack(
        [
            compute_expected_values(series, len(values), first_weekday, first_day=product.days)
            for series in product.series
        ],
        axis=-1,
    )
    deviations = np.full_like(values, np.nan)
    is_defined = is_used[:, np.newaxis] & (expected > 0.0) & np.isfinite(values)
    scales = expected.copy()
    if product.is_hourly:
        scales[:, -1] = 1.0
    np.divide(values - expected, scales, out=deviations, where=is_defined)
    medians = np.array([_compute_median(column) for column in deviations.T])
    spreads = np.array([_compute_median(np.abs(column)) for column in (deviations - medians).T])
    return _WindowStatistics(medians, MAD_TO_STANDARD_DEVIATION * spreads)


def _compute_median(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else 0.0


def _compare_series(
    series: ProductSeries, median: float, band: TwinBand, noise_ratio: float
) -> SeriesDrift:
    half_threshold = SHIFT_THRESHOLD_SHARE * series.threshold
    allowed = max(half_threshold, band.high if median > 0.0 else -band.low)
    kinds = []
    if abs(median) > allowed:
        kinds.append(DriftKind.SHIFTED)
    if noise_ratio > MAX_NOISE_RATIO:
        kinds.append(DriftKind.NOISIER)
    elif noise_ratio < MIN_NOISE_RATIO:
        kinds.append(DriftKind.QUIETER)
    return SeriesDrift(series.name, median, allowed, noise_ratio, tuple(kinds))


def _divide_deviations(observed: float, usual: float) -> float:
    if usual > 0.0:
        return observed / usual
    return 1.0 if observed == 0.0 else float("inf")
