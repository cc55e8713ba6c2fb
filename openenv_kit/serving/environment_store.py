"""An environment's part of an episode store that several environments share."""

from __future__ import annotations

from typing import Any

from openenv_kit.serving.open_store import StoreThread

NAMED = frozenset(("create", "load", "append", "finish", "next"))
"""Methods whose first argument is an episode's id or a counter's name."""


class EnvironmentStore:
    """A store as one environment sees it: ids of others are unknown, and none collides.

    Room and shares stay those of the whole store.

    Args:
        store: where the episodes are.
        name: of the environment.
    """

    def __init__(self, store: StoreThread, name: str) -> None:
        self._store = store
        self._prefix = f"{name}/"

    async def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of the store; see `EpisodeStore`."""
        if method in NAMED:
            first, *others = arguments
            arguments = (self._prefix + first, *others)
        found = await self._store.call(method, *arguments, **options)
        if method != "find" or found is None:
            return found
        return found[len(self._prefix) :] if found.startswith(self._prefix) else None

    async def close(self) -> None:
        """Close the store."""
        await self._store.close()
