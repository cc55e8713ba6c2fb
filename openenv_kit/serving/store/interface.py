"""Where episodes are kept: the interface of a store, its limits and errors, and which one is used.

StoreError
├── StoreFullError          a limit of ours is reached, and nothing may be displaced
├── BusyError               too many resets wait already
├── StoppingError           the server stops, and starts no new episode
└── StoreUnavailableError   the disk, the file or Redis does not take the write right now
    └── StoreReplacedError  the file or the database is another one than at the start

A store keeps the reset's arguments and the actions since. Playing them again restores the episode,
so any worker can resume it, even after a restart. Results of slow calls are stored beside their
actions, so that they are not computed again.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import sqlite3
import stat
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from openenv_kit.serving.settings import Settings
from openenv_kit.serving.store.sealed_records import SealedPlay, SealedStart

MEMORY = "memory"
COMPLETED, CLOSED = "completed", "closed"
"""How an episode ended: it was played to its end, or left and closed for good."""

RETRY_AFTER_S = 5
"""Seconds after which to retry while the store cannot be used."""
PAGE = 4096
FILE_SHARE, LOG_SHARE, WRITE_SHARE = 3 / 4, 1 / 16, 1 / 8
"""Parts of the store's bytes: for the file, for the log before it is written back to the file (it
may reach more than twice that), and for one write."""
NEW_EPISODES_SHARE = 7 / 8
"""Part of the room, everybody's and each client's, that new episodes may fill. The rest is for the
steps of running ones."""
REDIS_SCHEMES = ("redis://", "rediss://", "unix://")

logger = logging.getLogger("openenv_kit.store")


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


class BusyError(StoreError):
    """More work waits than is worth waiting for."""


class StoppingError(StoreError):
    """The server is about to stop, and another one will answer."""


class StoreUnavailableError(StoreError):
    """The storage behind the episodes cannot be read or written at the moment."""


class StoreReplacedError(StoreUnavailableError):
    """The storage is another one than the server was started with."""

    def __init__(self, how: str) -> None:
        logger.error("episode store replaced", extra={"reason": how})
        super().__init__(
            f"The episode store {how} while the server ran, and its episodes are not served. "
            "Put it back, or restart the server to use what is there now."
        )


def unavailable(problem: Exception, why: str = "cannot be written at the moment") -> StoreError:
    """The refusal while the storage cannot be used; the log has the reason."""
    logger.warning("episode store unavailable", extra={"reason": str(problem)})
    return StoreUnavailableError(f"The episode store {why}. Retry in {RETRY_AFTER_S} s.")


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
    def pages(self) -> int:
        """Pages that the file may have."""
        return max(32, int(self.size * FILE_SHARE) // PAGE)

    @property
    def log_pages(self) -> int:
        """Pages of the log, after which it is written back to the file."""
        return max(16, min(1000, int(self.size * LOG_SHARE) // PAGE))

    @property
    def write_bytes(self) -> int:
        """Bytes of the largest write."""
        return int(self.size * WRITE_SHARE)

    @property
    def client_bytes(self) -> int:
        """Bytes that one client may hold."""
        return self.pages * PAGE * self.client_percent // 100

    def idle_until(self, now: float) -> float:
        """Latest expiry of an episode unused for a quarter of its life; any other is running."""
        return now + self.ttl_s * 3 / 4

    @property
    def client_episodes(self) -> int:
        """Episodes that one client may hold at once."""
        return max(1, self.episodes * self.client_percent // 100)

    def used_up(
        self, first: float | None, now: float, *, own: bool, size: int | None = None
    ) -> StoreFullError:
        """The refusal while running episodes fill the store, or the caller's own share of it.

        Args:
            first: when the first of them expires, where that is known.
            now: the time by the store's clock.
            own: whether it is the caller's share that is filled.
            size: bytes of it, for a store that counts them.
        """
        wait = RETRY_AFTER_S if first is None else max(1, math.ceil(first - self.idle_until(now)))
        most = self.client_episodes if own else self.episodes
        room = f"{most} episodes" + (f" or {size} bytes" if size else "")
        if own:
            whose = (
                "Your running episodes take up your share of the episode store: "
                f"{self.client_percent} % of it, which is {room}"
            )
        else:
            whose = f"The episode store is full of running episodes; it has room for {room}"
        return StoreFullError(f"{whose}. Finish one, or retry in {wait} s.", wait, own=own)


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
        slow_results: compressed results of slow calls, by the index of their action.
    """

    generation: str
    start: bytes
    actions: tuple[bytes, ...]
    request_ids: tuple[str, ...]
    player: str = ""
    timeline: int = 1
    ended: str = ""
    slow_results: Mapping[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class NewEpisode:
    """One episode as it is given to a store.

    Attributes:
        source: the transport that opened it.
        start, actions, player, slow_results: as in `StoredEpisode`.
        client: whose share it counts against; empty for a caller without a bound.
        sealed: for a sealed task: whose play it is, and how many are allowed.
    """

    source: str
    start: bytes
    actions: Sequence[bytes] = ()
    client: str = ""
    player: str = ""
    slow_results: Mapping[int, bytes] = field(default_factory=dict)
    sealed: SealedStart | None = None


class StoreUsage(NamedTuple):
    """How full a store is.

    Attributes:
        episodes: how many it holds.
        size_bytes: what they take.
        limit_bytes: what they may take; infinite where nothing bounds it.
    """

    episodes: int
    size_bytes: int
    limit_bytes: float


class EpisodeStore(Protocol):
    """An episode store, which other processes may use at the same time.

    Every method may raise `StoreUnavailableError`.
    """

    async def create(self, episode_id: str, new: NewEpisode, *, over: bool = True) -> str:
        """Start an episode; returns its generation, or nothing where `over` is False and it exists.

        A StoreFullError says that there is no room. The play of a sealed task is counted together
        with it; a SealedPlaysUsedUpError says that no further one is allowed.
        """

    async def find(self, player: str) -> str | None:
        """Id of the episode that a player's handle belongs to."""

    async def load(self, episode_id: str, *, take: bool = False) -> StoredEpisode | None:
        """The episode, its life prolonged; None if unknown or expired.

        With `take` it gets a new generation: whoever holds the old one can add nothing more.
        """

    async def append(
        self, episode_id: str, generation: str, index: int, action: bytes, request_id: str = ""
    ) -> bool:
        """Add the action of that index; False if another writer was first, or it is gone."""

    async def retract(self, episode_id: str, generation: str, index: int) -> bool:
        """Remove the action of that index; False if it is not the last one any more."""

    async def add_slow_result(
        self, episode_id: str, generation: str, index: int, result: bytes
    ) -> bool:
        """Store the result of the slow call in the action of that index, unless there is one.

        Returns False if another writer has the episode, or it is gone.
        """

    async def finish(self, episode_id: str, generation: str, ended: str) -> bool:
        """Mark an episode `completed` or `closed`; False if another writer was first.

        It is among the first to make room for others. A closed one takes no more actions and
        stays closed.
        """

    async def secret(self) -> str:
        """A secret that is made with the store and stays the same, in hexadecimal."""

    async def draw(self, split: str, order: Sequence[int]) -> int | None:
        """The first task in this order that was not drawn before; None where all were.

        It counts as drawn for as long as an unused episode lives, unless it is settled before.
        """

    async def settle(self, split: str, task: int, *, played: bool) -> None:
        """Keep a drawn task drawn for good, or give back one that was not kept."""

    async def list_sealed_plays(self, participant: str, task_set: str) -> list[SealedPlay]:
        """Return a participant's plays of sealed tasks in the order of their numbers."""

    async def finish_sealed_play(
        self, player: str, score: float, steps: int, actions_digest: str
    ) -> None:
        """Record how the play with this player's handle ended; nothing for any later end."""

    async def count(self, source: str) -> int:
        """Living episodes of that source that nobody closed."""

    async def check(self) -> None:
        """Write a row and read it back.

        Raises:
            StoreReplacedError: it is not the store that was opened.
        """

    async def usage(self) -> StoreUsage:
        """Return how full it is."""

    async def close(self) -> None:
        """Close files and connections."""


def open_store(chosen: Settings) -> EpisodeStore:
    """The store that the settings name.

    Without a name: a file in the data folder, or else in a folder of ours under the temporary
    folder. A server of a single
    process keeps its episodes in memory where that cannot be made; of several, each would keep
    episodes that the others do not know.

    Raises:
        StoreUnavailableError: it cannot be opened; says which setting to change.
    """
    from openenv_kit.serving.store.sqlite import SCHEMA_VERSION, SqliteStore

    limits = StoreLimits(
        chosen.episode_ttl_s,
        chosen.max_stored_episodes,
        chosen.max_store_bytes,
        chosen.client_store_percent,
    )
    # Other processes may serve the same port: this one says so, or is a child of one.
    several = chosen.workers > 1 or multiprocessing.parent_process() is not None
    address = chosen.episode_store
    if address.startswith(REDIS_SCHEMES):
        try:
            from openenv_kit.serving.store.redis import RedisStore, connect
        except ImportError:
            raise StoreUnavailableError(
                "OPENENV_KIT_EPISODE_STORE is a Redis address, but the `redis` extra is not "
                "installed."
            ) from None
        return RedisStore(connect(address), limits)
    if address == MEMORY and several:
        raise StoreUnavailableError(
            "OPENENV_KIT_EPISODE_STORE is 'memory', which each worker has for itself, and "
            "there are several workers; allowed: a file, a redis:// address, or one worker."
        )
    file_name = f"episodes-{SCHEMA_VERSION}.sqlite3"
    try:
        if address or not chosen.data_folder:
            path = address or str(private_folder() / file_name)
        else:
            path = str(Path(chosen.data_folder) / file_name)
        return SqliteStore(path, limits)
    except (OSError, sqlite3.Error) as problem:
        if address or several or chosen.data_folder:
            where = address or chosen.data_folder
            raise StoreUnavailableError(
                f"The episode store in {repr(where) if where else 'the temporary folder'} cannot "
                f"be opened ({problem}). Set OPENENV_KIT_EPISODE_STORE to a file that can be "
                "written or to a redis:// address, or OPENENV_KIT_DATA_FOLDER to a folder that "
                "can be written."
            ) from problem
        logger.warning(
            "episodes are kept in memory and end with this process",
            extra={"store": MEMORY, "reason": str(problem)},
        )
        return SqliteStore(MEMORY, limits)


def private_folder() -> Path:
    """A folder under the temporary one that belongs to us alone; an OSError if there is none."""
    folder = Path(tempfile.gettempdir()) / f"openenv-kit-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not ours alone")
    return folder
