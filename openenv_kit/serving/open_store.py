"""Which episode store a setting names, where memory may stand in for one, and calling it."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import sqlite3
import stat
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from openenv_kit.serving import metrics
from openenv_kit.serving.episode_store import (
    MEMORY,
    EpisodeStore,
    StoreLimits,
    StoreUnavailableError,
)
from openenv_kit.serving.settings import Settings
from openenv_kit.serving.store import SqliteStore
from openenv_kit.serving.store_file import SCHEMA_VERSION

logger = logging.getLogger("metric_tracker.episodes")

REDIS_SCHEMES = ("redis://", "rediss://", "unix://")


def open_store(chosen: Settings) -> tuple[EpisodeStore, str, str]:
    """The store that the settings name.

    Without a name: a file in a folder of ours under the temporary folder. A server of a single
    process may keep its episodes in memory where that cannot be made; of several, each would keep
    episodes that the others do not know.

    Returns:
        The store, where it is, and why it is in memory though nobody asked for that, if so.

    Raises:
        StoreUnavailableError: it cannot be opened; says which setting to change.
    """
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
        return _redis(address, limits), "redis", ""
    if address == MEMORY and several:
        raise StoreUnavailableError(
            "METRIC_TRACKER_EPISODE_STORE is 'memory', which each worker has for itself, and "
            "there are several workers; allowed: a file, a redis:// address, or one worker."
        )
    try:
        path = address or str(private_folder() / f"episodes-{SCHEMA_VERSION}.sqlite3")
        return SqliteStore(path, limits), path, ""
    except (OSError, sqlite3.Error) as problem:
        if address or several:
            where = repr(address) if address else "the temporary folder"
            raise StoreUnavailableError(
                f"The episode store in {where} cannot be opened ({problem}). Set "
                "METRIC_TRACKER_EPISODE_STORE to a file that can be written, or to a redis:// "
                "address."
            ) from problem
        return SqliteStore(MEMORY, limits), MEMORY, str(problem)


def _redis(address: str, limits: StoreLimits) -> EpisodeStore:
    try:
        import redis

        from openenv_kit.serving.redis_store import RedisStore
    except ImportError:
        raise StoreUnavailableError(
            "METRIC_TRACKER_EPISODE_STORE is a Redis address, but the `redis` extra is not "
            "installed."
        ) from None
    return RedisStore(redis.Redis.from_url(address, decode_responses=True), limits)


def private_folder() -> Path:
    """A folder under the temporary one that belongs to us alone; an OSError if there is none."""
    folder = Path(tempfile.gettempdir()) / f"metric-tracker-rl-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not ours alone")
    return folder


class StoreThread:
    """The store that the settings name, called in a thread of its own."""

    def __init__(self, chosen: Settings) -> None:
        self._chosen = chosen
        self._store: EpisodeStore | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="episode-store")

    async def open(self) -> None:
        """Open the store, unless it is open; a call does so too."""
        await self._run(self._opened)

    async def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of the store; see `EpisodeStore`."""

        def timed() -> Any:
            method = getattr(self._opened(), name)
            with metrics.STORE.labels(name).time():
                return method(*arguments, **options)

        return await self._run(timed)

    async def close(self) -> None:
        """Close the store. A later call would open it again."""
        if self._store is not None:
            await self.call("close")
            self._store = None

    def _opened(self) -> EpisodeStore:
        if self._store is None:
            self._store, where, reason = open_store(self._chosen)
            logger.info("episode store opened", extra={"store": where})
            if reason:
                logger.warning(
                    "episodes are kept in memory and end with this process",
                    extra={"store": MEMORY, "reason": reason},
                )
        return self._store

    async def _run(self, work: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
