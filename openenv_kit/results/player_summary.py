"""Scores and costs of one player, and the paired difference between two players.

Confidence intervals are bootstrapped over the mean scores of episodes, because rollouts of the same
episode are not independent of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from openenv_kit.results.scored_episodes import (
    PlayerResults,
    ScoredEpisode,
    group_scores_by_episode,
)
from openenv_kit.results.signal import (
    ROLLOUTS_PER_GROUP,
    mean_share_of_groups_with_signal_over_tasks,
)
from openenv_kit.results.statistics import (
    MeanInterval,
    PassRate,
    bootstrap_mean_interval,
    compute_pass_hat_k_rates,
    standard_error_of_mean,
)


@dataclass(frozen=True)
class PlayerSummary:
    """Scores, pass rates and costs of one player's rollouts.

    Attributes:
        rollout_count: number of rollouts that ended with a score.
        error_count: number of rollouts that ended with an error.
        task_count: number of distinct episodes with a score.
        mean: mean score, averaged per episode first and then over episodes; None if no rollout has
            a score.
        standard_error: standard error of the mean, over episodes; None for fewer than two episodes.
        interval: the mean and its confidence interval; None for fewer than two episodes.
        pass_rates: pass^k for several k. A rate is None if no episode has k rollouts, or for k > 1
            if the rollouts may be copies of each other. For k = 1, the rate is the share of exact
            reports.
        signal: share of groups with signal, see `mean_share_of_groups_with_signal_over_tasks`; None
            if no episode has enough rollouts for a group.
        evidence_share: mean of the known evidence shares; None if no share is known.
        tool_calls: mean number of tool calls per rollout.
        tokens: mean number of tokens per rollout; None if the number is unknown for any rollout.
        cost_usd: mean cost per rollout, in US dollars; None if it is unknown for any rollout.
        seconds: mean wall time per rollout; None if it is unknown for any rollout.
    """

    name: str
    rollout_count: int
    error_count: int
    task_count: int
    mean: float | None
    standard_error: float | None
    interval: MeanInterval | None
    pass_rates: Sequence[PassRate]
    signal: float | None
    evidence_share: float | None
    tool_calls: float | None
    tokens: float | None
    cost_usd: float | None
    seconds: float | None


@dataclass(frozen=True)
class PlayerDifference:
    """Difference between two players on the episodes for which both have a score.

    Attributes:
        task_count: number of common episodes.
        mean_difference: mean of the first player's score minus the second player's; None if there
            is no common episode.
        interval: the mean difference and its confidence interval; None for fewer than two episodes.
    """

    first: str
    second: str
    task_count: int
    mean_difference: float | None
    interval: MeanInterval | None


def summarize_player(player: PlayerResults, group_size: int = ROLLOUTS_PER_GROUP) -> PlayerSummary:
    """Compute the scores, pass rates and costs of a player.

    Args:
        player: the player's rollouts.
        group_size: number of rollouts in a group, used to compute the signal.
    """
    scored = player.scored_rollouts
    by_episode = group_scores_by_episode(scored)
    rates = compute_pass_hat_k_rates(
        [[score == 1.0 for score in scores] for scores in by_episode.values()]
    )
    if not player.has_independent_rollouts:
        rates = [rate if rate.k == 1 else PassRate(rate.k, None) for rate in rates]
    episode_means = [fmean(scores) for scores in by_episode.values()]
    evidence_shares = [
        rollout.evidence_share for rollout in scored if rollout.evidence_share is not None
    ]
    return PlayerSummary(
        name=player.name,
        rollout_count=len(scored),
        error_count=len(player.rollouts) - len(scored),
        task_count=len(by_episode),
        mean=fmean(episode_means) if episode_means else None,
        standard_error=standard_error_of_mean(episode_means),
        interval=bootstrap_mean_interval(episode_means),
        pass_rates=rates,
        signal=mean_share_of_groups_with_signal_over_tasks(by_episode.values(), group_size),
        evidence_share=fmean(evidence_shares) if evidence_shares else None,
        tool_calls=_mean_if_all_known(scored, lambda rollout: rollout.tool_calls),
        tokens=_mean_if_all_known(scored, lambda rollout: rollout.tokens),
        cost_usd=_mean_if_all_known(scored, lambda rollout: rollout.cost_usd),
        seconds=_mean_if_all_known(scored, lambda rollout: rollout.seconds),
    )


def compute_difference_on_common_episodes(
    first: PlayerResults, second: PlayerResults
) -> PlayerDifference:
    """Compute the difference between two players' mean scores on their common episodes."""
    first_scores = group_scores_by_episode(first.scored_rollouts)
    second_scores = group_scores_by_episode(second.scored_rollouts)
    differences = [
        fmean(scores) - fmean(second_scores[episode])
        for episode, scores in first_scores.items()
        if episode in second_scores
    ]
    return PlayerDifference(
        first=first.name,
        second=second.name,
        task_count=len(differences),
        mean_difference=fmean(differences) if differences else None,
        interval=bootstrap_mean_interval(differences),
    )


def _mean_if_all_known(
    rollouts: Sequence[ScoredEpisode], value_of: Callable[[ScoredEpisode], float | None]
) -> float | None:
    values = [value_of(rollout) for rollout in rollouts]
    known_values = [value for value in values if value is not None]
    is_complete = known_values and len(known_values) == len(values)
    return fmean(known_values) if is_complete else None
