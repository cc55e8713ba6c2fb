"""Fills the episode caches of a server, so that a load test finds the memory in its final state."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from benchmarks.client_connections import ClientConnection, FullError
from benchmarks.expected_episodes import ExpectedEpisode
from openenv_kit.serving.episodes.episode_cache import MAX_CACHED_EPISODES

CONCURRENT_EPISODES = 16
SPARE_SHARE = 0.25
"""Additional episodes, because the workers do not get equal numbers of them."""
FULL_PAUSE_S = 1.0
"""Pause before a full server is asked again, in seconds."""


def count_episodes_to_fill_caches(workers: int) -> int:
    """Return how many episodes of an environment fill its cache in every worker."""
    return math.ceil((1 + SPARE_SHARE) * MAX_CACHED_EPISODES * workers)


async def play_episodes_of_each_environment(
    connect: Callable[[], ClientConnection], episodes: Sequence[ExpectedEpisode], count: int
) -> None:
    """Play `count` episodes of each environment, without pauses between the actions.

    Each one uses a connection of its own, so that the episodes are spread over the workers.

    Args:
        connect: returns a new connection.
        episodes: the episodes; those of an environment are played in turn.
        count: number of episodes to play of each environment.
    """
    by_environment = defaultdict(list)
    for episode in episodes:
        by_environment[episode.kind.environment].append(episode)
    remaining = itertools.chain.from_iterable(
        itertools.islice(itertools.cycle(own_episodes), count)
        for own_episodes in by_environment.values()
    )
    await asyncio.gather(*(_play_remaining(connect, remaining) for _ in range(CONCURRENT_EPISODES)))


async def _play_remaining(
    connect: Callable[[], ClientConnection], remaining: Iterator[ExpectedEpisode]
) -> None:
    for episode in remaining:
        connection = connect()
        try:
            await _reset_when_not_full(connection, episode)
            for action in episode.actions:
                await connection.step(action)
        finally:
            connection.drop()


async def _reset_when_not_full(connection: ClientConnection, episode: ExpectedEpisode) -> None:
    while True:
        try:
            await connection.reset(episode.kind.path, episode.reset_arguments)
        except FullError:
            await asyncio.sleep(FULL_PAUSE_S)
        else:
            return
