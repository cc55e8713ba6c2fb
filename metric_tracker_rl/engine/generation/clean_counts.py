"""Generates clean counts, which are hourly counts without anomalies and calendar events."""

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
    """Generate hourly counts without anomalies and calendar events, shape (days, 24, stages).

    Args:
        stream: random stream; the order of the draws determines the counts.
        funnel: funnel that provides the base rates and the distribution of traffic over a day.
        level: level that provides the number of days and the noise.
        first_weekday: weekday of the first day, 0 for Monday.

    Raises:
        ValueError: the funnel has no model of clean counts.
    """
    model, daytime = funnel.clean_counts, funnel.daytime
    if model is None or daytime is None:
        raise ValueError(f"The funnel {funnel.name!r} has no model of clean counts.")
    days, steps = level.days, len(model.base_rates)
    mean_opens = stream.uniform(*model.opens_range)
    slope = stream.uniform(-MAX_TREND, MAX_TREND)
    jitter = model.rate_jitter
    rate_factors = [1.0 + stream.uniform(-jitter, jitter) for _ in range(steps)]
    traffic_noise = level.traffic_noise * stream.draw_normals(days)
    shape_noise = level.shape_noise * stream.draw_normals(days)
    sampling_noise = level.sampling_noise * stream.draw_normals(steps + 1, days, HOURS_PER_DAY)
    rate_noise = level.rate_noise * stream.draw_normals(days, steps)

    weekday_factors = level.weekday_factors or model.weekday_factors
    factors_by_day = np.array(
        [weekday_factors[(first_weekday + day) % len(weekday_factors)] for day in range(days)]
    )
    trend = 1.0 + slope * (np.arange(days) / (days - 1) - 0.5)
    traffic = mean_opens * factors_by_day * trend * (1.0 + traffic_noise)

    day_night_shift = np.ones((days, HOURS_PER_DAY))
    day_night_shift[:, slice(*daytime)] += shape_noise[:, np.newaxis]
    hour_shares = np.array(model.hour_weights) * day_night_shift
    # Unlike a plain sum, a cumulative sum adds in the same order on every machine.
    hour_shares /= np.add.accumulate(hour_shares, axis=1)[:, -1:]

    rates = np.array(model.base_rates) * np.array(rate_factors)
    daily_rates = np.minimum(rates * (1.0 + rate_noise), 1.0)

    counts = np.empty((days, HOURS_PER_DAY, steps + 1), dtype=np.int64)
    expected = traffic[:, np.newaxis] * hour_shares
    stage_counts = np.maximum(np.rint(expected + np.sqrt(expected) * sampling_noise[0]), 0.0)
    counts[..., 0] = stage_counts
    for step in range(steps):
        rate = daily_rates[:, step, np.newaxis]
        expected = stage_counts * rate
        noise = np.sqrt(expected * (1.0 - rate)) * sampling_noise[step + 1]
        sampled = np.maximum(np.rint(expected + noise), 0.0)
        stage_counts = np.minimum(sampled, stage_counts)
        counts[..., step + 1] = stage_counts
    return counts
