"""Background tasks of each worker: end expired episodes and update metrics every few seconds."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from openenv_kit.environment import Environment
from openenv_kit.serving import metrics
from openenv_kit.serving.episodes.running_episodes import RUNNING_EPISODES
from openenv_kit.serving.episodes.slow_calls import SLOW_CALL_QUEUE
from openenv_kit.serving.settings import Settings
from openenv_kit.serving.store.errors import StoreError
from openenv_kit.serving.store.interface import EpisodeStore

PERIODIC_TASK_INTERVAL_S = 5.0
"""Pause between two runs of the periodic tasks."""


async def end_expired_and_update_metrics(
    store: EpisodeStore, settings: Settings, environments: Iterable[Environment]
) -> None:
    """End expired episodes, and update the metrics that are not updated anywhere else.

    Args:
        store: store of the episodes.
        settings: settings of the server.
        environments: all environments of the server.
    """
    try:
        await RUNNING_EPISODES.end_expired_and_remove_moved_episodes(store, settings.episode_ttl_s)
        usage = await store.get_usage_and_limit()
        metrics.STORE_UP.set(1)
        metrics.STORE_BYTES.set(usage.size_bytes)
        metrics.STORE_LIMIT_BYTES.set(usage.limit_bytes)
        metrics.STORE_EPISODES.set(usage.episode_count)
    except StoreError:  # the store has logged the error, and the next run retries
        metrics.STORE_UP.set(0)
    slow_calls = SLOW_CALL_QUEUE.running_and_waiting_counts
    metrics.SLOW_CALLS.labels("running").set(slow_calls.running)
    metrics.SLOW_CALLS.labels("waiting").set(slow_calls.waiting)
    running_counts = Counter(episode.key.environment for episode in RUNNING_EPISODES)
    for environment in environments:
        name = environment.name
        metrics.RUNNING_EPISODES.labels(name).set(running_counts[name])
        for gauge_name, read_gauge in environment.tools.gauges.items():
            metrics.ENVIRONMENT_GAUGES.labels(name, gauge_name).set(read_gauge())


@asynccontextmanager
async def run_periodic_tasks(
    store: EpisodeStore, settings: Settings, environments: Iterable[Environment]
) -> AsyncIterator[None]:
    """Call `end_expired_and_update_metrics` periodically while the block runs."""

    async def repeat_periodic_tasks() -> None:
        while True:
            await end_expired_and_update_metrics(store, settings, environments)
            await asyncio.sleep(PERIODIC_TASK_INTERVAL_S)

    task = asyncio.create_task(repeat_periodic_tasks())
    try:
        yield
    finally:
        task.cancel()
