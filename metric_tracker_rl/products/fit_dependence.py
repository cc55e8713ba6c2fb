"""Fits the autocorrelation and the cross-correlation of the daily residuals of a product.

A product's residuals are computed from standard normal variables, called latents. This module finds
correlations of the latents for which the residuals are correlated as in the table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from metric_tracker_rl.products.daily_values import FloatArray
from metric_tracker_rl.products.fit_levels import get_grid_weights, get_score_grid
from metric_tracker_rl.products.twin import compute_residuals

MAX_FITTED_LAG1 = 0.95
MAX_CORRELATION = 0.98
BISECTION_STEPS = 40
HERMITE_TERMS = 24
"""Number of terms of the series that converts correlations of latents to those of residuals."""
MIN_EIGENVALUE = 1e-4
MIN_PAIRS = 10
"""Smallest number of pairs of values from which a correlation is computed."""


@dataclass(frozen=True)
class Dependence:
    """Autocorrelation and cross-correlation of the latents, from which residuals are computed.

    Attributes:
        lag1: autocorrelation of each series from one day to the next, shape (series,).
        noise_factor: Cholesky factor L of the correlation matrix of the innovations, shape (series,
            series).
    """

    lag1: FloatArray
    noise_factor: FloatArray


def fit_dependence(residuals: FloatArray, points: list[FloatArray]) -> Dependence:
    """Find the correlations of latents that reproduce the correlations of the given residuals.

    Matching rank correlations would not be enough, because the residuals are skewed.

    Args:
        residuals: residuals of the ordinary days, shape (days, series); NaN elsewhere.
        points: 13 residuals of each series, at standard normal scores from −3 to 3.
    """
    series_count = residuals.shape[1]
    coefficients = [_compute_hermite_coefficients(each) for each in points]
    lag1 = np.array(
        [
            _find_latent_correlation(
                compute_lag1_correlation(residuals[:, column]),
                coefficients[column],
                coefficients[column],
                MAX_FITTED_LAG1,
            )
            for column in range(series_count)
        ]
    )
    innovations = np.eye(series_count)
    for row in range(series_count):
        for column in range(row):
            correlation = _find_latent_correlation(
                compute_correlation(residuals[:, row], residuals[:, column]),
                coefficients[row],
                coefficients[column],
                MAX_CORRELATION,
            )
            # Convert the correlation of the latents to that of their innovations.
            product_of_lags = lag1[row] * lag1[column]
            spread = math.sqrt((1.0 - lag1[row] ** 2) * (1.0 - lag1[column] ** 2))
            innovation = correlation * (1.0 - product_of_lags) / spread
            innovations[row, column] = innovation
            innovations[column, row] = innovation
    noise_factor = np.linalg.cholesky(_repair_correlations(innovations)).astype(np.float64)
    return Dependence(lag1, noise_factor)


def compute_lag1_correlation(values: FloatArray) -> float:
    """Return the correlation of a series' values on consecutive days.

    Only pairs of days on which both values are known are used, but the mean and the variance are
    computed over all known values. The result is 0 if there are too few pairs, or if the series is
    constant.
    """
    known = np.isfinite(values)
    is_pair = known[:-1] & known[1:]
    if is_pair.sum() < MIN_PAIRS:
        return 0.0
    centred = values - values[known].mean()
    variance = (centred[known] ** 2).mean()
    if variance == 0.0:
        return 0.0
    return float((centred[:-1][is_pair] * centred[1:][is_pair]).mean() / variance)


def compute_correlation(first: FloatArray, second: FloatArray) -> float:
    """Return the correlation of two series over the days on which both are known.

    The result is 0 if there are too few such days, or if a series is constant.
    """
    is_pair = np.isfinite(first) & np.isfinite(second)
    if is_pair.sum() < MIN_PAIRS:
        return 0.0
    first_centred = first[is_pair] - first[is_pair].mean()
    second_centred = second[is_pair] - second[is_pair].mean()
    scale = math.sqrt((first_centred**2).sum() * (second_centred**2).sum())
    return float((first_centred * second_centred).sum() / scale) if scale > 0.0 else 0.0


def _compute_hermite_coefficients(points: FloatArray) -> FloatArray:
    """Return the Hermite coefficients of the function that maps a latent to a series' residual.

    The polynomials are normalized, and the coefficients are scaled to a sum of squares of 1.

    If two series have the coefficients a and b and the correlation of their latents is ρ, then the
    correlation of their residuals is Σ aₙ bₙ ρⁿ. The coefficients of a constant are 0.
    """
    scores, weights = get_score_grid(), get_grid_weights()
    residuals = compute_residuals(scores, tuple(points.tolist()))
    residuals = residuals - (residuals * weights).sum()
    coefficients = np.zeros(HERMITE_TERMS)
    previous, current = np.zeros_like(scores), np.ones_like(scores)
    for term in range(HERMITE_TERMS):
        degree = term + 1
        previous, current = (
            current,
            (scores * current - math.sqrt(degree - 1.0) * previous) / math.sqrt(degree),
        )
        coefficients[term] = (residuals * current * weights).sum()
    size = math.sqrt((coefficients**2).sum())
    return coefficients / size if size > 0.0 else coefficients


def _find_latent_correlation(
    target: float, first: FloatArray, second: FloatArray, largest: float
) -> float:
    """Return the correlation of two latents whose residuals have the correlation `target`.

    Args:
        target: correlation of the residuals.
        first: Hermite coefficients of the first series.
        second: Hermite coefficients of the second series.
        largest: the result is limited to [−largest, largest].
    """
    if not (first.any() and second.any()):
        return 0.0
    powers = np.arange(1, HERMITE_TERMS + 1)
    low, high = -largest, largest
    for _ in range(BISECTION_STEPS):
        middle = (low + high) / 2.0
        if (first * second * middle**powers).sum() < target:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def _repair_correlations(correlations: FloatArray) -> FloatArray:
    """Return a positive definite correlation matrix that is close to the given matrix.

    A matrix whose eigenvalues are all large enough is returned unchanged.
    """
    values, vectors = np.linalg.eigh(correlations)
    if values[0] >= MIN_EIGENVALUE:
        return correlations
    repaired = (vectors * np.maximum(values, MIN_EIGENVALUE)) @ vectors.T
    scales = np.sqrt(np.diag(repaired))
    return repaired / np.outer(scales, scales)
