"""What stands behind a WebSocket: a play of its own, or an episode that HTTP clients share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from metric_tracker_rl.errors import MAX_ECHO
from metric_tracker_rl.session import ERROR, Reply
from server import frames, mcp_tools
from server.episode_store import StoreError
from server.http_episodes import Episodes, UnknownEpisodeError
from server.play import Play
from server.sessions import SessionSlots

HANDOVER_S = 6.0
"""Longest wait for another connection to let go of an episode."""

RESUME = "resume"


class AttachError(Exception):
    """What a connection asked to attach to is not there, or not free."""


class Backend(Protocol):
    """What a connection talks to; replies are in the framework's form."""

    @property
    def episode_id(self) -> str | None:
        """Name of the running episode."""

    async def reset(self, data: dict[str, Any]) -> dict[str, Any]:
        """Start an episode."""

    async def step(self, data: dict[str, Any]) -> dict[str, Any]:
        """One step."""

    @property
    def step_now(self) -> Callable[[dict[str, Any]], dict[str, Any]] | None:
        """One step without anything to wait for; None where there is."""

    async def state(self) -> dict[str, Any]:
        """Public progress."""

    async def rpc(self, message: dict[str, Any]) -> dict[str, Any]:
        """Answer one JSON-RPC message."""

    async def leave(self, *, keep: bool) -> None:
        """The connection is over; with `keep`, its episode may be resumed."""


class LiveBackend:
    """A play of its own, in memory.

    Args:
        slots: where another connection that plays the same episode is found.
        episodes: where dropped episodes go, and come from.
    """

    def __init__(self, slots: SessionSlots, episodes: Episodes) -> None:
        self._slots = slots
        self._episodes = episodes
        self._play = Play()

    @property
    def episode_id(self) -> str | None:
        """See `Backend`."""
        return self._play.episode_id

    async def reset(self, data: dict[str, Any]) -> dict[str, Any]:
        """See `Backend`; with `resume` true, go on with the episode of that id."""
        if RESUME not in data:
            return self._play.data(self._play.reset(data), named=True)
        if data[RESUME] is not True or not isinstance(data.get("episode_id"), str) or len(data) > 2:
            return self._refused(
                'To go on with an episode send {"episode_id": its id, "resume": true} and nothing '
                "else."
            )
        return await self._resume(data["episode_id"])

    async def step(self, data: dict[str, Any]) -> dict[str, Any]:
        """See `Backend`."""
        return self.step_now(data)

    def step_now(self, data: dict[str, Any]) -> dict[str, Any]:
        """See `Backend`."""
        return self._play.data(self._play.step(data))

    async def state(self) -> dict[str, Any]:
        """See `Backend`."""
        return self._play.environment.state.model_dump()

    async def rpc(self, message: dict[str, Any]) -> dict[str, Any]:
        """See `Backend`."""
        return await mcp_tools.answer(message, self.step)

    async def leave(self, *, keep: bool) -> None:
        """See `Backend`."""
        if keep:
            await self._episodes.save(self._play)

    async def _resume(self, episode_id: str) -> dict[str, Any]:
        if self._play.episode_id == episode_id:
            return self._refused(f"This session plays {episode_id[:MAX_ECHO]!r} already.")
        other = self._slots.playing(episode_id)
        if other is not None and other.task is not None:
            other.end("resumed")
            await asyncio.wait((other.task,), timeout=HANDOVER_S)
        try:
            self._play, reply = await self._episodes.resume(episode_id)
        except UnknownEpisodeError as problem:
            return self._refused(str(problem))
        return self._play.data(reply, named=True)

    def _refused(self, problem: str) -> dict[str, Any]:
        return frames.observation_data(Reply(ERROR, problem), self._play.environment.task_id)


class StoredBackend:
    """An episode of the store, shared with HTTP and MCP clients of the same id.

    Args:
        episodes: the store's episodes.
        episode_id: which one.
    """

    def __init__(self, episodes: Episodes, episode_id: str) -> None:
        self._episodes = episodes
        self._id = episode_id

    @property
    def episode_id(self) -> str | None:
        """See `Backend`; never offered for a handover, because nobody owns it."""
        return None

    async def reset(self, data: dict[str, Any]) -> dict[str, Any]:
        """See `Backend`; the id stays what it is."""
        _, reply = await self._episodes.reset({**data, "episode_id": self._id}, "mcp")
        return reply

    step_now = None

    async def step(self, data: dict[str, Any]) -> dict[str, Any]:
        """See `Backend`."""
        return await self._episodes.step(self._id, data)

    async def state(self) -> dict[str, Any]:
        """See `Backend`."""
        return (await self._episodes.state(self._id)).model_dump()

    async def rpc(self, message: dict[str, Any]) -> dict[str, Any]:
        """See `Backend`."""
        return await mcp_tools.answer(message, self.step)

    async def leave(self, *, keep: bool) -> None:
        """See `Backend`; the store has everything already."""


async def backend_for(query: Mapping[str, str], slots: SessionSlots, episodes: Episodes) -> Backend:
    """What a connection's query parameters ask for.

    Raises:
        AttachError: `session_id` names nothing that lives.
    """
    session_id = query.get("session_id")
    if not session_id:
        return LiveBackend(slots, episodes)
    try:
        await episodes.state(session_id)
    except (UnknownEpisodeError, StoreError) as problem:
        raise AttachError(str(problem)) from None
    return StoredBackend(episodes, session_id)
