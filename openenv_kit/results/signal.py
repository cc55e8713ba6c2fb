"""Measures the signal: the share of rollout groups with enough reward difference to learn from.

Group-relative methods such as GRPO learn only from differences within a group. A group with equal
rewards costs tokens but does not change the model.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from statistics import fmean
from typing import Any

from openenv_kit.environment import Environment
from openenv_kit.reset_arguments import drop_task_seed_and_level
from openenv_kit.results.scored_episodes import (
    PlayerResults,
    ScoredEpisode,
    group_scores_by_episode,
)
from openenv_kit.results.statistics import standard_error_of_mean
from openenv_kit.rollouts.curriculum import MIN_REWARD_DIFFERENCE

ROLLOUTS_PER_GROUP = 8
ROUNDING_TOLERANCE = 1e-9
"""Rounding tolerance, so that a difference of exactly `MIN_REWARD_DIFFERENCE` does not count."""


def mean_share_of_groups_with_signal_over_tasks(
    rewards_by_task: Iterable[Sequence[float]], group_size: int = ROLLOUTS_PER_GROUP
) -> float | None:
    """Return the share of groups with signal, averaged over tasks.

    A group consists of rollouts of one task. It has signal if its largest and smallest reward are
    more than `MIN_REWARD_DIFFERENCE` apart. If a task has more rollouts than a group, all possible
    groups are counted.

    Args:
        rewards_by_task: for each task, the rewards of its rollouts.
        group_size: number of rollouts in a group, at least 2.

    Returns:
        A share from 0 to 1; None if no task has `group_size` rollouts.
    """
    shares = share_of_groups_with_signal_per_large_enough_task(rewards_by_task, group_size)
    return fmean(shares) if shares else None


def share_of_groups_with_signal_per_large_enough_task(
    rewards_by_task: Iterable[Sequence[float]], group_size: int = ROLLOUTS_PER_GROUP
) -> list[float]:
    """Return the share of groups with signal for each task with at least `group_size` rollouts."""
    return [
        _share_of_groups_with_different_rewards(sorted(rewards), group_size)
        for rewards in rewards_by_task
        if len(rewards) >= group_size > 1
    ]


def _share_of_groups_with_different_rewards(
    sorted_rewards: Sequence[float], group_size: int
) -> float:
    groups_without_signal = 0
    for position, lowest in enumerate(sorted_rewards):
        # Count the groups without signal whose lowest reward is at this position.
        limit = MIN_REWARD_DIFFERENCE + ROUNDING_TOLERANCE
        close = sum(reward - lowest <= limit for reward in sorted_rewards[position + 1 :])
        groups_without_signal += comb(close, group_size - 1)
    return 1.0 - groups_without_signal / comb(len(sorted_rewards), group_size)


@dataclass(frozen=True)
class LevelSignal:
    """Signal of one player's rollouts on one level in one mode of play.

    Attributes:
        level: level of the episodes; empty if the environment has no levels.
        mode: reset arguments that select a mode of play, such as `reward`.
        task_count: number of tasks with at least `group_size` rollouts.
        mean_reward: mean reward of a rollout.
        signal: share of groups with signal; None if no task has enough rollouts.
        standard_error: standard error of `signal` over tasks; None for fewer than two tasks.
        mean_tokens: mean number of tokens per rollout; None if it is unknown for any rollout.
        group_size: number of rollouts in a group.
    """

    player: str
    level: str
    mode: Mapping[str, Any]
    task_count: int
    mean_reward: float
    signal: float | None
    standard_error: float | None
    mean_tokens: float | None
    group_size: int

    @property
    def groups_with_signal_per_1000_tokens(self) -> float | None:
        """Expected groups with signal per 1,000 tokens; None if tokens or signal are unknown."""
        if self.signal is None or not self.mean_tokens:
            return None
        return 1000.0 * self.signal / (self.group_size * self.mean_tokens)


@dataclass(frozen=True)
class _LevelAndMode:
    """Level and mode of play by which rollouts are grouped."""

    level: str
    mode_json: str


def measure_signal_by_level_and_mode(
    players: Iterable[PlayerResults], environment: Environment, group_size: int = ROLLOUTS_PER_GROUP
) -> Iterator[LevelSignal]:
    """Yield the signal of each player for each combination of level and mode of play.

    If a player's rollouts were played with a different environment version, the level is empty,
    because the same task may have had a different level in that version.
    """
    for player in players:
        is_current = dict(player.versions) == dict(environment.versions)
        rollouts_by_key: defaultdict[_LevelAndMode, list[ScoredEpisode]] = defaultdict(list)
        for rollout in player.scored_rollouts:
            level = (
                environment.build_result_labels(rollout.reset).get("level", "")
                if is_current
                else ""
            )
            mode = drop_task_seed_and_level(environment.reset_arguments, rollout.reset)
            mode_json = json.dumps(mode, sort_keys=True, default=repr)
            rollouts_by_key[_LevelAndMode(level, mode_json)].append(rollout)
        for key, rollouts in rollouts_by_key.items():
            mode = drop_task_seed_and_level(environment.reset_arguments, rollouts[0].reset)
            yield _measure_level_signal(player.name, key.level, mode, rollouts, group_size)


def _measure_level_signal(
    player_name: str,
    level: str,
    mode: Mapping[str, Any],
    rollouts: Sequence[ScoredEpisode],
    group_size: int,
) -> LevelSignal:
    shares = share_of_groups_with_signal_per_large_enough_task(
        group_scores_by_episode(rollouts).values(), group_size
    )
    tokens = [rollout.tokens for rollout in rollouts if rollout.tokens is not None]
    return LevelSignal(
        player=player_name,
        level=level,
        mode=mode,
        task_count=len(shares),
        mean_reward=fmean(rollout.score or 0.0 for rollout in rollouts),
        signal=fmean(shares) if shares else None,
        standard_error=standard_error_of_mean(shares),
        mean_tokens=fmean(tokens) if len(tokens) == len(rollouts) else None,
        group_size=group_size,
    )
