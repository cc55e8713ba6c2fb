"""Plays many episodes concurrently on a server, with asyncio.

```python
slots = ServerSlots("http://127.0.0.1:8000")
async with AsyncToolEpisode(slots) as episode:
    messages = [await episode.reset({"split": "train", "index": 0})]
    while not episode.is_done:
        name, arguments = await ask_model(messages, episode.tools)
        messages.append(await episode.call_tool(name, arguments))
    print(episode.reward)
```

Any number of tasks can be started, because `reset` waits until the server has capacity.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from openenv_kit.catalogue import Catalogue
from openenv_kit.environment import get_environment
from openenv_kit.episode_clients import retry
from openenv_kit.episode_clients.http import HttpEpisode
from openenv_kit.errors import ServerError, ServerFullError, require_integer
from openenv_kit.recordings.rollout_recorder import DEFAULT_PLAYER_NAME
from openenv_kit.trainers.tool_episode import ToolEpisode
from openenv_kit.variables import WORLD_SIZE_VARIABLE

DEFAULT_MAX_OPEN_EPISODES = 64
"""Limit of open episodes on a server that does not report its number of sessions."""
MAX_OPEN_EPISODES = 100_000
MAX_CONCURRENT_REQUESTS = 64
"""Largest number of requests of one process that wait for a reply at the same time.

Each of them occupies a thread. Players that think occupy none.
"""

Result = TypeVar("Result")

logger = logging.getLogger("openenv_kit.trainers")


class ServerSlots:
    """Limits how many episodes one process has open on a server at the same time.

    All episodes of a process share one instance, which belongs to one event loop.

    Args:
        base_url: URL of the server.
        environment: name of the environment; None for the name in the variable ENVIRONMENT.
        max_open_episodes: largest number of open episodes; None for the number of sessions that the
            server is configured for, divided by the number of ranks (`WORLD_SIZE`).

    Raises:
        InvalidValueError: an argument is out of its range, or `base_url` is not an http(s) URL.
    """

    def __init__(
        self, base_url: str, environment: str | None = None, max_open_episodes: int | None = None
    ) -> None:
        self.base_url = base_url
        self.environment = get_environment(environment)
        self._client = HttpEpisode(base_url, self.environment)
        self._max_open_episodes: int | None = None
        if max_open_episodes is not None:
            self._max_open_episodes = require_integer(
                "max_open_episodes", max_open_episodes, 1, MAX_OPEN_EPISODES
            )
        self._open_count = 0
        self._limit_lock = asyncio.Lock()
        self._semaphore: asyncio.Semaphore | None = None
        self._threads = ThreadPoolExecutor(MAX_CONCURRENT_REQUESTS, "openenv-kit-episodes")

    @property
    def open_count(self) -> int:
        """Number of slots that are in use, by episodes that are open or about to start."""
        return self._open_count

    async def find_max_open_episodes(self) -> int:
        """Return the largest number of open episodes; the first call may query the server.

        Raises:
            ServerError: the server cannot be reached.
        """
        async with self._limit_lock:  # many episodes may start at once, and one of them asks
            if self._max_open_episodes is None:
                max_sessions = await self.run_in_thread(self._read_max_sessions_and_close)
                if max_sessions is None:
                    logger.warning(
                        "%s does not report max_sessions: at most %d episodes are open at a time",
                        self.base_url,
                        DEFAULT_MAX_OPEN_EPISODES,
                    )
                    max_sessions = DEFAULT_MAX_OPEN_EPISODES
                self._max_open_episodes = max(1, max_sessions // _read_world_size())
            return self._max_open_episodes

    async def acquire_slot(self) -> None:
        """Wait until another episode may be opened, and count it as open.

        Raises:
            ServerError: the server cannot be reached.
        """
        max_open_episodes = await self.find_max_open_episodes()
        if self._semaphore is None:
            self._semaphore = asyncio.Semaphore(max_open_episodes)
        await self._semaphore.acquire()
        self._open_count += 1

    def release_slot(self) -> None:
        """Count an episode as closed, so that a waiting episode may start."""
        if self._semaphore is not None:
            self._open_count -= 1
            self._semaphore.release()

    def _read_max_sessions_and_close(self) -> int | None:
        try:
            return self._client.read_max_sessions()
        finally:
            self._client.close()

    async def run_in_thread(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Run a function that sends requests to the server, without blocking the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, function, *arguments)


class AsyncToolEpisode:
    """An episode on a server that is played through tool calls, with coroutines.

    This class is the asynchronous version of `ToolEpisode`. An open episode occupies a slot from
    `reset` until its end or `close`. If the server is at capacity, `reset` waits; the episode does
    not fail.

    Args:
        slots: server to play on, with the limit on its open episodes.
        default_reset_arguments, record, player_name, is_bound_to_product: see `ToolEpisode`.
    """

    def __init__(
        self,
        slots: ServerSlots,
        default_reset_arguments: Mapping[str, Any] | None = None,
        *,
        record: Path | str | None = None,
        player_name: str = DEFAULT_PLAYER_NAME,
        is_bound_to_product: bool = False,
    ) -> None:
        self._slots = slots
        self._has_slot = False
        self._episode = ToolEpisode(
            slots.base_url,
            slots.environment.name,
            default_reset_arguments,
            record=record,
            player_name=player_name,
            is_bound_to_product=is_bound_to_product,
            should_wait_when_full=False,
        )

    @property
    def system_prompt(self) -> str:
        """System prompt of the episode; empty before the first reset."""
        return self._episode.system_prompt

    @property
    def tools(self) -> Catalogue:
        """Tools of the episode."""
        return self._episode.tools

    @property
    def is_done(self) -> bool:
        """Whether the episode is over."""
        return self._episode.is_done

    @property
    def info(self) -> Mapping[str, Any]:
        """Additional values of the last reply; empty before the end."""
        return self._episode.info

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics that trainers log in addition to the reward; see `ToolEpisode.metrics`."""
        return self._episode.metrics

    @property
    def reward(self) -> float:
        """Score of the episode in [0, 1]; 0.0 until it is over.

        Raises:
            ServerError: the connection to the server was lost before the end, so there is no score.
        """
        return self._episode.reward

    async def reset(
        self, row: Mapping[str, Any] | None = None, offered_tool_names: Sequence[str] = ()
    ) -> str:
        """Wait for a free slot, start the episode of a dataset row and return its first message.

        The arguments and errors are those of `ToolEpisode.reset`.
        """
        if not self._has_slot:
            await self._slots.acquire_slot()
            self._has_slot = True
        try:
            return await self._reset_when_server_has_room(row, offered_tool_names)
        except BaseException:
            self._release_slot_if_held()
            raise

    async def call_tool(self, name: str, arguments: object, model_text: str = "") -> str:
        """Call a tool and return its result; see `ToolEpisode.call_tool`."""
        result = await self._slots.run_in_thread(
            self._episode.call_tool, name, arguments, model_text
        )
        if self._episode.is_done:
            self._release_slot_if_held()
        return result

    async def close(self) -> None:
        """Close the connection, write the recording and release the slot."""
        await self._slots.run_in_thread(self._episode.close)
        self._release_slot_if_held()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _reset_when_server_has_room(
        self, row: Mapping[str, Any] | None, offered_tool_names: Sequence[str]
    ) -> str:
        """Reset the episode, and retry while the server is at capacity.

        This method waits, and not the HTTP client, whose wait would block a thread. Running
        episodes need these threads in order to end and free capacity.
        """
        timer = retry.RetryTimer(retry.CAPACITY_TIMEOUT_S)
        is_logged = False
        while True:
            try:
                return await self._slots.run_in_thread(self._episode.reset, row, offered_tool_names)
            except ServerFullError as problem:
                if timer.remaining_s <= 0:
                    raise ServerError(
                        f"{problem} It had no room for {retry.CAPACITY_TIMEOUT_S:g} s."
                    ) from problem
                if not is_logged:
                    logger.warning("waiting for room on the server (%s)", problem)
                    is_logged = True
                await asyncio.sleep(retry.compute_capacity_pause_s(problem.retry_after_s))

    def _release_slot_if_held(self) -> None:
        if self._has_slot:
            self._has_slot = False
            self._slots.release_slot()


def _read_world_size() -> int:
    """Return the number of ranks of this run; 1 if it is not distributed."""
    text = os.environ.get(WORLD_SIZE_VARIABLE, "")
    return max(1, int(text)) if text.isdecimal() else 1
