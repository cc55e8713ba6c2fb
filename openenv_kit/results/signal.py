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
from openenv_kit.results.scored_episodes import Play, Player, scores_by_episode
from openenv_kit.rollouts.curriculum import DIFFERENCE

GROUP = 8
"""Plays of a group."""
CHOOSING = ("episode_id", "task_id", "seed", "split", "index", "difficulty")
"""Reset arguments that choose an episode; the others are how it is played."""


def signal(tasks: Iterable[Sequence[float]], group: int = GROUP) -> float | None:
    """Share of groups of plays of one task whose rewards differ by more than `DIFFERENCE`.

    Of a task with more plays than a group has, every choice of a group counts alike.

    Args:
        tasks: rewards of the plays of each task.
        group: plays of a group, at least 2.

    Returns:
        Mean over the tasks; None where none was played so often.
    """
    found = signals(tasks, group)
    return fmean(found) if found else None


def signals(tasks: Iterable[Sequence[float]], group: int = GROUP) -> list[float]:
    """The same of each task that was played often enough."""
    return [_differ(sorted(each), group) for each in tasks if len(each) >= group > 1]


def _differ(rewards: Sequence[float], group: int) -> float:
    """Share of the choices of a group from sorted rewards that differ."""
    alike = 0
    for place, least in enumerate(rewards):
        near = sum(each - least <= DIFFERENCE + 1e-9 for each in rewards[place + 1 :])
        alike += comb(near, group - 1)
    return 1.0 - alike / comb(len(rewards), group)


@dataclass(frozen=True)
class SignalLine:
    """What a player's plays of one level, played in one way, have for a trainer.

    Attributes:
        level: as the environment groups episodes; empty where it does not tell.
        mode: further arguments of the reset, such as the reward.
        tasks: that were played often enough for a group.
        mean: reward of a play.
        signal, error: see `signal`, and its standard error over tasks; None with too few tasks.
        tokens: mean of a play; None where some play does not tell.
    """

    player: str
    level: str
    mode: Mapping[str, Any] = field(default_factory=dict)
    tasks: int = 0
    mean: float | None = None
    signal: float | None = None
    error: float | None = None
    tokens: float | None = None
    group: int = GROUP

    @property
    def per_thousand(self) -> float | None:
        """Groups with signal per 1,000 tokens; None where tokens or signal are not known."""
        if self.signal is None or not self.tokens:
            return None
        return 1000.0 * self.signal / (self.group * self.tokens)


def lines(
    players: Iterable[Player], environment: Environment, group: int = GROUP
) -> Iterator[SignalLine]:
    """A line for each player, level and mode of play, in the order played."""
    for player in players:
        found: dict[str, tuple[SignalLine, list[Play]]] = {}
        current = dict(player.versions) == dict(environment.versions)
        for play in player.scored:
            # Which level an episode had is known only of this release's own versions.
            level = environment.groups(play.reset).get("level", "") if current else ""
            mode = {name: value for name, value in play.reset.items() if name not in CHOOSING}
            line = SignalLine(player.name, level, mode, group=group)
            found.setdefault(repr(line), (line, []))[1].append(play)
        for line, plays in found.values():
            yield _measured(line, plays)


def _measured(line: SignalLine, plays: Sequence[Play]) -> SignalLine:
    each = signals(scores_by_episode(plays).values(), line.group)
    tokens = [play.tokens for play in plays if play.tokens is not None]
    return replace(
        line,
        tasks=len(each),
        mean=fmean(play.score or 0.0 for play in plays),
        signal=fmean(each) if each else None,
        error=stdev(each) / len(each) ** 0.5 if len(each) > 1 else None,
        tokens=fmean(tokens) if len(tokens) == len(plays) else None,
    )
