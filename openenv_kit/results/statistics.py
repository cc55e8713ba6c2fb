"""Means with 95 % confidence intervals, and pass rates."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import comb, sqrt
from statistics import fmean, stdev
from typing import NamedTuple

import numpy as np

CONFIDENCE_LEVEL = 0.95
Z_SCORE_95 = 1.96
"""Half width of the 95 % interval of a normal distribution, in standard deviations."""
BOOTSTRAP_RESAMPLES = 10_000
BOOTSTRAP_SEED = 20_250_101
"""Fixed seed of the bootstrap, so that the same values give the same interval."""
MAX_VALUES_PER_BATCH = 1 << 20
"""Maximum number of values that the bootstrap draws at once; limits its memory use."""
PASS_K_VALUES = (1, 4, 8)
"""Values of k for which pass^k is reported."""


class MeanInterval(NamedTuple):
    """A mean and the ends of its 95 % confidence interval."""

    mean: float
    ci_low: float
    ci_high: float


class PassRate(NamedTuple):
    """Estimated probability that `k` rollouts of an episode all score 1.0; None if unknown."""

    k: int
    probability: float | None


def standard_error_of_mean(values: Sequence[float]) -> float | None:
    """Return the standard error of the mean of independent values; None for fewer than two."""
    return stdev(values) / len(values) ** 0.5 if len(values) > 1 else None


def clipped_normal_mean_interval(scores: Sequence[float]) -> MeanInterval:
    """Return the mean of scores and its interval by the normal approximation.

    The interval is clipped to [0, 1]. For a single score, both ends equal the score.
    """
    mean, count = fmean(scores), len(scores)
    half_width = Z_SCORE_95 * stdev(scores) / sqrt(count) if count > 1 else 0.0
    return MeanInterval(mean, max(mean - half_width, 0.0), min(mean + half_width, 1.0))


def bootstrap_mean_interval(values: Sequence[float]) -> MeanInterval | None:
    """Return the mean of independent values and its percentile bootstrap interval.

    Return None for fewer than two values.
    """
    if len(values) < 2:
        return None
    sample = np.asarray(values)
    generator = np.random.default_rng(BOOTSTRAP_SEED)
    rows_per_batch = max(1, MAX_VALUES_PER_BATCH // len(sample))
    batches = []
    for start in range(0, BOOTSTRAP_RESAMPLES, rows_per_batch):
        rows = min(rows_per_batch, BOOTSTRAP_RESAMPLES - start)
        positions = generator.integers(0, len(sample), (rows, len(sample)))
        batches.append(sample[positions].mean(axis=1))
    tail = (1 - CONFIDENCE_LEVEL) / 2
    ci_low, ci_high = np.quantile(np.concatenate(batches), [tail, (1 + CONFIDENCE_LEVEL) / 2])
    return MeanInterval(fmean(values), float(ci_low), float(ci_high))


def estimate_pass_hat_k(perfect_flags: Sequence[bool], k: int) -> float | None:
    """Return an unbiased estimate of the probability that k rollouts are all perfect.

    Args:
        perfect_flags: for each rollout of one episode, whether it scored 1.0.
        k: number of rollouts. The result is None for k below 1 or above the number of rollouts.
    """
    if not 1 <= k <= len(perfect_flags):
        return None
    return comb(sum(perfect_flags), k) / comb(len(perfect_flags), k)


def compute_pass_hat_k_rates(perfect_by_episode: Collection[Sequence[bool]]) -> list[PassRate]:
    """Estimate pass^k, averaged over episodes, for each k of `PASS_K_VALUES`.

    Args:
        perfect_by_episode: for each episode, whether each of its rollouts scored 1.0. Episodes with
            fewer than k rollouts are left out. If no episode is left, the probability is None.
    """
    rates = []
    for k in PASS_K_VALUES:
        estimates = [estimate_pass_hat_k(is_perfect, k) for is_perfect in perfect_by_episode]
        known_estimates = [estimate for estimate in estimates if estimate is not None]
        rates.append(PassRate(k, fmean(known_estimates) if known_estimates else None))
    return rates
