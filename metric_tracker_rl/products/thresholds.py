"""Computes the thresholds of a product from its twins: synthetic counts drawn from the product.

The twins contain no anomalies. A threshold is set so that their random deviations from the baseline
almost never exceed it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.severity import SeverityBounds
from metric_tracker_rl.products.daily_values import FloatArray, IntArray, compute_step_rates
from metric_tracker_rl.products.parse_product import (
    MAX_THRESHOLD,
    MIN_RELATIVE_THRESHOLD,
    MIN_SHARE_THRESHOLD,
)
from metric_tracker_rl.products.product import DAYS_PER_WEEK, Product
from metric_tracker_rl.products.twin import TwinDays, generate_twin_days
from openenv_kit.bitstream import BitStream

LEVEL_FACTORS = {name: level.product_threshold_factor for name, level in LEVELS.items()}
"""Factor by which each level multiplies the thresholds of a product."""
EXCESS_MULTIPLES = (2.0, 6.0, 12.0)
"""Bounds of medium, high and critical severity for impossible counts, in units of excess events."""
EVENTS_PER_EXCESS_UNIT = 10_000.0
"""The unit of excess events is the daily count of the first stage divided by this, at least 1."""
MIN_BREAK_THRESHOLD, MAX_BREAK_THRESHOLD = 0.35, 0.85
BREAK_MULTIPLE = 1.6
"""Threshold of a break, in multiples of the threshold of the step rate."""


@dataclass(frozen=True)
class WindowKind:
    """Length and number of the synthetic windows from which thresholds are computed.

    Attributes:
        days: number of days of a window.
        windows: number of windows.
    """

    days: int
    windows: int


WINDOW_KINDS = (WindowKind(days=28, windows=300), WindowKind(days=56, windows=150))
QUANTILE = 0.9995
"""Quantile of the deviations in anomaly-free windows from which thresholds are computed."""
MARGIN = 1.1
"""Factor by which the quantile is multiplied."""
_ROUNDING_TOLERANCE = 1e-9
"""Excess over a multiple, as a share of the rounding step, that is treated as a rounding error."""


def add_computed_thresholds(product: Product) -> Product:
    """Return a copy of the product with thresholds that are computed from its synthetic counts."""
    thresholds = compute_thresholds(product)
    return replace(
        product,
        series=tuple(
            replace(series, threshold=thresholds[series.name]) for series in product.series
        ),
        other_thresholds={name: thresholds[name] for name in product.other_thresholds},
    )


def compute_thresholds(product: Product) -> dict[str, float]:
    """Compute the threshold of each daily series of a product, by the name of the series.

    Each threshold is 1.1 times the 99.95th percentile of the deviations in synthetic windows
    without anomalies, rounded up to a whole percent and limited to the allowed range. The
    percentile is computed for 28-day and for 56-day windows, and the larger one is used.
    """
    quantiles = np.max(
        [
            compute_deviation_quantiles(list(iter_clean_deviations(product, kind)))
            for kind in WINDOW_KINDS
        ],
        axis=0,
    )
    return {
        name: _round_up_threshold(MARGIN * quantile, is_share=name == product.daytime_share_name)
        for name, quantile in zip(product.column_names, quantiles.tolist(), strict=True)
    }


def iter_clean_deviations(product: Product, kind: WindowKind) -> Iterator[FloatArray]:
    """Yield the sizes of the deviations from the baseline in synthetic windows without anomalies.

    The baseline of a value is the median of the same weekday in its window.

    Yields:
        An array for each window, shape (open days, columns). The columns are the series in
        `Product.column_names`. Weekdays without events are left out.
    """
    for window in range(kind.windows):
        stream = BitStream(f"product thresholds {kind.days}", window)
        first_weekday = window % DAYS_PER_WEEK
        twin_days = generate_twin_days(stream, product, kind.days, first_weekday)
        deviations = compute_deviations_from_weekday_medians(
            compute_column_values(twin_days, product), product
        )
        weekdays = (first_weekday + np.arange(kind.days)) % DAYS_PER_WEEK
        is_open = ~np.isin(weekdays, product.closed_weekdays)
        yield np.abs(deviations[is_open])


def compute_deviation_quantiles(deviations: list[FloatArray]) -> FloatArray:
    """Return the 99.95th percentile of the deviations of each column, shape (columns,).

    Args:
        deviations: an array for each window, shape (days, columns).
    """
    quantiles: FloatArray = np.quantile(np.concatenate(deviations), QUANTILE, axis=0)
    return quantiles


def compute_column_values(twin_days: TwinDays, product: Product) -> FloatArray:
    """Return the values of all daily series of synthetic counts, shape (days, columns).

    The columns are the series in `Product.column_names`. A rate with a denominator of 0 is 0, as in
    the reporting policy.
    """
    counts: IntArray = twin_days.counts
    composites = [counts[:, end] / np.maximum(counts[:, 0], 1) for end in product.composite_ends]
    columns = [*counts.T, *np.nan_to_num(compute_step_rates(counts), nan=0.0).T, *composites]
    if twin_days.daytime_shares is not None:
        columns.append(twin_days.daytime_shares)
    return np.stack(columns, axis=-1)


def compute_deviations_from_weekday_medians(values: FloatArray, product: Product) -> FloatArray:
    """Return the deviation of each value from the median of its weekday, shape (days, columns).

    Deviations of the daytime share are absolute, all others are relative. A deviation from a
    baseline of 0 is 0.

    Args:
        values: daily values, shape (days, columns). The number of days is a multiple of seven.
        product: the product. If it is hourly, the last column is the daytime share.
    """
    weeks = len(values) // DAYS_PER_WEEK
    by_week = values.reshape(weeks, DAYS_PER_WEEK, -1)
    baselines = np.tile(np.median(by_week, axis=0), (weeks, 1))
    scales = baselines.copy()
    if product.is_hourly:
        scales[:, -1] = 1.0
    deviations = np.zeros_like(values)
    np.divide(values - baselines, scales, out=deviations, where=baselines > 0.0)
    return deviations


def compute_level_thresholds(product: Product, factor: float) -> dict[str, float]:
    """Return the threshold of each daily series at a difficulty level, by the series' name.

    Args:
        product: product with thresholds.
        factor: factor of the level, which is a value of `LEVEL_FACTORS` or lies between two of
            them.
    """
    return {
        name: _round_up(threshold * factor, 0.001)
        for name, threshold in product.thresholds_by_column.items()
    }


def compute_break_threshold(step_rate_threshold: float) -> float:
    """Return the relative drop from which a fall of a step rate is a funnel break.

    It is 1.6 times the threshold of the step rate, but at least 0.35 and at most 0.85.
    """
    return min(
        MAX_BREAK_THRESHOLD,
        max(MIN_BREAK_THRESHOLD, round(BREAK_MULTIPLE * step_rate_threshold, 6)),
    )


def build_excess_severity_bounds(product: Product) -> SeverityBounds:
    """Return the numbers of excess events from which severities of impossible counts start.

    In an impossible count, a stage has more events than the previous one. The bounds of medium,
    high and critical severity are 2, 6 and 12 times a unit, which is a ten-thousandth of the first
    stage's median daily level, but at least one event.
    """
    unit = max(1.0, product.count_series.median_level / EVENTS_PER_EXCESS_UNIT)
    medium, high, critical = (round(multiple * unit, 6) for multiple in EXCESS_MULTIPLES)
    return SeverityBounds(medium, high, critical)


def _round_up_threshold(value: float, *, is_share: bool) -> float:
    lowest = MIN_SHARE_THRESHOLD if is_share else MIN_RELATIVE_THRESHOLD
    highest = 1.0 if is_share else MAX_THRESHOLD
    return min(highest, max(lowest, _round_up(value, 0.01)))


def _round_up(value: float, step: float) -> float:
    """Round a value up to the next multiple of a step such as 0.01."""
    steps = math.ceil(value / step - _ROUNDING_TOLERANCE)
    return round(steps * step, 6)
