"""Clean data: the hourly counts of an uneventful episode."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metric_tracker_rl.engine.funnel import HOURS, Funnel
from metric_tracker_rl.engine.generation.effects import to_whole
from metric_tracker_rl.engine.generation.lockstep import alike
from metric_tracker_rl.engine.levels import Level
from metric_tracker_rl.engine.series import Floats, Ints, daily_values
from openenv_kit.bitstream import BitStream

TREND = 0.04
"""Largest relative change of traffic from the first to the last day of an episode."""
AT_ONCE = 4
"""Episodes whose hours are computed at once: the arrays of more outgrow a processor's cache."""


class CleanDraw(NamedTuple):
    """What is drawn for clean data.

    Attributes:
        factors: the weekday's factor of each day.
        opens: mean daily count of the first stage.
        slope: relative change of traffic from the first to the last day.
        rates: the episode's own step rates, as fractions.
        normals: of the noise; as many as `_clean_counts` reads.
    """

    funnel: Funnel
    level: Level
    factors: Sequence[float]
    opens: float
    slope: float
    rates: Sequence[float]
    normals: Floats


def draw_clean(stream: BitStream, funnel: Funnel, level: Level, weekday: int) -> CleanDraw:
    """Everything that clean data from a weekday on, 0 for Monday, are computed from."""
    opens = stream.uniform(*funnel.opens_range)
    slope = stream.uniform(-TREND, TREND)
    rates = [
        rate * (1.0 + stream.uniform(-funnel.rate_jitter, funnel.rate_jitter))
        for rate in funnel.base_rates
    ]
    week = (level.weekday_factors or funnel.weekday_factors) * 2
    by_day = (week[weekday : weekday + 7] * -(-level.days // 7))[: level.days]
    steps = len(rates)
    # Days of traffic, of shape and of each rate; hours of each stage.
    normals = level.days * (2 + steps + HOURS * (steps + 1))
    return CleanDraw(funnel, level, by_day, opens, slope, rates, stream.normals(normals))


@alike(lambda draw: (draw.funnel.drawn_as, draw.level.days), AT_ONCE)
def clean_days(draws: Sequence[CleanDraw]) -> list[tuple[Ints, Floats]]:
    """Hourly counts, shape (days, 24, stages), and displayed daily values of each draw."""
    counts = _clean_counts(draws)
    values = daily_values(counts, draws[0].funnel)
    # Copies, so that an episode that is kept does not keep its company.
    return [(hourly.copy(), daily.copy()) for hourly, daily in zip(counts, values, strict=True)]


def _clean_counts(draws: Sequence[CleanDraw]) -> Ints:
    """Hourly counts of draws of one funnel and length, shape (draws, days, 24, stages)."""
    funnel, days = draws[0].funnel, draws[0].level.days
    steps = len(funnel.base_rates)
    shape = (steps + 1, days, HOURS)
    normals = np.array([draw.normals for draw in draws])
    parts = np.split(normals, np.cumsum([days, days, math.prod(shape)]), axis=1)

    def each(values: Sequence[float], dimensions: int = 1) -> Floats:
        """A number of each draw, to be combined with arrays of so many more dimensions."""
        return np.array(values).reshape(-1, *[1] * dimensions)

    levels = [draw.level for draw in draws]
    trend = 1.0 + each([draw.slope for draw in draws]) * (np.arange(days) / (days - 1) - 0.5)
    weekday = np.array([draw.factors for draw in draws])
    traffic = each([draw.opens for draw in draws]) * weekday * trend
    traffic *= 1.0 + each([level.traffic_noise for level in levels]) * parts[0]

    begin, end = funnel.daytime
    lean = np.ones((len(draws), days, HOURS))
    shift = each([level.shape_noise for level in levels]) * parts[1]
    lean[:, :, begin:end] += shift[:, :, np.newaxis]
    shape_of_day = np.array(funnel.hour_weights) * lean
    # A running sum has one order of addition on every machine; a plain sum has several.
    shape_of_day = shape_of_day / np.add.accumulate(shape_of_day, axis=-1)[..., -1:]

    sampling_noise = each([level.sampling_noise for level in levels], 3)
    noise = parts[2].reshape(-1, *shape) * sampling_noise
    rate_noise = each([level.rate_noise for level in levels], 2)
    rates = np.array([draw.rates for draw in draws])[:, np.newaxis]
    daily_rates = rates * (1.0 + rate_noise * parts[3].reshape(-1, days, steps))

    counts = np.empty((len(draws), days, HOURS, steps + 1), dtype=np.int64)
    expected = traffic[:, :, np.newaxis] * shape_of_day
    above = to_whole(expected + np.sqrt(expected) * noise[:, 0])
    counts[..., 0] = above
    for step in range(steps):
        rate = np.minimum(daily_rates[:, :, step : step + 1], 1.0)
        expected = above * rate
        spread = np.sqrt(expected * (1.0 - rate))
        spread *= noise[:, step + 1]
        spread += expected
        above = np.minimum(to_whole(spread), above)
        counts[..., step + 1] = above
    return counts
