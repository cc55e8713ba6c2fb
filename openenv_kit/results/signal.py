"""Signal: how often a group of plays of one task differs enough in reward to learn from.

A group-relative method learns from differences within a group alone: a group whose rewards are all
alike costs its tokens and moves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import comb
from statistics import fmean, stdev
from typing import Any

from openenv_kit.environment import Environment
from openenv_kit.reset_arguments import get_mode_arguments
from openenv_kit.results.scored_episodes import PlayerResults, ScoredEpisode, scores_by_episode
from openenv_kit.rollouts.curriculum import MIN_REWARD_DIFFERENCE

ROLLOUTS_PER_GROUP = 8
"""Plays of a group."""


def share_with_signal(
    rewards_by_task: Iterable[Sequence[float]], group_size: int = ROLLOUTS_PER_GROUP
) -> float | None:
    """Compute the share of groups of one task's plays whose rewards differ enough to learn from.

    They differ enough if the largest and the smallest are more than `MIN_REWARD_DIFFERENCE` apart.
    Of a task with more plays than a group has, every choice of a group counts alike.

    Args:
        rewards_by_task: rewards of the plays of each task.
        group_size: plays of a group, at least 2.

    Returns:
        Mean over the tasks; None where none was played so often.
    """
    found = signal_per_task(rewards_by_task, group_size)
    return fmean(found) if found else None


def signal_per_task(
    rewards_by_task: Iterable[Sequence[float]], group_size: int = ROLLOUTS_PER_GROUP
) -> list[float]:
    """The same of each task that was played often enough."""
    return [
        _share_of_groups_that_differ(sorted(each), group_size)
        for each in rewards_by_task
        if len(each) >= group_size > 1
    ]


def _share_of_groups_that_differ(rewards: Sequence[float], group_size: int) -> float:
    """Share of the choices of a group from sorted rewards that differ."""
    alike = 0
    for place, least in enumerate(rewards):
        near = sum(each - least <= MIN_REWARD_DIFFERENCE + 1e-9 for each in rewards[place + 1 :])
        alike += comb(near, group_size - 1)
    return 1.0 - alike / comb(len(rewards), group_size)


@dataclass(frozen=True)
class LevelSignal:
    """What a player's plays of one level, played in one way, have for a trainer.

    Attributes:
        level: as the environment groups episodes; empty where it does not tell.
        mode: further arguments of the reset, such as the reward.
        task_count: that were played often enough for a group.
        mean_reward: reward of a play.
        signal, standard_error: see `signal`, and its standard error over tasks; None with too few
            tasks.
        mean_tokens: mean of a play; None where some play does not tell.
    """

    player: str
    level: str
    mode: Mapping[str, Any] = field(default_factory=dict)
    task_count: int = 0
    mean_reward: float | None = None
    signal: float | None = None
    standard_error: float | None = None
    mean_tokens: float | None = None
    group_size: int = ROLLOUTS_PER_GROUP

    @property
    def per_1000_tokens(self) -> float | None:
        """Groups with signal per 1,000 tokens; None where tokens or signal are not known."""
        if self.signal is None or not self.mean_tokens:
            return None
        return 1000.0 * self.signal / (self.group_size * self.mean_tokens)


def signal_by_level(
    players: Iterable[PlayerResults], environment: Environment, group_size: int = ROLLOUTS_PER_GROUP
) -> Iterator[LevelSignal]:
    """A line for each player, level and mode of play, in the order played."""
    for player in players:
        found: dict[str, tuple[LevelSignal, list[ScoredEpisode]]] = {}
        current = dict(player.versions) == dict(environment.versions)
        for play in player.scored_rollouts:
            # Which level an episode had is known only of this release's own versions.
            level = environment.result_labels(play.reset).get("level", "") if current else ""
            mode = get_mode_arguments(environment.reset_arguments, play.reset)
            line = LevelSignal(player.name, level, mode, group_size=group_size)
            found.setdefault(repr(line), (line, []))[1].append(play)
        for line, plays in found.values():
            yield _measure_level(line, plays)


def _measure_level(line: LevelSignal, episodes: Sequence[ScoredEpisode]) -> LevelSignal:
    each = signal_per_task(scores_by_episode(episodes).values(), line.group_size)
    tokens = [play.tokens for play in episodes if play.tokens is not None]
    return replace(
        line,
        task_count=len(each),
        mean_reward=fmean(play.score or 0.0 for play in episodes),
        signal=fmean(each) if each else None,
        standard_error=stdev(each) / len(each) ** 0.5 if len(each) > 1 else None,
        mean_tokens=fmean(tokens) if len(tokens) == len(episodes) else None,
    )
