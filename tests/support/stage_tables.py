"""Tables of stage counts that are simulated with known levels, weekday factors and noise."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from openenv_kit.own_data.stage_counts import DayStatus, Grain, StageCounts

MONDAY = date(2024, 1, 1)
WEEKDAY_FACTORS = (1.2, 1.1, 1.05, 1.0, 1.0, 0.85, 0.8)
"""Factors of the simulated first count, whose mean is 1."""


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """Parameters of a simulated table.

    Attributes:
        stages: names of the stages.
        grain: whether the table has hours.
        days: number of days.
        first_level: mean of the first count at the start.
        growth: relative change of the first count from the first to the last day.
        rates: mean step rates.
        weekday_factors: seven factors of the first count, Monday first; 0 closes a weekday.
        noise: relative standard deviation of the first count.
        rate_noise: relative standard deviation of the step rates.
        lag1: autocorrelation of the noise.
        rate_correlation: correlation of the noise of the step rates.
        daytime_share: share of the first count from 8 to 20 o'clock.
        seed: seed of the random numbers.
    """

    stages: tuple[str, ...] = ("visits", "carts", "orders")
    grain: Grain = Grain.HOUR
    days: int = 364
    first_level: float = 50_000.0
    growth: float = 0.0
    rates: tuple[float, ...] = (0.5, 0.6)
    weekday_factors: tuple[float, ...] = WEEKDAY_FACTORS
    noise: float = 0.04
    rate_noise: float = 0.03
    lag1: float = 0.4
    rate_correlation: float = 0.5
    daytime_share: float = 0.7
    seed: int = 1


def simulate_table(simulation: Simulation) -> StageCounts:
    """Return a table with the parameters of a simulation, all of whose days are counted."""
    random = np.random.default_rng(simulation.seed)
    days, stage_count = simulation.days, len(simulation.stages)
    noise = _simulate_noise(random, simulation)
    weekday_factors = np.array(simulation.weekday_factors)[np.arange(days) % 7]
    trend = 1.0 + simulation.growth * np.arange(days) / (days - 1)
    totals = np.empty((days, stage_count))
    totals[:, 0] = simulation.first_level * weekday_factors * trend
    totals[:, 0] *= 1.0 + simulation.noise * noise[:, 0]
    for stage, rate in enumerate(simulation.rates, start=1):
        step_rates = rate * (1.0 + simulation.rate_noise * noise[:, stage])
        totals[:, stage] = totals[:, stage - 1] * np.clip(step_rates, 0.0, 1.0)
    hour_shares = np.ones(1)
    if simulation.grain == Grain.HOUR:
        hour_shares = np.full(24, (1.0 - simulation.daytime_share) / 12)
        hour_shares[8:20] = simulation.daytime_share / 12
    counts = np.rint(totals[:, np.newaxis, :] * hour_shares[np.newaxis, :, np.newaxis])
    status = [DayStatus.COUNTED if factor > 0.0 else DayStatus.CLOSED for factor in weekday_factors]
    return StageCounts(
        stages=simulation.stages,
        grain=simulation.grain,
        start=MONDAY,
        counts=counts.astype(np.int64),
        day_status=tuple(status),
    )


def _simulate_noise(random: np.random.Generator, simulation: Simulation) -> npt.NDArray[np.float64]:
    """Return standard normals with the given correlations, shape (days, stages)."""
    lag1, shared = simulation.lag1, np.sqrt(simulation.rate_correlation)
    stage_count = len(simulation.stages)
    innovations = random.standard_normal((simulation.days, stage_count))
    common = random.standard_normal((simulation.days, 1))
    innovations[:, 1:] = shared * common + np.sqrt(1.0 - shared**2) * innovations[:, 1:]
    noise = np.empty_like(innovations)
    noise[0] = innovations[0]
    for day in range(1, simulation.days):
        noise[day] = lag1 * noise[day - 1] + np.sqrt(1.0 - lag1**2) * innovations[day]
    return noise
