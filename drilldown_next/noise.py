"""The noise of clean data, in log-odds, and its random processes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drilldown_next.day_scores import FloatArray
from openenv_kit.bitstream import BitStream


@dataclass(frozen=True)
class Noise:
    """Noise parameters. The defaults were measured in the flights table.

    Attributes:
        day_shock: standard deviation of the shock that all people share on a day.
        value_shock: standard deviation of the shock of each value and day, on ordinary days.
        bad_day_share: share of bad days. On them, the shared shock drops by 1 to 2.5 and the shocks
            of values are `bad_day_factor` times as large.
        day_correlation, value_correlation: lag-1 correlations of the two shocks.
        bad_day_factor: see `bad_day_share`.
        bad_day_persistence: probability that a bad day follows a bad day.
        traffic: standard deviation of the traffic's relative daily noise.
        traffic_correlation: its lag-1 correlation.
        leaf_variance: variance of a leaf's traffic, as a share of its mean.
    """

    day_shock: float
    value_shock: float
    bad_day_share: float
    day_correlation: float = 0.42
    value_correlation: float = 0.1
    bad_day_factor: float = 2.5
    bad_day_persistence: float = 0.3
    traffic: float = 0.052
    traffic_correlation: float = 0.45
    leaf_variance: float = 0.5


LARGEST_BAD_DAY_DROP, SMALLEST_BAD_DAY_DROP = 2.5, 1.0


def draw_autoregression(stream: BitStream, rows: int, days: int, correlation: float) -> FloatArray:
    """Draw stationary AR(1) series with standard deviation 1, shape (rows, days)."""
    normals = stream.draw_normals(rows, days)
    innovation = float(np.sqrt(1.0 - correlation * correlation))
    series = np.empty((rows, days))
    series[:, 0] = normals[:, 0]
    for day in range(1, days):
        series[:, day] = correlation * series[:, day - 1] + innovation * normals[:, day]
    return series


def draw_bad_day_drops(stream: BitStream, days: int, noise: Noise) -> FloatArray:
    """Draw by how much the shared shock drops on each day, shape (days,); 0 on ordinary days."""
    share, persistence = noise.bad_day_share, noise.bad_day_persistence
    # In the long run, this share of the days is bad.
    start = share * (1.0 - persistence) / (1.0 - share)
    drops = np.zeros(days)
    is_bad = False
    for day in range(days):
        is_bad = stream.uniform() < (persistence if is_bad else start)
        drop = stream.uniform(SMALLEST_BAD_DAY_DROP, LARGEST_BAD_DAY_DROP)
        if is_bad:
            drops[day] = drop
    return drops
