"""Registry of the episodes that this worker plays, which logs and counts their starts and ends.

Each start and each end is logged as one line, in the same format for every transport. A line
contains no seed, task or label of the episode, and no level if the task is sealed.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from openenv_kit.environment import Environment
from openenv_kit.reply import EndInfo, Reply
from openenv_kit.sealed_split import is_sealed_split
from openenv_kit.serving import metrics
from openenv_kit.serving.episodes.records import EpisodeStart
from openenv_kit.serving.store.interface import EpisodeStore, StoredEpisode

logger = logging.getLogger("openenv_kit.episodes")


END_REASON_PATTERN = re.compile("[a-z_]{1,32}")
"""Pattern of the end reasons that an environment may define for the log and the metrics."""


class EndReason(StrEnum):
    """Why an episode ended. An environment may define further reasons, such as `max_steps`."""

    COMPLETED = "completed"
    CLOSED = "closed"
    RESTARTED = "restarted"
    DISCONNECTED = "disconnected"
    IDLE = "idle"
    RESUMED = "resumed"
    EXPIRED = "expired"
    STOPPED = "stopped"


class EpisodeKey(NamedTuple):
    """Key of an episode on a server. Episode ids are unique only within an environment."""

    environment: str
    episode_id: str


@dataclass(eq=False)
class RunningEpisode:
    """An episode that has started and not ended.

    Attributes:
        key: environment and episode id.
        transport: transport that started the episode: `ws`, `http`, `mcp` or `page`.
        level: level of the task; None if the task is sealed or has no level.
        player_id: player id, used to look up the episode in the store.
        is_stored: whether each action is stored, so that the episode outlives its connection.
        step_count: number of steps so far.
        started_s: `time.monotonic()` when the episode started.
        last_used_s: `time.monotonic()` when the episode was last used.
    """

    key: EpisodeKey
    transport: str
    level: str | None = None
    player_id: str = ""
    is_stored: bool = True
    step_count: int = 0
    started_s: float = field(default_factory=time.monotonic)
    last_used_s: float = field(default_factory=time.monotonic)

    @classmethod
    def from_stored(
        cls, environment: Environment, episode_id: str, stored_episode: StoredEpisode
    ) -> RunningEpisode:
        """Build the entry of a stored episode that this worker has not played."""
        start = EpisodeStart.from_json(stored_episode.start_json)
        return cls(
            EpisodeKey(environment.name, episode_id),
            start.transport,
            get_task_level_unless_sealed(environment, start.reset_arguments),
            stored_episode.player_id,
            step_count=len(stored_episode.actions),
            started_s=time.monotonic() - start.age_s,
        )

    def set_step_count_and_time_of_last_use(self, step_count: int) -> None:
        """Set the number of steps, and set the time of the last use to now."""
        self.step_count, self.last_used_s = step_count, time.monotonic()


class RunningEpisodes:
    """The running episodes of this process."""

    def __init__(self) -> None:
        self._by_key: dict[EpisodeKey, RunningEpisode] = {}

    def __iter__(self) -> Iterator[RunningEpisode]:
        return iter(tuple(self._by_key.values()))

    def find(self, key: EpisodeKey) -> RunningEpisode | None:
        """Return the episode with a key; None if it is not running on this worker."""
        return self._by_key.get(key)

    def is_current_entry(self, episode: RunningEpisode | None) -> bool:
        """Return whether this entry is the one that is registered under its key."""
        return episode is not None and self.find(episode.key) is episode

    def register_start_and_end_previous(self, episode: RunningEpisode) -> None:
        """Add an episode and log its start. A running episode with the same key is ended first."""
        self.remove_and_log_end_if_registered(self.find(episode.key), EndReason.RESTARTED)
        self._by_key[episode.key] = episode
        metrics.EPISODES_STARTED.labels(episode.key.environment, episode.transport).inc()
        logger.info("episode started", extra=_build_log_fields_of_episode(episode))

    def get_or_register_resumed(
        self, episode: RunningEpisode, *, is_client_request: bool
    ) -> RunningEpisode:
        """Return this worker's entry of an episode; register the given entry if none exists.

        Args:
            episode: entry to register.
            is_client_request: whether a client asked to resume the episode, which is logged at
                INFO. If the episode only moved from another worker, it is logged at DEBUG.
        """
        entry = self._by_key.setdefault(episode.key, episode)
        if entry is episode:
            log_level = logging.INFO if is_client_request else logging.DEBUG
            fields = {**_build_log_fields_of_episode(episode), "steps": episode.step_count}
            logger.log(log_level, "episode resumed", extra=fields)
        entry.last_used_s = time.monotonic()
        return entry

    def remove_and_log_end_if_registered(
        self, episode: RunningEpisode | None, reason: str, score: float | None = None
    ) -> None:
        """Remove an episode and log its end. An episode that is not registered is ignored.

        Args:
            episode: the episode; None is ignored.
            reason: an `EndReason`, or a reason that the environment defines.
            score: final score; None if the episode has no score.
        """
        if episode is None or not self.is_current_entry(episode):
            return
        self.remove_without_logging_end(episode)
        metrics.EPISODES_ENDED.labels(episode.key.environment, episode.transport, reason).inc()
        fields = {
            **_build_log_fields_of_episode(episode),
            "steps": episode.step_count,
            "score": score,
            "duration_s": round(time.monotonic() - episode.started_s, 3),
            "reason": reason,
        }
        logger.info("episode ended", extra=fields)

    def remove_without_logging_end(self, episode: RunningEpisode) -> None:
        """Remove an episode that another worker continues. The end of the episode is not logged."""
        if self.is_current_entry(episode):
            del self._by_key[episode.key]

    def count_unstored_or_recently_used(self, max_idle_s: float) -> int:
        """Count episodes on open connections and episodes used in the last `max_idle_s` seconds."""
        earliest_use_s = time.monotonic() - max_idle_s
        return sum(
            not episode.is_stored or episode.last_used_s >= earliest_use_s for episode in self
        )

    async def end_expired_and_remove_moved_episodes(
        self, store: EpisodeStore, ttl_s: float
    ) -> None:
        """End stored episodes that have expired, and remove episodes that another worker plays.

        Args:
            store: store of the episodes.
            ttl_s: seconds without use after which an episode expires.
        """
        earliest_use_s = time.monotonic() - ttl_s
        for episode in self:
            if episode.is_stored and episode.last_used_s < earliest_use_s:
                if await store.find_episode_id_by_player_id(episode.player_id) is None:
                    self.remove_and_log_end_if_registered(episode, EndReason.EXPIRED)
                else:
                    self.remove_without_logging_end(episode)


RUNNING_EPISODES = RunningEpisodes()


def get_task_level_unless_sealed(
    environment: Environment, reset_arguments: Mapping[str, Any]
) -> str | None:
    """Return the level of a task; None if it is sealed or has no level."""
    if is_sealed_split(reset_arguments.get("split")):
        return None
    return environment.build_result_labels(reset_arguments).get("level")


def get_end_reason_or_completed(reply: Reply) -> str:
    """Return the environment's reason for the end of an episode, or COMPLETED by default."""
    reason = EndInfo.from_info(reply.info).reason
    return reason if END_REASON_PATTERN.fullmatch(reason) else EndReason.COMPLETED


def _build_log_fields_of_episode(episode: RunningEpisode) -> dict[str, Any]:
    return {
        "episode_id": episode.key.episode_id,
        "environment": episode.key.environment,
        "transport": episode.transport,
        "episode_level": episode.level,  # `level` is the level of the log line
    }
