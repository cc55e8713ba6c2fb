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

from openenv_kit.results.scored_episodes import Play, Player, scores_by_episode
from openenv_kit.results.signal import GROUP, signal

RESAMPLES = 10_000
SEED = 20_250_101
"""Of the bootstrap: the same plays give the same interval."""
LEVEL = 0.95
PASS_POWERS = (1, 4, 8)
"""Values of k that pass^k is reported for."""
MOST_DRAWN = 1 << 20
"""Values that are drawn at a time, for the memory they take."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class Summary:
    """What one player's plays come to.

    Attributes:
        plays, errors, tasks: numbers of plays with a score, of those that ended by an error, and
            of different episodes with a score.
        mean: mean over episodes of the mean score of each; None without a score.
        error: standard error of the mean, over episodes; None with fewer than two.
        interval: of the mean; None with fewer than two episodes.
        passes: by k, the chance that k plays of an episode all score 1.0; None where no episode
            was played k times, or with k > 1 where plays may be copies of each other. With k = 1
            this is the share of exact reports.
        signal: share of groups of plays of an episode that differ in score; see `signal`.
        grounded: mean of the plays that had something right and tell; None without one.
        tool_calls: mean.
        tokens, cost, seconds: means of a play; None where some play does not tell.
    """

    name: str
    plays: int
    errors: int
    tasks: int
    mean: float | None
    error: float | None
    interval: Interval | None
    passes: Sequence[tuple[int, float | None]]
    signal: float | None
    grounded: float | None
    tool_calls: float | None
    tokens: float | None
    cost: float | None
    seconds: float | None


@dataclass(frozen=True)
class Difference:
    """Two players on the episodes that both have a score for.

    Attributes:
        mean: of the first one's score minus the second one's; None without a common episode.
        interval: of that; None with fewer than two.
    """

    first: str
    second: str
    tasks: int
    mean: float | None
    interval: Interval | None


def summary(player: Player, group: int = GROUP) -> Summary:
    """What a player's plays come to; `group` is the number of plays of a group for its signal."""
    scored = player.scored
    by_task = scores_by_episode(scored)
    passes = pass_rates([score == 1.0 for score in scores] for scores in by_task.values())
    if not player.has_independent_plays:
        passes = tuple((k, rate if k == 1 else None) for k, rate in passes)
    means = [fmean(scores) for scores in by_task.values()]
    known = [play.grounded for play in scored if play.grounded is not None]
    return Summary(
        name=player.name,
        plays=len(scored),
        errors=len(player.plays) - len(scored),
        tasks=len(by_task),
        mean=fmean(means) if means else None,
        error=stdev(means) / len(means) ** 0.5 if len(means) > 1 else None,
        interval=interval(means),
        passes=passes,
        signal=signal(by_task.values(), group),
        grounded=fmean(known) if known else None,
        tool_calls=_mean(scored, lambda play: play.tool_calls),
        tokens=_mean(scored, lambda play: play.tokens),
        cost=_mean(scored, lambda play: play.cost),
        seconds=_mean(scored, lambda play: play.seconds),
    )


def difference(first: Player, second: Player) -> Difference:
    """How much better the first player is, episode by episode."""
    mine, theirs = scores_by_episode(first.scored), scores_by_episode(second.scored)
    both = [fmean(mine[each]) - fmean(theirs[each]) for each in mine if each in theirs]
    mean = fmean(both) if both else None
    return Difference(first.name, second.name, len(both), mean, interval(both))


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
    for k in PASS_POWERS:
        known = [p for runs in found if (p := pass_hat_k(runs, k)) is not None]
        rates.append((k, fmean(known) if known else None))
    return tuple(rates)


def interval(values: Sequence[float]) -> Interval | None:
    """Interval of the mean of independent values; None with fewer than two."""
    if len(values) < 2:
        return None
    given, random = np.asarray(values), np.random.default_rng(SEED)
    at_a_time = max(1, MOST_DRAWN // len(given))
    sizes = [min(at_a_time, RESAMPLES - start) for start in range(0, RESAMPLES, at_a_time)]
    drawn = np.concatenate(
        [given[random.integers(0, len(given), (rows, len(given)))].mean(axis=1) for rows in sizes]
    )
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _mean(plays: Sequence[Play], value: Callable[[Play], float | None]) -> float | None:
    """Mean of what every play tells."""
    values = [value(play) for play in plays]
    known = [each for each in values if each is not None]
    return fmean(known) if known and len(known) == len(values) else None
