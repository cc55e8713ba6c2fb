"""The episodes that this worker plays: their start and end in the log and in the figures.

Each start and each end is one line, the same for every transport. A line tells how an episode went
and nothing that it is made from: no seed, no task and no label, and of a sealed task no level.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from openenv_kit.environment import Environment
from openenv_kit.sealed_split import is_sealed_split
from openenv_kit.serving import metrics
from openenv_kit.serving.store.interface import EpisodeStore

logger = logging.getLogger("openenv_kit.episodes")


class EndReason(StrEnum):
    """Why an episode ended. An environment may have further reasons, such as `max_steps`."""

    COMPLETED = "completed"
    CLOSED = "closed"
    RESTARTED = "restarted"
    DISCONNECTED = "disconnected"
    IDLE = "idle"
    RESUMED = "resumed"
    EXPIRED = "expired"
    STOPPED = "stopped"


class EpisodeKey(NamedTuple):
    """Which episode: ids are unique within an environment."""

    environment: str
    episode_id: str


@dataclass(eq=False)
class RunningEpisode:
    """One episode that is being played.

    Attributes:
        key: which one.
        transport: by which it was started: ws, http, mcp or page.
        level: its level; None where that is not told.
        player_id: its player's handle, by which the store finds it.
        is_stored: whether it is played in the store, and outlives its connection.
        step_count: taken so far.
        started_s, last_used_s: when it was started and used last (monotonic).
    """

    key: EpisodeKey
    transport: str
    level: str | None = None
    player_id: str = ""
    is_stored: bool = True
    step_count: int = 0
    started_s: float = field(default_factory=time.monotonic)
    last_used_s: float = field(default_factory=time.monotonic)

    def update_step_count(self, step_count: int) -> None:
        """Note that so many steps were taken by now."""
        self.step_count, self.last_used_s = step_count, time.monotonic()


class RunningEpisodes:
    """The running episodes of this process."""

    def __init__(self) -> None:
        self._by_key: dict[EpisodeKey, RunningEpisode] = {}

    def __iter__(self) -> Iterator[RunningEpisode]:
        return iter(tuple(self._by_key.values()))

    def find(self, key: EpisodeKey) -> RunningEpisode | None:
        """Return the episode of that key; None where this worker plays none."""
        return self._by_key.get(key)

    def register_start(self, episode: RunningEpisode) -> None:
        """Note the start of an episode, and the end of one that it starts over."""
        self.register_end(self.find(episode.key), EndReason.RESTARTED)
        self._by_key[episode.key] = episode
        metrics.EPISODES_STARTED.labels(episode.key.environment, episode.transport).inc()
        logger.info("episode started", extra=_log_fields(episode))

    def contains(self, episode: RunningEpisode | None) -> bool:
        """Return whether an episode is still among them."""
        return episode is not None and self.find(episode.key) is episode

    def register_resume(
        self, episode: RunningEpisode, *, is_client_request: bool
    ) -> RunningEpisode:
        """Return this worker's entry of an episode that was started before, made where needed.

        Args:
            episode: the entry, where there is none yet.
            is_client_request: whether a client asked to resume it; else only the worker changed.
        """
        found = self._by_key.setdefault(episode.key, episode)
        if found is episode:
            level = logging.INFO if is_client_request else logging.DEBUG
            logger.log(
                level, "episode resumed", extra=_log_fields(episode) | {"steps": episode.step_count}
            )
        found.last_used_s = time.monotonic()
        return found

    def register_end(
        self, episode: RunningEpisode | None, reason: str, score: float | None = None
    ) -> None:
        """Note the end of an episode; of one that ended before nothing is noted.

        Args:
            episode: which one; None for none.
            reason: why.
            score: its final score; None where it has none.
        """
        if episode is None or not self.contains(episode):
            return
        self.remove(episode)
        duration_s = round(time.monotonic() - episode.started_s, 3)
        metrics.EPISODES_ENDED.labels(episode.key.environment, episode.transport, reason).inc()
        more = {"steps": episode.step_count, "score": score, "duration_s": duration_s}
        logger.info("episode ended", extra={**_log_fields(episode), **more, "reason": reason})

    def remove(self, episode: RunningEpisode) -> None:
        """Drop an episode that another worker goes on with."""
        if self.contains(episode):
            del self._by_key[episode.key]

    def count_in_use(self, within_s: float) -> int:
        """Return how many are played on an open connection, or were used within some seconds."""
        since = time.monotonic() - within_s
        return sum(not each.is_stored or each.last_used_s >= since for each in self)

    async def end_expired_episodes(self, store: EpisodeStore, ttl_s: float) -> None:
        """Note the end of stored episodes that nobody used for so long, here or elsewhere."""
        since = time.monotonic() - ttl_s
        for episode in self:
            if episode.is_stored and episode.last_used_s < since:
                if await store.find_by_player(episode.player_id) is None:
                    self.register_end(episode, EndReason.EXPIRED)
                else:
                    self.remove(episode)


RUNNING_EPISODES = RunningEpisodes()


def level_of(environment: Environment, reset_arguments: Mapping[str, Any]) -> str | None:
    """Return the level of a reset's episode; None for a sealed task, or where there is none."""
    if is_sealed_split(reset_arguments.get("split")):
        return None
    return environment.result_labels(reset_arguments).get("level")


def _log_fields(episode: RunningEpisode) -> dict[str, Any]:
    environment, episode_id = episode.key
    return {
        "episode_id": episode_id,
        "environment": environment,
        "transport": episode.transport,
        "episode_level": episode.level,  # "level" is that of the log line
    }
