"""Which episode store a setting names, where memory may stand in for one, and calling it."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import sqlite3
import stat
import tempfile
import time
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
from openenv_kit.serving.store_schema import SCHEMA_VERSION

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
    address = chosen.episode_store
    if address.startswith(REDIS_SCHEMES):
        from openenv_kit.serving.redis_store import RedisStore

        return RedisStore(address, limits), "redis", ""
    if address == MEMORY:
        if several_workers(chosen):
            raise StoreUnavailableError(
                "METRIC_TRACKER_EPISODE_STORE is 'memory', which each worker has for itself, and "
                "there are several workers; allowed: a file, a redis:// address, or one worker."
            )
        return SqliteStore(MEMORY, limits), MEMORY, ""
    try:
        path = address or str(private_folder() / f"episodes-{SCHEMA_VERSION}.sqlite3")
        return SqliteStore(path, limits), path, ""
    except (OSError, sqlite3.Error) as problem:
        if address or several_workers(chosen):
            where = repr(address) if address else "the temporary folder"
            raise StoreUnavailableError(
                f"The episode store in {where} cannot be opened ({problem}). Set "
                "METRIC_TRACKER_EPISODE_STORE to a file that can be written, or to a redis:// "
                "address."
            ) from problem
        return SqliteStore(MEMORY, limits), MEMORY, str(problem)


def several_workers(chosen: Settings) -> bool:
    """Whether other processes may serve the same port: this one says so, or is a child of one."""
    return chosen.workers > 1 or multiprocessing.parent_process() is not None


def private_folder() -> Path:
    """A folder under the temporary one that belongs to us alone.

    Raises:
        OSError: it cannot be made, or somebody else made it first.
    """
    folder = Path(tempfile.gettempdir()) / f"metric-tracker-rl-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not ours alone")
    return folder


class StoreThread:
    """The store that the settings name, called in a thread of its own.

    Args:
        chosen: the settings.
    """

    def __init__(self, chosen: Settings) -> None:
        self._chosen = chosen
        self._store: EpisodeStore | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """Open the store, in the one thread that calls it.

        Raises:
            StoreUnavailableError: what the setting names cannot be opened.
        """
        async with self._opening:
            if self._store is not None:
                return
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="episode-store")
            self._store, where, reason = await asyncio.get_running_loop().run_in_executor(
                self._thread, open_store, self._chosen
            )
        logger.info("episode store opened", extra={"store": where})
        if reason:
            logger.warning(
                "episodes are kept in memory and end with this process",
                extra={"store": MEMORY, "reason": reason},
            )

    async def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of the store; see `EpisodeStore`."""
        if self._store is None:
            await self.open()
        method = getattr(self._store, name)

        def timed() -> Any:
            started = time.perf_counter()
            try:
                return method(*arguments, **options)
            finally:
                metrics.STORE.labels(name).observe(time.perf_counter() - started)

        return await asyncio.get_running_loop().run_in_executor(self._thread, timed)

    async def close(self) -> None:
        """Close the store and end its thread."""
        if self._store is not None and self._thread is not None:
            await self.call("close")
            self._thread.shutdown()
            self._store = self._thread = None
