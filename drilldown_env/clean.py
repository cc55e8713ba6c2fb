"""Clean data: expected traffic and step rates of every leaf and day, and the sampling of counts.

Only operations that IEEE 754 rounds exactly are used, in one fixed order. All randomness of an
episode's numbers is drawn here, before any cause is planned: undoing a cause is the same draw with
the factor 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from drilldown_env.config import DAYS
from drilldown_env.cube import Floats, cube_of
from drilldown_env.domain import STAGES, Domain
from drilldown_env.levels import Noise
from openenv_kit.bitstream import BitStream

HIGHEST_RATE = 0.985
_UNIT = 2.0**-53


@dataclass(frozen=True)
class Clean:
    """One clean model.

    Attributes:
        traffic: expected first-stage counts, shape (leaves, days).
        rates: step rates, shape (4, leaves, days).
        weekly_traffic, weekly_rates: the same without day noise and trend, by weekday of the
            episode (day modulo 7); shapes (leaves, 7) and (4, leaves, 7).
        noise: standard variates of the counts, shape (5, leaves, days).
    """

    traffic: Floats
    rates: Floats
    weekly_traffic: Floats
    weekly_rates: Floats
    noise: Floats


def draw_clean(stream: BitStream, domain: Domain, noise: Noise) -> Clean:
    """The clean model of a draw.

    Args:
        stream: its next words are used.
        domain: the product.
        noise: how noisy days are.
    """
    cube = cube_of(domain.shape)
    low, high = noise.visits
    visits = (low + (high - low) * stream.uniform()) * domain.volume
    places = cube.leaf_values
    own_week, own_noise = places[:, domain.weekly_dim], places[:, domain.noisy_dim]
    noisy_values, weekly_values = domain.shape[domain.noisy_dim], domain.shape[domain.weekly_dim]

    share = np.ones(cube.leaves)
    for axis, dim in enumerate(domain.dims):
        weights = np.array([weight for _, weight in dim.values])
        share = share * (weights * (1.0 + 0.15 * _uniforms(stream, len(weights))))[places[:, axis]]
    for one, other in combinations(range(len(domain.dims)), 2):
        tie = 1.0 + domain.affinity * _uniforms(stream, domain.shape[one], domain.shape[other])
        share = share * tie[places[:, one], places[:, other]]
    share = share / np.add.accumulate(share)[-1]

    pattern = 1.0 + 0.10 * _uniforms(stream, weekly_values, 7)
    by_weekday = np.array(domain.weekday) * pattern[own_week]
    weekly_traffic = (visits * share)[:, None] * by_weekday
    slope = 0.03 * stream.uniform(-1.0, 1.0)
    trend = 1.0 + slope * (2.0 * np.arange(DAYS) / (DAYS - 1) - 1.0)
    common = trend * (1.0 + noise.traffic * stream.draw_normals(DAYS))
    own = 1.0 + noise.traffic_value * stream.draw_normals(noisy_values, DAYS)
    traffic = np.tile(weekly_traffic, 8) * (own * common)[own_noise]

    rates, weekly_rates = [], []
    for base in domain.base_rates:
        effect = np.ones(cube.leaves)
        jittered = base * (1.0 + 0.03 * stream.uniform(-1.0, 1.0))
        for axis, dim in enumerate(domain.dims):
            values = 1.0 + dim.rate_effect * _uniforms(stream, len(dim.values))
            effect = effect * values[places[:, axis]]
        level = jittered * effect if base <= 0.6 else 1.0 - (1.0 - jittered) * effect
        level = np.minimum(level, 0.9)
        by_day = 1.0 + 0.02 * _uniforms(stream, 7)
        weekly = level[:, None] * by_day
        common = 1.0 + noise.rate * stream.draw_normals(DAYS)
        own = 1.0 + noise.rate_value * stream.draw_normals(noisy_values, DAYS)
        weekly_rates.append(weekly)
        rates.append(np.minimum(np.tile(weekly, 8) * (own * common)[own_noise], HIGHEST_RATE))
    return Clean(
        traffic=traffic,
        rates=np.stack(rates),
        weekly_traffic=weekly_traffic,
        weekly_rates=np.stack(weekly_rates),
        noise=stream.draw_normals(STAGES, cube.leaves, DAYS),
    )


def sample(clean: Clean, traffic: Floats, rates: Floats) -> NDArray[np.int32]:
    """Counts, shape (leaves, stages, days), of given traffic and rates under the model's noise."""
    counts = np.maximum(np.rint(traffic + np.sqrt(traffic) * clean.noise[0]), 0.0)
    found = [counts]
    for step in range(STAGES - 1):
        mean = counts * rates[step]
        spread = np.sqrt(mean * (1.0 - rates[step]))
        drawn = np.rint(mean + spread * clean.noise[step + 1])
        counts = np.minimum(np.maximum(drawn, 0.0), counts)
        found.append(counts)
    return np.ascontiguousarray(np.stack(found, axis=1).astype(np.int32))


def _uniforms(stream: BitStream, *shape: int) -> Floats:
    """Uniform variates in [−1, 1)."""
    words = stream.read_raw_words(int(np.prod(shape))) >> np.uint64(11)
    return (2.0 * (words.astype(np.float64) * _UNIT) - 1.0).reshape(shape)
