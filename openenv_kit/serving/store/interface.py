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
from openenv_kit.serving.store.sealed_records import SealedEpisode, SealedStartRequest

MEMORY_STORE = "memory"
COMPLETED, CLOSED = "completed", "closed"
"""How an episode ended: it was played to its end, or left and closed for good."""

RETRY_AFTER_S = 5
"""Seconds after which to retry while the store cannot be used."""
SQLITE_PAGE_BYTES = 4096
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
        is_client_limit: whether it is the caller's own share that is used up.
    """

    def __init__(
        self, message: str, retry_after_s: int | None, *, is_client_limit: bool = False
    ) -> None:
        self.is_client_limit = is_client_limit
        super().__init__(message, retry_after_s)


class BusyError(StoreError):
    """More work waits than is worth waiting for."""


class StoppingError(StoreError):
    """The server is about to stop, and another one will answer."""


class StoreUnavailableError(StoreError):
    """The storage behind the episodes cannot be read or written at the moment."""


class StoreReplacedError(StoreUnavailableError):
    """The storage is another one than the server was started with."""

    def __init__(self, change: str) -> None:
        logger.error("episode store replaced", extra={"reason": change})
        super().__init__(
            f"The episode store {change} while the server ran, and its episodes are not served. "
            "Put it back, or restart the server to use what is there now."
        )


def build_unavailable_error(
    cause: Exception, state_text: str = "cannot be written at the moment"
) -> StoreError:
    """The refusal while the storage cannot be used; the log has the reason."""
    logger.warning("episode store unavailable", extra={"reason": str(cause)})
    return StoreUnavailableError(f"The episode store {state_text}. Retry in {RETRY_AFTER_S} s.")


@dataclass(frozen=True)
class StoreLimits:
    """What a store may hold.

    Attributes:
        ttl_s: seconds that an episode lives after its last use.
        max_episodes: episodes at once.
        max_bytes: bytes on disk, everything included.
        client_percent: share of episodes and bytes that one client may hold, 1 to 100.
    """

    ttl_s: float = 3600
    max_episodes: int = 100_000
    max_bytes: int = 32 << 20
    client_percent: int = 25

    @property
    def max_pages(self) -> int:
        """Pages that the file may have."""
        return max(32, int(self.max_bytes * FILE_SHARE) // SQLITE_PAGE_BYTES)

    @property
    def max_log_pages(self) -> int:
        """Pages of the log, after which it is written back to the file."""
        return max(16, min(1000, int(self.max_bytes * LOG_SHARE) // SQLITE_PAGE_BYTES))

    @property
    def max_write_bytes(self) -> int:
        """Bytes of the largest write."""
        return int(self.max_bytes * WRITE_SHARE)

    @property
    def max_client_bytes(self) -> int:
        """Bytes that one client may hold."""
        return self.max_pages * SQLITE_PAGE_BYTES * self.client_percent // 100

    def latest_idle_expiry_s(self, now_s: float) -> float:
        """Latest expiry of an episode unused for a quarter of its life; any other is running."""
        return now_s + self.ttl_s * 3 / 4

    @property
    def max_client_episodes(self) -> int:
        """Episodes that one client may hold at once."""
        return max(1, self.max_episodes * self.client_percent // 100)

    def full_error(
        self,
        first_expiry_s: float | None,
        now_s: float,
        *,
        is_client_limit: bool,
        limit_bytes: int | None = None,
    ) -> StoreFullError:
        """The refusal while running episodes fill the store, or the caller's own share of it.

        Args:
            first_expiry_s: when the first of them expires, where that is known.
            now_s: the time by the store's clock.
            is_client_limit: whether it is the caller's share that is filled.
            limit_bytes: bytes of it, for a store that counts them.
        """
        wait = (
            RETRY_AFTER_S
            if first_expiry_s is None
            else max(1, math.ceil(first_expiry_s - self.latest_idle_expiry_s(now_s)))
        )
        most = self.max_client_episodes if is_client_limit else self.max_episodes
        room = f"{most} episodes" + (f" or {limit_bytes} bytes" if limit_bytes else "")
        if is_client_limit:
            whose = (
                "Your running episodes take up your share of the episode store: "
                f"{self.client_percent} % of it, which is {room}"
            )
        else:
            whose = f"The episode store is full of running episodes; it has room for {room}"
        return StoreFullError(
            f"{whose}. Finish one, or retry in {wait} s.", wait, is_client_limit=is_client_limit
        )


@dataclass(frozen=True)
class StoredEpisode:
    """One episode as it is kept.

    Attributes:
        lease_id: changes whenever the episode is started over or taken over.
        start_json: JSON text of the reset's arguments and of the engine's versions.
        actions: JSON text of each action, in order.
        request_ids: the client's name for each request, empty where it gave none.
        player_id: the player's handle; changes whenever the episode is started over.
        start_count: how many times the episode was started under its id, from 1.
        end_status: `completed` or `closed`, empty while it may be played.
        slow_results: compressed results of slow calls, by the index of their action.
    """

    lease_id: str
    start_json: bytes
    actions: tuple[bytes, ...]
    request_ids: tuple[str, ...]
    player_id: str = ""
    start_count: int = 1
    end_status: str = ""
    slow_results: Mapping[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class NewEpisode:
    """One episode as it is given to a store.

    Attributes:
        transport: the transport that opened it.
        start_json, actions, player_id, slow_results: as in `StoredEpisode`.
        client_address: whose share it counts against; empty for a caller without a bound.
        sealed_start: for a sealed task: whose play it is, and how many are allowed.
    """

    transport: str
    start_json: bytes
    actions: Sequence[bytes] = ()
    client_address: str = ""
    player_id: str = ""
    slow_results: Mapping[int, bytes] = field(default_factory=dict)
    sealed_start: SealedStartRequest | None = None


class StoreUsage(NamedTuple):
    """How full a store is.

    Attributes:
        episode_count: how many it holds.
        size_bytes: what they take.
        limit_bytes: what they may take; infinite where nothing bounds it.
    """

    episode_count: int
    size_bytes: int
    limit_bytes: float


class EpisodeStore(Protocol):
    """An episode store, which other processes may use at the same time.

    Every method may raise `StoreUnavailableError`.
    """

    async def create(
        self, episode_id: str, new_episode: NewEpisode, *, overwrite: bool = True
    ) -> str:
        """Start an episode; returns its generation, or nothing where `over` is False and it exists.

        A StoreFullError says that there is no room. The play of a sealed task is counted together
        with it; a SealedPlaysUsedUpError says that no further one is allowed.
        """

    async def find_by_player(self, player_id: str) -> str | None:
        """Id of the episode that a player's handle belongs to."""

    async def load(self, episode_id: str, *, new_lease: bool = False) -> StoredEpisode | None:
        """The episode, its life prolonged; None if unknown or expired.

        With `take` it gets a new generation: whoever holds the old one can add nothing more.
        """

    async def append_action(
        self,
        episode_id: str,
        lease_id: str,
        action_index: int,
        action_json: bytes,
        request_id: str = "",
    ) -> bool:
        """Add the action of that index; False if another writer was first, or it is gone."""

    async def remove_last_action(self, episode_id: str, lease_id: str, action_index: int) -> bool:
        """Remove the action of that index; False if it is not the last one any more."""

    async def add_slow_result(
        self, episode_id: str, lease_id: str, action_index: int, compressed_result: bytes
    ) -> bool:
        """Store the result of the slow call in the action of that index, unless there is one.

        Returns False if another writer has the episode, or it is gone.
        """

    async def mark_ended(self, episode_id: str, lease_id: str, end_status: str) -> bool:
        """Mark an episode `completed` or `closed`; False if another writer was first.

        It is among the first to make room for others. A closed one takes no more actions and
        stays closed.
        """

    async def get_secret(self) -> str:
        """A secret that is made with the store and stays the same, in hexadecimal."""

    async def reserve_task(self, split: str, task_order: Sequence[int]) -> int | None:
        """The first task in this order that was not drawn before; None where all were.

        It counts as drawn for as long as an unused episode lives, unless it is settled before.
        """

    async def confirm_or_release_task(
        self, split: str, task_index: int, *, is_played: bool
    ) -> None:
        """Keep a drawn task drawn for good, or give back one that was not kept."""

    async def list_sealed_episodes(
        self, participant: str, task_set_key: str
    ) -> list[SealedEpisode]:
        """Return a participant's plays of sealed tasks in the order of their numbers."""

    async def record_sealed_result(
        self, player_id: str, score: float, step_count: int, actions_digest: str
    ) -> None:
        """Record how the play with this player's handle ended; nothing for any later end."""

    async def count_open_episodes(self, transport: str) -> int:
        """Living episodes of that source that nobody closed."""

    async def check_writable(self) -> None:
        """Write a row and read it back.

        Raises:
            StoreReplacedError: it is not the store that was opened.
        """

    async def get_usage(self) -> StoreUsage:
        """Return how full it is."""

    async def close(self) -> None:
        """Close files and connections."""


def open_store(settings: Settings) -> EpisodeStore:
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
        settings.episode_ttl_s,
        settings.max_stored_episodes,
        settings.max_store_bytes,
        settings.client_store_percent,
    )
    # Other processes may serve the same port: this one says so, or is a child of one.
    several = settings.workers > 1 or multiprocessing.parent_process() is not None
    address = settings.episode_store
    if address.startswith(REDIS_SCHEMES):
        try:
            from openenv_kit.serving.store.redis import RedisStore, create_redis_client
        except ImportError:
            raise StoreUnavailableError(
                "OPENENV_KIT_EPISODE_STORE is a Redis address, but the `redis` extra is not "
                "installed."
            ) from None
        return RedisStore(create_redis_client(address), limits)
    if address == MEMORY_STORE and several:
        raise StoreUnavailableError(
            "OPENENV_KIT_EPISODE_STORE is 'memory', which each worker has for itself, and "
            "there are several workers; allowed: a file, a redis:// address, or one worker."
        )
    file_name = f"episodes-{SCHEMA_VERSION}.sqlite3"
    try:
        if address or not settings.data_folder:
            path = address or str(create_private_folder() / file_name)
        else:
            path = str(Path(settings.data_folder) / file_name)
        return SqliteStore(path, limits)
    except (OSError, sqlite3.Error) as problem:
        if address or several or settings.data_folder:
            where = address or settings.data_folder
            raise StoreUnavailableError(
                f"The episode store in {repr(where) if where else 'the temporary folder'} cannot "
                f"be opened ({problem}). Set OPENENV_KIT_EPISODE_STORE to a file that can be "
                "written or to a redis:// address, or OPENENV_KIT_DATA_FOLDER to a folder that "
                "can be written."
            ) from problem
        logger.warning(
            "episodes are kept in memory and end with this process",
            extra={"store": MEMORY_STORE, "reason": str(problem)},
        )
        return SqliteStore(MEMORY_STORE, limits)


def create_private_folder() -> Path:
    """A folder under the temporary one that belongs to us alone; an OSError if there is none."""
    folder = Path(tempfile.gettempdir()) / f"openenv-kit-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not ours alone")
    return folder
