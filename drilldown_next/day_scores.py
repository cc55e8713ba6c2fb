"""Daily scores of segments: how far each day lies below what everybody else did on the same day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drilldown_next.segments import IntArray

FloatArray = NDArray[np.float64]

DAYS_PER_WEEK = 7
MEDIAN_OF_HALF_NORMAL = 0.6745
"""Median of |z| for a standard normal z."""


@dataclass(frozen=True)
class DayScores:
    """What segments did on each day, compared with everybody else; arrays are (segments, days).

    Attributes:
        odds_ratio: usual odds ratio M of each segment, shape (segments, 1).
        expected: people who should have passed, e.
        loss: share of the expected people who did not pass; 0 where nobody entered.
        score: score u for the log-odds having fallen.
        weight: variance w of the score under binomial noise.
        ratio: |u|/√w; 0 where w is 0.
        scale: noise scale s of each segment, shape (segments, 1).
    """

    odds_ratio: FloatArray
    expected: FloatArray
    loss: FloatArray
    score: FloatArray
    weight: FloatArray
    ratio: FloatArray
    scale: FloatArray


def score_days(segment_counts: IntArray | FloatArray, totals: IntArray | FloatArray) -> DayScores:
    """Compare segments with everybody else on each day.

    Args:
        segment_counts: people who enter and pass, shape (segments, 2, days).
        totals: everybody who enters and passes, shape (2, days); whole weeks of days.
    """
    entered, passed = segment_counts[:, 0].astype(float), segment_counts[:, 1].astype(float)
    everybody = np.maximum(totals[0], 1).astype(float)
    rest_entered, rest_passed = totals[0] - entered, totals[1] - passed
    rest_lost = rest_entered - rest_passed
    odds_ratio = median_of_last_axis(
        (_sum_weeks(passed * rest_lost / everybody) + 0.5)
        / (_sum_weeks((entered - passed) * rest_passed / everybody) + 0.5)
    )[:, None]
    rest_odds = (rest_passed + 0.5) / (rest_lost + 0.5)
    odds = rest_odds * odds_ratio
    rate, rest_rate = odds / (1.0 + odds), rest_odds / (1.0 + rest_odds)
    expected = entered * rate
    variance = expected * (1.0 - rate)
    rest_variance = rest_entered * rest_rate * (1.0 - rest_rate)
    weight = variance * rest_variance / replace_zeros(variance + rest_variance)
    score = (expected - passed) * weight / replace_zeros(variance)
    ratio = np.abs(score) / replace_zeros(np.sqrt(weight))
    scale = np.maximum(1.0, median_of_last_axis(ratio) / MEDIAN_OF_HALF_NORMAL)[:, None]
    loss = np.where(expected > 0.0, 1.0 - passed / replace_zeros(expected), 0.0)
    return DayScores(odds_ratio, expected, loss, score, weight, ratio, scale)


def median_of_last_axis(values: FloatArray) -> FloatArray:
    """Return the median; of an even number of values, the mean of the two middle ones."""
    ordered = np.sort(values, axis=-1)
    size = ordered.shape[-1]
    middle = ordered[..., (size - 1) // 2]
    return middle if size % 2 else (middle + ordered[..., size // 2]) / 2.0


def _sum_weeks(values: FloatArray) -> FloatArray:
    """Return sums over calendar weeks, added day by day; shape (segments, weeks)."""
    weeks = values.reshape(len(values), -1, DAYS_PER_WEEK)
    total = weeks[..., 0].copy()
    for day in range(1, DAYS_PER_WEEK):
        total += weeks[..., day]
    return total


def replace_zeros(values: FloatArray) -> FloatArray:
    """Return the values with 1 instead of 0, for divisions whose numerator is 0 there."""
    return np.where(values > 0.0, values, 1.0)
