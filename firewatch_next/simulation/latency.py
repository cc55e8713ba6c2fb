"""Latency as a sum of log-normal modes, with tabulated quantiles instead of exponentials.

A log-normal value half a standard deviation above another is `step` times as large. The quantiles
of a mode at −3, −2.5 … 3 standard deviations are therefore its median times a power of `step`, and
their cumulative shares are those of the normal distribution. Between two quantiles, shares are
interpolated linearly.
"""

from __future__ import annotations

from functools import lru_cache

from firewatch_next.simulation.service import Mode

# Normal distribution function at −3, −2.5 … 3 (13 points). Below the first point the share is 0 and
# above the last one 1.
CUMULATIVE = (
    0.00135, 0.00621, 0.02275, 0.06681, 0.15866, 0.30854, 0.5,
    0.69146, 0.84134, 0.93319, 0.97725, 0.99379, 0.99865,
)  # fmt: skip
MEDIAN_INDEX = 6
TIMED_OUT_STEP = 1.002  # timed-out requests all take about as long as the timeout
MAX_MODES = 5
LATENCY_BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@lru_cache(maxsize=256)
def quantile_ratios(step: float) -> tuple[float, ...]:
    """Return the 13 quantiles of a mode divided by its median."""
    ratios = [1.0]
    for _ in range(MEDIAN_INDEX):
        ratios.append(ratios[-1] * step)
    return tuple(1.0 / ratio for ratio in reversed(ratios[1:])) + tuple(ratios)


@lru_cache(maxsize=256)
def mean_ratio(step: float) -> float:
    """Return the mean of a mode divided by its median."""
    ratios = quantile_ratios(step)
    mean = ratios[0] * CUMULATIVE[0] + ratios[-1] * (1.0 - CUMULATIVE[-1])
    for lower in range(len(ratios) - 1):
        share = CUMULATIVE[lower + 1] - CUMULATIVE[lower]
        mean += share * (ratios[lower] + ratios[lower + 1]) * 0.5
    return mean


def share_above(median: float, step: float, seconds: float) -> float:
    """Return the share of a mode that takes longer than `seconds`."""
    ratios = quantile_ratios(step)
    ratio = seconds / median
    if ratio >= ratios[-1]:
        return 0.0
    if ratio <= ratios[0]:
        return 1.0
    upper = 1
    while ratios[upper] < ratio:
        upper += 1
    low, high = ratios[upper - 1], ratios[upper]
    below = CUMULATIVE[upper - 1]
    below += (CUMULATIVE[upper] - below) * (ratio - low) / (high - low)
    return 1.0 - below


def share_of_modes_above(modes: tuple[Mode, ...], seconds: float) -> float:
    """Return the share of requests that take longer than `seconds`."""
    share = 0.0
    for mode in modes:
        share += mode.share * share_above(mode.median, mode.step, seconds)
    return share


def mean_of_modes(modes: tuple[Mode, ...], max_seconds: float) -> float:
    """Return the mean latency in seconds, where no request counts for more than `max_seconds`."""
    total = 0.0
    for mode in modes:
        mean = mode.median * mean_ratio(mode.step)
        total += mode.share * (mean if mean < max_seconds else max_seconds)
    return total


def quantile_of_modes(modes: tuple[Mode, ...], share: float) -> float:
    """Return the latency in seconds that this share of the requests stays below.

    Args:
        modes: their shares add up to 1.
        share: such as 0.99.
    """
    low = 0.0
    high = max(mode.median * quantile_ratios(mode.step)[-1] for mode in modes)
    for _ in range(30):
        middle = (low + high) * 0.5
        if 1.0 - share_of_modes_above(modes, middle) < share:
            low = middle
        else:
            high = middle
    return high


def bucket_shares(modes: tuple[Mode, ...]) -> tuple[float, ...]:
    """Return the share of requests at or below each of `LATENCY_BUCKETS_SECONDS`."""
    return tuple(1.0 - share_of_modes_above(modes, edge) for edge in LATENCY_BUCKETS_SECONDS)


def combine_modes(fast: Mode, others: list[Mode]) -> tuple[Mode, ...]:
    """Return the fast mode and the four others with the largest share × delay.

    The shares of `others` are taken from the fast mode. If they exceed 1, the shortest delays give
    way and the fast mode keeps nothing.
    """
    if not others:
        return (fast,)
    if len(others) >= MAX_MODES:
        others.sort(key=lambda mode: mode.share * (mode.median - fast.median), reverse=True)
        del others[MAX_MODES - 1 :]
    total = 0.0
    for mode in others:
        total += mode.share
    if total > 1.0:
        others = _keep_longest_delays(others)
        total = 1.0
    return (Mode(1.0 - total, fast.median, fast.step), *others)


def _keep_longest_delays(modes: list[Mode]) -> list[Mode]:
    """Return the modes with the shares of the shortest delays cut, so that they add up to 1.

    A request with two delays takes at least as long as the longer one.
    """
    left, kept = 1.0, []
    for mode in sorted(modes, key=lambda mode: mode.median, reverse=True):
        share = mode.share if mode.share < left else left
        kept.append(Mode(share, mode.median, mode.step))
        left -= share
    return [mode for mode in kept if mode.share > 0.0]
