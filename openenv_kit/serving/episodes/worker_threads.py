"""Runs resets, steps and rebuilds of live episodes, in worker threads if the environment is slow.

If an environment has no slow tools, its episodes run in the event loop. Otherwise, slow calls wait
in `SLOW_CALL_QUEUE`, and resets and rebuilds run in the threads of this module.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar

from openenv_kit.environment import Environment
from openenv_kit.reply import Reply
from openenv_kit.serving import messages, metrics
from openenv_kit.serving.draining import SERVER_DRAIN
from openenv_kit.serving.episodes.live_episode import LiveEpisode
from openenv_kit.serving.episodes.slow_calls import SLOW_CALL_QUEUE
from openenv_kit.serving.http import client_identity
from openenv_kit.serving.messages import JsonObject, WireReply
from openenv_kit.serving.store.errors import RETRY_AFTER_S, BusyError

T = TypeVar("T")
P = ParamSpec("P")

WORKER_THREAD_COUNT = 2
WORKER_THREAD_POOL = ThreadPoolExecutor(WORKER_THREAD_COUNT, "slow-tools")
"""Threads for resets and rebuilds in environments with slow tools. Python runs one thread at a
time, so more threads would only make each reset slower and need more memory."""

MAX_WAITING_RESETS = 32
"""Maximum number of resets that wait for these threads or run in them. Others are rejected."""

_waiting_reset_count = 0


async def run_reset_in_thread_if_slow_or_raise_busy(
    environment: Environment, run_reset: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run a reset, in a worker thread if the environment has slow tools.

    Raises:
        BusyError: too many resets are waiting, or the client has disconnected.
        StoppingError: the server is stopping.
    """
    global _waiting_reset_count
    SERVER_DRAIN.require_not_draining()
    is_connection_closed = client_identity.IS_CONNECTION_CLOSED.get()

    def reset_unless_disconnected() -> T:
        if is_connection_closed is not None and is_connection_closed():
            raise BusyError("The connection is gone.")
        return run_reset(*args, **kwargs)

    if not environment.tools.has_slow_tools:
        return reset_unless_disconnected()
    if _waiting_reset_count >= MAX_WAITING_RESETS:
        raise BusyError(
            f"Too many resets are waiting ({_waiting_reset_count}). Retry in {RETRY_AFTER_S} s."
        )
    _waiting_reset_count += 1
    metrics.WAITING_RESETS.inc()
    try:
        return await run_in_thread_if_environment_is_slow(environment, reset_unless_disconnected)
    finally:
        _waiting_reset_count -= 1
        metrics.WAITING_RESETS.dec()


async def run_in_thread_if_environment_is_slow(
    environment: Environment, work: Callable[[], T]
) -> T:
    """Call a function and return its result, in a worker thread if the environment is slow."""
    if not environment.tools.has_slow_tools:
        return work()

    def work_and_count() -> T:
        with metrics.BUSY_THREADS.track_inprogress():
            return work()

    future = asyncio.get_running_loop().run_in_executor(WORKER_THREAD_POOL, work_and_count)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        # The caller must not store or use an episode that the thread is still changing.
        await asyncio.wait([future])
        raise


async def step_with_queued_slow_call(
    live_episode: LiveEpisode,
    action: JsonObject,
    action_json: bytes | None = None,
    metadata_ids: JsonObject | None = None,
    requested_at_s: float | None = None,
) -> WireReply:
    """Run `LiveEpisode.step`. A slow tool call waits in `SLOW_CALL_QUEUE`."""
    tools = live_episode.environment.tools
    if tools.has_slow_tools and tools.is_slow_call(action):
        step = partial(live_episode.step, action, action_json, metadata_ids, requested_at_s)
        return await _run_in_slow_call_queue(live_episode, live_episode.episode_id, step)
    return live_episode.step(action, action_json, metadata_ids, requested_at_s)


async def apply_stored_action_with_queued_slow_call(
    live_episode: LiveEpisode, action_json: bytes, compressed_result: bytes | None
) -> None:
    """Run `LiveEpisode.apply_stored_action`. A slow call with no stored result is queued."""
    apply = partial(live_episode.apply_stored_action, action_json, compressed_result)
    if compressed_result is None and _is_slow_call(live_episode.environment, action_json):
        await _run_in_slow_call_queue(live_episode, live_episode.episode_id, apply)
    else:
        apply()


async def rebuild_with_queued_slow_calls(
    live_episode: LiveEpisode,
    episode_id: str,
    reset_arguments: Mapping[str, Any],
    actions: Sequence[bytes],
    player_id: str = "",
    slow_results: Mapping[int, bytes] = MappingProxyType({}),
) -> Reply:
    """Run `LiveEpisode.rebuild_from_actions`.

    If a slow call has no stored result, such as the last one before a crash, the rebuild waits in
    `SLOW_CALL_QUEUE`.
    """
    environment = live_episode.environment
    rebuild = partial(
        live_episode.rebuild_from_actions,
        episode_id,
        reset_arguments,
        actions,
        player_id,
        slow_results,
    )
    has_slow_call = any(
        index not in slow_results and _is_slow_call(environment, action_json)
        for index, action_json in enumerate(actions)
    )
    if has_slow_call:
        return await _run_in_slow_call_queue(live_episode, episode_id, rebuild)
    return await run_in_thread_if_environment_is_slow(environment, rebuild)


def _is_slow_call(environment: Environment, action_json: bytes) -> bool:
    tools = environment.tools
    return tools.has_slow_tools and tools.is_slow_call(
        messages.parse_json_within_limits(action_json)
    )


async def _run_in_slow_call_queue(
    live_episode: LiveEpisode, episode_id: str | None, work: Callable[[], T]
) -> T:
    return await SLOW_CALL_QUEUE.run_in_thread_at_fair_turn(
        f"{live_episode.environment.name}/{episode_id}", work
    )
