"""What plays come to: means with intervals, pass rates and paired differences.

Intervals are 95 % percentile intervals of a bootstrap over tasks: a task's plays stay together,
because they are not independent of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import comb
from statistics import fmean, stdev

import numpy as np

from openenv_kit.results.scored_episodes import PlayerResults, ScoredEpisode, scores_by_episode
from openenv_kit.results.signal import ROLLOUTS_PER_GROUP, share_with_signal

BOOTSTRAP_RESAMPLES = 10_000
BOOTSTRAP_SEED = 20_250_101
"""Of the bootstrap: the same plays give the same interval."""
CONFIDENCE_LEVEL = 0.95
PASS_K_VALUES = (1, 4, 8)
"""Values of k that pass^k is reported for."""
MAX_VALUES_PER_BATCH = 1 << 20
"""Values that are drawn at a time, for the memory they take."""

ConfidenceInterval = tuple[float, float]


@dataclass(frozen=True)
class PlayerSummary:
    """What one player's plays come to.

    Attributes:
        rollout_count, error_count, task_count: numbers of plays with a score, of those that ended
            by an error, and of different episodes with a score.
        mean: mean over episodes of the mean score of each; None without a score.
        standard_error: standard error of the mean, over episodes; None with fewer than two.
        interval: of the mean; None with fewer than two episodes.
        pass_rates: by k, the chance that k plays of an episode all score 1.0; None where no episode
            was played k times, or with k > 1 where plays may be copies of each other. With k = 1
            this is the share of exact reports.
        signal: share of groups of plays of an episode that differ in score; see `signal`.
        evidence_share: mean of the plays that had something right and tell; None without one.
        tool_calls: mean.
        tokens, cost_usd, seconds: means of a play; None where some play does not tell.
    """

    name: str
    rollout_count: int
    error_count: int
    task_count: int
    mean: float | None
    standard_error: float | None
    interval: ConfidenceInterval | None
    pass_rates: Sequence[tuple[int, float | None]]
    signal: float | None
    evidence_share: float | None
    tool_calls: float | None
    tokens: float | None
    cost_usd: float | None
    seconds: float | None


@dataclass(frozen=True)
class PlayerDifference:
    """Two players on the episodes that both have a score for.

    Attributes:
        mean_difference: mean of the first one's score minus the second one's; None without a
            common episode.
        interval: of that; None with fewer than two.
    """

    first: str
    second: str
    task_count: int
    mean_difference: float | None
    interval: ConfidenceInterval | None


def summarize_player(player: PlayerResults, group_size: int = ROLLOUTS_PER_GROUP) -> PlayerSummary:
    """What a player's plays come to; `group` is the number of plays of a group for its signal."""
    scored = player.scored_rollouts
    by_task = scores_by_episode(scored)
    passes = pass_rates([score == 1.0 for score in scores] for scores in by_task.values())
    if not player.has_independent_rollouts:
        passes = tuple((k, rate if k == 1 else None) for k, rate in passes)
    means = [fmean(scores) for scores in by_task.values()]
    known = [play.evidence_share for play in scored if play.evidence_share is not None]
    return PlayerSummary(
        name=player.name,
        rollout_count=len(scored),
        error_count=len(player.rollouts) - len(scored),
        task_count=len(by_task),
        mean=fmean(means) if means else None,
        standard_error=stdev(means) / len(means) ** 0.5 if len(means) > 1 else None,
        interval=bootstrap_interval(means),
        pass_rates=passes,
        signal=share_with_signal(by_task.values(), group_size),
        evidence_share=fmean(known) if known else None,
        tool_calls=_mean_if_all_known(scored, lambda play: play.tool_calls),
        tokens=_mean_if_all_known(scored, lambda play: play.tokens),
        cost_usd=_mean_if_all_known(scored, lambda play: play.cost_usd),
        seconds=_mean_if_all_known(scored, lambda play: play.seconds),
    )


def paired_difference(first: PlayerResults, second: PlayerResults) -> PlayerDifference:
    """How much better the first player is, episode by episode."""
    mine, theirs = (
        scores_by_episode(first.scored_rollouts),
        scores_by_episode(second.scored_rollouts),
    )
    both = [fmean(mine[each]) - fmean(theirs[each]) for each in mine if each in theirs]
    mean = fmean(both) if both else None
    return PlayerDifference(first.name, second.name, len(both), mean, bootstrap_interval(both))


def pass_hat_k(perfect: Sequence[bool], k: int) -> float | None:
    """Unbiased estimate of the chance that k runs are all perfect; None with fewer than k."""
    if not 1 <= k <= len(perfect):
        return None
    return comb(sum(perfect), k) / comb(len(perfect), k)


def pass_rates(episodes: Iterable[Sequence[bool]]) -> tuple[tuple[int, float | None], ...]:
    """By k, the chance that k runs of an episode are all perfect.

    Args:
        episodes: which runs of each episode are perfect. With fewer than k runs of every one the
            chance is None.
    """
    found = tuple(episodes)
    rates = []
    for k in PASS_K_VALUES:
        known = [p for runs in found if (p := pass_hat_k(runs, k)) is not None]
        rates.append((k, fmean(known) if known else None))
    return tuple(rates)


def bootstrap_interval(values: Sequence[float]) -> ConfidenceInterval | None:
    """Interval of the mean of independent values; None with fewer than two."""
    if len(values) < 2:
        return None
    given, random = np.asarray(values), np.random.default_rng(BOOTSTRAP_SEED)
    at_a_time = max(1, MAX_VALUES_PER_BATCH // len(given))
    sizes = [
        min(at_a_time, BOOTSTRAP_RESAMPLES - start)
        for start in range(0, BOOTSTRAP_RESAMPLES, at_a_time)
    ]
    drawn = np.concatenate(
        [given[random.integers(0, len(given), (rows, len(given)))].mean(axis=1) for rows in sizes]
    )
    low, high = np.quantile(drawn, [(1 - CONFIDENCE_LEVEL) / 2, (1 + CONFIDENCE_LEVEL) / 2])
    return float(low), float(high)


def _mean_if_all_known(
    episodes: Sequence[ScoredEpisode], value: Callable[[ScoredEpisode], float | None]
) -> float | None:
    """Mean of what every play tells."""
    values = [value(play) for play in episodes]
    known = [each for each in values if each is not None]
    return fmean(known) if known and len(known) == len(values) else None
