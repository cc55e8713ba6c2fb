"""From a configuration to its episode: draws until one is accepted and the reference solves it.

The reference reads tool replies and nothing else, so that every episode is known to be solvable
within its budget. On the level that is read by SQL it is not asked: an episode's bytes must not
depend on a database. A certificate tells there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from metric_tracker_rl.drilldown.arguments import NoArguments
from metric_tracker_rl.drilldown.config import DEFAULT_MAX_STEPS, DrillConfig
from metric_tracker_rl.drilldown.episode import Episode, episode_from_draw
from metric_tracker_rl.drilldown.generator import Draw, attempt_draw
from metric_tracker_rl.drilldown.policies.desk import Desk
from metric_tracker_rl.drilldown.policies.reference import search
from metric_tracker_rl.drilldown.report import read_report
from metric_tracker_rl.drilldown.tools import find_tool, overview
from openenv_kit.errors import GenerationError, ToolArgumentError

MAX_DRAWS = 200
OTHER_STEPS = 2
"""Steps of the reference's play beside its search: the overview and the report."""
CACHE_SIZE = 64
"""Episodes kept in memory per process. One takes roughly 350 kB, and 17 MB once read by SQL."""


def generate(config: DrillConfig, admitted: int | None = None) -> tuple[Draw, Episode]:
    """The first draw of a configuration that is accepted and solved, and its episode.

    Args:
        config: what the episode is made from.
        admitted: number of that draw, where `admitted.attempt_of` knows it.

    Raises:
        GenerationError: none of `MAX_DRAWS` was.
    """
    if admitted is not None:
        drawn = attempt_draw(config, admitted, admitted=True)
        if isinstance(drawn, Draw):
            return drawn, episode_from_draw(config, drawn)
    for attempt in range(MAX_DRAWS):
        drawn = attempt_draw(config, attempt)
        if isinstance(drawn, Draw):
            episode = episode_from_draw(config, drawn)
            if is_solved(episode):
                return drawn, episode
    raise GenerationError(f"no draw in {MAX_DRAWS} was accepted for {config}.")


def is_solved(episode: Episode) -> bool:
    """Whether the reference finds exactly the right report within the budget and the steps."""
    left = dict(episode.config.level.limits)
    player = search(Desk(overview(episode, NoArguments())))
    try:
        action = next(player)
        for _ in range(DEFAULT_MAX_STEPS - OTHER_STEPS):
            tool, arguments = find_tool(action["analysis_method"]), action["analysis_args"]
            try:
                result, spent = tool.call(episode, arguments, left)
            except ToolArgumentError:  # the budget is spent
                return False
            left = {unit: number - spent.get(unit, 0) for unit, number in left.items()}
            action = player.send({"analysis_result": {"result": result}})
        return False
    except StopIteration as end:
        report = read_report(end.value, episode)
    return sorted(report.rows, key=repr) == sorted(episode.expected_rows, key=repr)


class EpisodeCache:
    """Makes episodes and keeps the last ones used; equal configurations share one object.

    Args:
        size: episodes kept.
    """

    def __init__(self, size: int) -> None:
        self.resize(size)

    def __call__(self, config: DrillConfig, admitted: int | None = None) -> Episode:
        """The episode of a configuration; see `generate`.

        Raises:
            GenerationError: no draw was accepted.
        """
        return self._made(_Wanted(config, admitted))

    def resize(self, size: int) -> None:
        """Keep another number of episodes from now on, starting with none."""
        self._made = lru_cache(maxsize=size)(_make)

    def misses(self) -> int:
        """How many episodes had to be made since the last resize."""
        return self._made.cache_info().misses


@dataclass(frozen=True)
class _Wanted:
    """An episode to make; how much is known of it makes no other episode."""

    config: DrillConfig
    admitted: int | None = field(default=None, compare=False)


def _make(wanted: _Wanted) -> Episode:
    return generate(wanted.config, wanted.admitted)[1]


build_episode = EpisodeCache(CACHE_SIZE)
"""The episode of a configuration, from memory where it is there."""
