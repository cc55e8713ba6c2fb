"""The interface of an episode store, its limits, and its errors.

StoreError
├── StoreFullError          a limit of ours is reached, and nothing may be displaced
└── StoreUnavailableError   the disk, the file or Redis does not take the write right now

A store keeps the reset's arguments and the actions since. Playing them again restores the episode,
so any worker can continue where another stopped, even after a crash.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Protocol

MEMORY = "memory"
COMPLETED, CLOSED = "completed", "closed"
"""How an episode ended: it was played to its end, or left and closed for good."""

RETRY_AFTER_S = 5
"""Seconds after which to retry while the store cannot be used."""

logger = logging.getLogger("metric_tracker.store")


class StoreError(Exception):
    """The store refused a call and changed nothing; the same request may be sent again.

    Attributes:
        retry_after_s: seconds after which it is worth trying; None where it never is.
    """

    def __init__(self, message: str, retry_after_s: int | None = RETRY_AFTER_S) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class StoreFullError(StoreError):
    """A limit is reached, and only running episodes could make room.

    Attributes:
        own: whether it is the caller's own share that is used up.
    """

    def __init__(self, message: str, retry_after_s: int | None, *, own: bool = False) -> None:
        self.own = own
        super().__init__(message, retry_after_s)


class StoreUnavailableError(StoreError):
    """The storage behind the episodes cannot be read or written at the moment."""


def unavailable(problem: Exception) -> StoreUnavailableError:
    """The refusal while the storage cannot be used; the log has the reason."""
    logger.warning("episode store unavailable", extra={"reason": str(problem)})
    return StoreUnavailableError(
        "The episode store cannot be written at the moment. Retry in a few seconds."
    )


def share_used_up(limits: StoreLimits, wait: int, size: int | None = None) -> StoreFullError:
    """The refusal of a client whose running episodes take up its share for `wait` seconds more.

    `size` is the share in bytes, for a store that counts them.
    """
    most = f"{limits.client_episodes} episodes" + (f" or {size} bytes" if size else "")
    return StoreFullError(
        f"Your running episodes take up your share of the episode store: {limits.client_percent} % "
        f"of it, which is {most}. Finish one, or retry in {wait} s.",
        wait,
        own=True,
    )


@dataclass(frozen=True)
class StoreLimits:
    """What a store may hold.

    Attributes:
        ttl_s: seconds that an episode lives after its last use.
        episodes: episodes at once.
        size: bytes on disk, everything included.
        client_percent: share of episodes and bytes that one client may hold, 1 to 100.
    """

    ttl_s: float = 3600
    episodes: int = 100_000
    size: int = 32 << 20
    client_percent: int = 25

    @property
    def life_s(self) -> float:
        """Seconds until an episode that is used now expires.

        A little more than it has to live, so that not each use need prolong its life.
        """
        return self.ttl_s * 65 / 64

    @property
    def idle_s(self) -> float:
        """Seconds after which an unused episode may be displaced; until then it is running."""
        return self.ttl_s / 4

    @property
    def client_episodes(self) -> int:
        """Episodes that one client may hold at once."""
        return max(1, self.episodes * self.client_percent // 100)


@dataclass(frozen=True)
class StoredEpisode:
    """One episode as it is kept.

    Attributes:
        generation: changes whenever the episode is started over or taken over.
        start: JSON text of the reset's arguments and of the engine's versions.
        actions: JSON text of each action, in order.
        request_ids: the client's name for each request, empty where it gave none.
        player: the player's handle; changes whenever the episode is started over.
        timeline: how many times the episode was started under its id, from 1.
        ended: `completed` or `closed`, empty while it may be played.
    """

    generation: str
    start: bytes
    actions: tuple[bytes, ...]
    request_ids: tuple[str, ...]
    player: str = ""
    timeline: int = 1
    ended: str = ""


class EpisodeStore(Protocol):
    """An episode store. Called from one thread; other processes may use the same store.

    Every method may raise `StoreUnavailableError`.
    """

    def create(
        self,
        episode_id: str,
        source: str,
        start: bytes,
        actions: list[bytes],
        *,
        client: str = "",
        player: str = "",
        over: bool = True,
    ) -> str:
        """Start an episode; returns its generation, or nothing where `over` is False and it exists.

        `source` is the transport that opened it, and `client` the one whose share it counts
        against, empty for a caller without a bound. A StoreFullError says that there is no room.
        """

    def find(self, player: str) -> str | None:
        """Id of the episode that a player's handle belongs to."""

    def load(self, episode_id: str, *, take: bool = False) -> StoredEpisode | None:
        """The episode, its life prolonged; None if unknown or expired.

        With `take` it gets a new generation: whoever holds the old one can add nothing more.
        """

    def append(
        self, episode_id: str, generation: str, index: int, action: bytes, request_id: str
    ) -> bool:
        """Add the action of that index; False if another writer was first, or it is gone."""

    def finish(self, episode_id: str, generation: str, ended: str) -> bool:
        """Mark an episode `completed` or `closed`; False if another writer was first.

        It is among the first to make room for others. A closed one takes no more actions and
        stays closed.
        """

    def next(self, counter: str) -> int:
        """The next number of a counter that all processes share, from 0."""

    def count(self, source: str) -> int:
        """Living episodes of that source that nobody closed."""

    def check(self) -> None:
        """Write something small, to check that writing works."""

    def close(self) -> None:
        """Close files and connections."""
