"""Opens the episode store that is configured in the settings."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sqlite3
import stat
import tempfile
from pathlib import Path

from openenv_kit.serving.settings import Settings
from openenv_kit.serving.store.errors import StoreUnavailableError
from openenv_kit.serving.store.interface import MEMORY_STORE, EpisodeStore
from openenv_kit.serving.store.limits import StoreLimits

REDIS_SCHEMES = ("redis://", "rediss://", "unix://")

logger = logging.getLogger("openenv_kit.store")


def open_store(settings: Settings) -> EpisodeStore:
    """Open the episode store that is configured in the settings.

    If OPENENV_KIT_EPISODE_STORE is not set, the store is a file in the data folder. If no data
    folder is set either, the file is in a private folder below the temporary folder. If that file
    cannot be opened, a server with a single process keeps its episodes in memory. A server with
    several processes cannot do so, because the processes would not share episodes.

    Raises:
        StoreUnavailableError: the store cannot be opened; the message contains the setting to
            change.
    """
    limits = StoreLimits(
        settings.episode_ttl_s,
        settings.max_stored_episodes,
        settings.max_store_bytes,
        settings.client_store_percent,
    )
    address = settings.episode_store
    if address.startswith(REDIS_SCHEMES):
        return _open_redis_store(address, limits)
    # Only a server with several workers runs this code in a child process.
    has_several_processes = settings.workers > 1 or multiprocessing.parent_process() is not None
    if address == MEMORY_STORE and has_several_processes:
        raise StoreUnavailableError(
            "OPENENV_KIT_EPISODE_STORE is 'memory', which workers cannot share, and there are "
            "several workers; allowed: a file, a redis:// address, or one worker."
        )
    return _open_sqlite_store(settings, limits, may_use_memory=not has_several_processes)


def _open_redis_store(address: str, limits: StoreLimits) -> EpisodeStore:
    try:
        from openenv_kit.serving.store.redis import RedisStore
        from openenv_kit.serving.store.redis_client import create_redis_client
    except ImportError:
        raise StoreUnavailableError(
            "OPENENV_KIT_EPISODE_STORE is a Redis address, but the `redis` extra is not installed."
        ) from None
    return RedisStore(create_redis_client(address), limits)


def _open_sqlite_store(
    settings: Settings, limits: StoreLimits, *, may_use_memory: bool
) -> EpisodeStore:
    from openenv_kit.serving.store.sqlite import SqliteStore
    from openenv_kit.serving.store.sqlite_schema import SCHEMA_VERSION

    file_name = f"episodes-{SCHEMA_VERSION}.sqlite3"
    try:
        if settings.episode_store:
            path = settings.episode_store
        elif settings.data_folder:
            path = str(Path(settings.data_folder) / file_name)
        else:
            path = str(create_or_check_private_temporary_folder() / file_name)
        return SqliteStore(path, limits)
    except (OSError, sqlite3.Error) as error:
        location = settings.episode_store or settings.data_folder
        if location or not may_use_memory:
            raise StoreUnavailableError(
                f"The episode store in {repr(location) if location else 'the temporary folder'} "
                f"cannot be opened ({error}). Set OPENENV_KIT_EPISODE_STORE to a writable file or "
                "a redis:// address, or OPENENV_KIT_DATA_FOLDER to a writable folder."
            ) from error
        logger.warning(
            "episodes are kept in memory and end with this process",
            extra={"store": MEMORY_STORE, "reason": str(error)},
        )
        return SqliteStore(MEMORY_STORE, limits)


def create_or_check_private_temporary_folder() -> Path:
    """Create the server's folder below the temporary folder, if it does not exist.

    Raises:
        OSError: the folder cannot be created, or another user can read or write it.
    """
    folder = Path(tempfile.gettempdir()) / f"openenv-kit-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode) or status.st_mode & 0o077:
        raise PermissionError(f"{folder} is not a folder that only this user can use")
    return folder
