"""Episode stores with blocking methods, for tests without an event loop."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import fakeredis

from openenv_kit.serving.store.interface import MEMORY_STORE, EpisodeStore, NewEpisode
from openenv_kit.serving.store.limits import StoreLimits
from openenv_kit.serving.store.redis import RedisStore
from openenv_kit.serving.store.sqlite import SqliteStore


class BlockingStore:
    """BlockingStore the asynchronous methods of a store and waits for the results."""

    def __init__(self, store: EpisodeStore) -> None:
        self._store = store
        self._loop = asyncio.new_event_loop()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        return lambda *given, **options: self._loop.run_until_complete(method(*given, **options))

    def create(self, episode_id: str, *given: Any, over: bool = True, **named: Any) -> str | None:
        new = NewEpisode(*given, **named)
        return self._loop.run_until_complete(
            self._store.create_or_replace_episode(episode_id, new, overwrite=over)
        )

    def close(self) -> None:
        self._loop.run_until_complete(self._store.close())
        self._loop.close()


def sqlite_store(path: str | Path, limits: StoreLimits) -> BlockingStore:
    """Return a SQLite store; the path may name the store in memory."""
    return BlockingStore(SqliteStore(str(path), limits))


STORE_KINDS = ["sqlite", "memory", "redis"]
"""Kinds of store that must behave alike."""


def open_blocking_store(kind: str, folder: Path, limits: StoreLimits) -> BlockingStore:
    """Return an empty store of a kind."""
    if kind == "redis":
        return BlockingStore(RedisStore(fakeredis.FakeAsyncRedis(decode_responses=True), limits))
    return sqlite_store(folder / "s.db" if kind == "sqlite" else MEMORY_STORE, limits)
