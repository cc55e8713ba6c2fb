"""Clean data: the hourly counts of an uneventful episode."""

from __future__ import annotations

import numpy as np

from metric_tracker_rl.engine.definitions.funnel import HOURS_PER_DAY, Funnel
from metric_tracker_rl.engine.definitions.levels import FunnelLevel
from metric_tracker_rl.engine.reporting_policy.daily_series import IntArray
from openenv_kit.bitstream import BitStream

MAX_TREND = 0.04
"""Largest relative change of traffic from the first to the last day of an episode."""


def generate_clean_counts(
    stream: BitStream, funnel: Funnel, level: FunnelLevel, first_weekday: int
) -> IntArray:
    """Hourly counts of the days from a weekday on, 0 for Monday: shape (days, 24, stages)."""
    days, steps = level.days, len(funnel.base_rates)
    opens = stream.uniform(*funnel.opens_range)
    slope = stream.uniform(-MAX_TREND, MAX_TREND)
    jitter = funnel.rate_jitter
    factors = [1.0 + stream.uniform(-jitter, jitter) for _ in range(steps)]
    traffic_noise = level.traffic_noise * stream.normals(days)
    shape_noise = level.shape_noise * stream.normals(days)
    sampling_noise = level.sampling_noise * stream.normals(steps + 1, days, HOURS_PER_DAY)
    rate_noise = level.rate_noise * stream.normals(days, steps)

    week = level.weekday_factors or funnel.weekday_factors
    by_day = np.array([week[(first_weekday + day) % len(week)] for day in range(days)])
    trend = 1.0 + slope * (np.arange(days) / (days - 1) - 0.5)
    traffic = opens * by_day * trend * (1.0 + traffic_noise)

    lean = np.ones((days, HOURS_PER_DAY))
    lean[:, slice(*funnel.daytime)] += shape_noise[:, np.newaxis]
    shape = np.array(funnel.hour_weights) * lean
    # A running sum has one order of addition on every machine; a plain sum has several.
    shape /= np.add.accumulate(shape, axis=1)[:, -1:]

    rates = np.array(funnel.base_rates) * np.array(factors)
    daily_rates = np.minimum(rates * (1.0 + rate_noise), 1.0)

    counts = np.empty((days, HOURS_PER_DAY, steps + 1), dtype=np.int64)
    expected = traffic[:, np.newaxis] * shape
    above = np.maximum(np.rint(expected + np.sqrt(expected) * sampling_noise[0]), 0.0)
    counts[..., 0] = above
    for step in range(steps):
        rate = daily_rates[:, step, np.newaxis]
        expected = above * rate
        spread = np.sqrt(expected * (1.0 - rate)) * sampling_noise[step + 1]
        above = np.minimum(np.maximum(np.rint(expected + spread), 0.0), above)
        counts[..., step + 1] = above
    return counts
