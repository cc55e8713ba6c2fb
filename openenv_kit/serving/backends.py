"""What a WebSocket plays: an episode of its own, or a stored one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from openenv_kit.environment import ERROR, Reply
from openenv_kit.errors import MAX_ECHO
from openenv_kit.serving import frames, mcp_tools
from openenv_kit.serving.episode_store import StoreError
from openenv_kit.serving.handles import PLAYER, EpisodeGoneError, Handle
from openenv_kit.serving.held import Held, Started
from openenv_kit.serving.http_episodes import Episodes
from openenv_kit.serving.sessions import SessionSlots
from openenv_kit.serving.sockets import AttachError

HANDOVER_S = 6.0
"""Longest wait, in seconds, for another connection to release an episode."""

RESUME = "resume"
StepNow = Callable[..., dict[str, Any]]


class PlayerBackend:
    """A stored episode through its player's handle: steps and progress, and no reset.

    Replies are in the framework's form.

    Args:
        episodes: the store's episodes.
        handle: which episode, and by what right; None before there is one.

    Attributes:
        step_now: one step without anything to wait for; None where there is.
    """

    step_now: StepNow | None = None

    def __init__(self, episodes: Episodes, handle: Handle | None = None) -> None:
        self._episodes = episodes
        self._handle = handle

    @property
    def episode_id(self) -> str | None:
        """Name of the running episode, where another connection may take it over."""
        return None

    async def reset(self, data: dict[str, Any]) -> dict[str, Any]:
        """Start an episode."""
        problem = (
            "A player cannot reset: the episode is its trainer's. Step until it is over; for "
            "another episode ask the trainer for another player id."
        )
        return frames.reply_data(self._episodes.environment, Reply(ERROR, problem), "")

    async def step(self, data: dict[str, Any]) -> dict[str, Any]:
        """One step."""
        assert self._handle is not None
        return await self._episodes.step(self._handle, data)

    async def state(self) -> dict[str, Any]:
        """Public progress."""
        assert self._handle is not None
        state: dict[str, Any] = (await self._episodes.state(self._handle)).model_dump()
        return state

    async def rpc(self, message: dict[str, Any]) -> dict[str, Any]:
        """Answer one JSON-RPC message."""
        return await mcp_tools.answer(self._episodes.environment, message, self.step)

    async def leave(self, *, keep: bool) -> None:
        """The connection is over; with `keep`, its episode may be resumed."""


class TrainerBackend(PlayerBackend):
    """An episode of the connection's own.

    One that the server named stays in memory until the connection is dropped: nothing else can
    reach it before. One that was resumed, or that the client named, is played in the store step
    by step, and belongs to whoever resumed or started it last.

    Args:
        slots: where another connection that plays the same episode is found.
        episodes: where dropped episodes go, and come from.
    """

    def __init__(self, slots: SessionSlots, episodes: Episodes) -> None:
        super().__init__(episodes)
        self._slots = slots
        self._play = episodes.play("ws", stored=False)
        self._held: Held | None = None
        self._task = asyncio.current_task()
        self.step_now = self._play.step

    @property
    def episode_id(self) -> str | None:
        return self._handle.episode_id if self._handle else self._play.episode_id

    async def reset(self, data: dict[str, Any]) -> dict[str, Any]:
        """Start an episode, or with `resume` true continue the one of that id."""
        if RESUME in data:
            return await self._resume(data)
        if data.get("episode_id") is not None:
            started = await self._episodes.reset(data, "ws")
            if started.handle is not None:
                await self._part_others(started.handle.episode_id, "restarted")
                self._go_on(started)
            return started.data
        reply = self._play.reset(data)
        if reply.status == ERROR:
            return self._play.data(reply)
        self._handle, self._held, self.step_now = None, None, self._play.step
        return self._play.data(reply, self._play.names)

    async def step(self, data: dict[str, Any]) -> dict[str, Any]:
        return await super().step(data) if self._handle else self._play.step(data)

    async def state(self) -> dict[str, Any]:
        return await super().state() if self._handle else self._play.state().model_dump()

    async def leave(self, *, keep: bool) -> None:
        if self._handle is None:
            if keep:
                await self._episodes.save(self._play)
        elif not keep:
            with suppress(EpisodeGoneError):  # somebody else has it, or ended it
                await self._episodes.close_episode(self._handle)

    def _go_on(self, started: Started) -> None:
        """Continue with a stored episode."""
        self._handle, self._held, self.step_now = started.handle, started.held, None
        self._play = self._episodes.play("ws", stored=False)

    async def _resume(self, data: dict[str, Any]) -> dict[str, Any]:
        episode_id = data.get("episode_id")
        if data[RESUME] is not True or not isinstance(episode_id, str) or len(data) > 2:
            return self._refused(
                'To go on with an episode send {"episode_id": its id, "resume": true} and nothing '
                "else."
            )
        if self._handle is None and self.episode_id == episode_id:
            return self._refused(f"This session plays {episode_id[:MAX_ECHO]!r} already.")
        await self._part_others(episode_id, "resumed")
        try:
            started = await self._episodes.resume(episode_id)
        except EpisodeGoneError as problem:
            return self._refused(str(problem))
        self._go_on(started)
        return started.data

    async def _part_others(self, episode_id: str, reason: str) -> None:
        """End this worker's other connections that play an episode; wait until it is stored."""
        leaving = []
        for session in self._slots:
            task = session.task
            if session.episode_id == episode_id and task is not None and task is not self._task:
                session.end(reason)
                leaving.append(task)
        if leaving:
            await asyncio.wait(leaving, timeout=HANDOVER_S)

    def _refused(self, problem: str) -> dict[str, Any]:
        return self._play.data(Reply(ERROR, problem))


async def backend_for(
    query: Mapping[str, str], role: str, slots: SessionSlots, episodes: Episodes
) -> PlayerBackend:
    """What a connection's query parameters ask for.

    Args:
        query: parameters of the address; `session_id` is a player's handle.
        role: of whoever connects.
        slots: sessions of this worker.
        episodes: the store's episodes.

    Raises:
        AttachError: `session_id` names nothing that can be played, or is missing for a player.
    """
    session_id = query.get("session_id")
    if not session_id:
        if role == PLAYER:
            raise AttachError(
                "With the player's token connect to /ws?session_id=<player_id>: the trainer's "
                "reset returns the player_id."
            )
        return TrainerBackend(slots, episodes)
    try:
        handle = await episodes.player(session_id)
        await episodes.state(handle)
    except (EpisodeGoneError, StoreError) as problem:
        raise AttachError(str(problem)) from None
    return PlayerBackend(episodes, handle)
