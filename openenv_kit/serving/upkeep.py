"""What a worker does every few seconds while it serves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from openenv_kit.serving.running_episodes import RUNNING
from openenv_kit.serving.settings import Settings
from openenv_kit.serving.store import EpisodeStore, StoreError

UPKEEP_S = 5.0
"""Seconds between two rounds."""


async def keep_up(store: EpisodeStore, settings: Settings) -> None:
    """Do one round: note which episodes have expired."""
    with suppress(StoreError):  # logged by the store; the next round tries again
        await RUNNING.end_expired(store, settings.episode_ttl_s)


@asynccontextmanager
async def kept_up(store: EpisodeStore, settings: Settings) -> AsyncIterator[None]:
    """Do rounds while the block runs."""

    async def repeat() -> None:
        while True:
            await asyncio.sleep(UPKEEP_S)
            await keep_up(store, settings)

    task = asyncio.create_task(repeat())
    try:
        yield
    finally:
        task.cancel()
