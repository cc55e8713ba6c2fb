"""The `/ws` route: the framework's protocol, message for message, on the event loop.

The framework's own handler builds every reply four times over, ends the session on a message that
is JSON but not an object, and has no limits.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from openenv.core.env_server.mcp_types import WSMCPMessage
from openenv.core.env_server.types import (
    WSCloseMessage,
    WSErrorCode,
    WSResetMessage,
    WSStateMessage,
    WSStepMessage,
)
from pydantic import BaseModel, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from openenv_kit.environment import ERROR, Reply
from openenv_kit.errors import MAX_ECHO, unknown_name_message
from openenv_kit.sealed_split import is_sealed_split
from openenv_kit.serving import logs, messages, metrics
from openenv_kit.serving.episodes.ids import (
    PLAYER,
    EpisodeGoneError,
    EpisodeTooLongError,
    Handle,
)
from openenv_kit.serving.episodes.live_episode import in_turn, take_step
from openenv_kit.serving.episodes.records import Started
from openenv_kit.serving.episodes.running_episodes import RUNNING, EndReason, EpisodeKey
from openenv_kit.serving.episodes.service import Episodes
from openenv_kit.serving.mcp import dispatch as mcp_tools
from openenv_kit.serving.store.interface import StoreError
from openenv_kit.serving.websocket.endpoint import (
    ConnectionEnd,
    Conversation,
    LiveSession,
    SessionSlots,
    SocketEndpoint,
)

MESSAGES: dict[str, type[BaseModel]] = {
    "reset": WSResetMessage,
    "step": WSStepMessage,
    "state": WSStateMessage,
    "close": WSCloseMessage,
    "mcp": WSMCPMessage,
}

HANDOVER_S = 6.0
"""Longest wait, in seconds, for another connection to release an episode."""

RESUME = "resume"

CLIENT_HEADER, PAGE_CLIENT = "x-openenv-kit-client", "page"
"""By this header of its handshake the page is told from other clients, for the log only."""

logger = logging.getLogger("openenv_kit.ws")


class EnvironmentSocket(SocketEndpoint):
    """The framework's messages: reset, step, state, close and mcp."""

    too_big = "A message may have {} bytes; the session ends."

    def error(self, text: str, code: str, **more: Any) -> str:
        return messages.error(text, code, **more)

    async def open(self, websocket: WebSocket) -> PlayerConversation:
        """See `SocketEndpoint`; `session_id` in the address is a player's handle."""
        session_id = websocket.query_params.get("session_id")
        if not session_id:
            if websocket.state.role == PLAYER:
                raise ConnectionEnd(
                    "With the player's token connect to /ws?session_id=<player_id>: the trainer's "
                    "reset returns the player_id."
                )
            is_page = websocket.headers.get(CLIENT_HEADER) == PAGE_CLIENT
            return TrainerConversation(self._slots, self._episodes, "page" if is_page else "ws")
        try:
            handle = await self._episodes.player(session_id)
            await self._episodes.state(handle)
        except (EpisodeGoneError, StoreError) as problem:
            raise ConnectionEnd(str(problem)) from None
        return PlayerConversation(self._episodes, handle)


class PlayerConversation(Conversation):
    """A connection that plays a stored episode through its player's handle, and never resets."""

    step_now: Callable[..., dict[str, Any]] | None = None
    """One step without anything to wait for; None where there is."""

    def __init__(self, episodes: Episodes, handle: Handle | None = None) -> None:
        self._episodes = episodes
        self._handle = handle

    async def answer(self, session: LiveSession, text: str | bytes) -> str:
        """Reply to one message; whatever goes wrong is a reply too."""
        try:
            kind, data = read_message(text)
            if kind == "step":
                # Nearly every message is one, and few have anything to wait for.
                now = self.step_now
                return messages.observation(now(data) if now else await self.step(data))
            answer = await self._act(kind, data)
            session.episode_id = self.episode_id
            return answer
        except RefusedError as problem:
            return _refusal(problem.kind, str(problem), problem.code)
        except ValidationError as problem:
            errors = problem.errors(include_url=False, include_input=False, include_context=False)
            invalid = WSErrorCode.VALIDATION_ERROR
            return _refusal("invalid_message", "Invalid message", invalid, errors=errors)
        except StoreError as problem:
            wait, code = problem.retry_after_s, WSErrorCode.CAPACITY_REACHED
            return _refusal("store", str(problem), code, retry_after_s=wait)
        except EpisodeTooLongError as problem:
            return _refusal("too_big", str(problem), WSErrorCode.VALIDATION_ERROR)
        except (ConnectionEnd, EpisodeGoneError, WebSocketDisconnect):
            raise
        except Exception as problem:
            named = self._handle.episode_id if self._handle else self.episode_id
            text = logs.internal_error(logger, problem, named)
            return _refusal("internal", text, WSErrorCode.EXECUTION_ERROR)

    async def _act(self, kind: str, data: dict[str, Any]) -> str:
        if kind == "reset":
            return messages.observation(await self.reset(data))
        if kind == "state":
            return messages.message("state", await self.state())
        if kind == "mcp":
            environment = self._episodes.environment
            dispatch = mcp_tools.dispatcher(environment, self.step, self.state)
            answered = await mcp_tools.answer(data, dispatch)
            return messages.message("mcp", answered.body)
        raise ConnectionEnd

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
        return self._episodes.play("ws").data(Reply(ERROR, problem))

    async def step(self, data: dict[str, Any]) -> dict[str, Any]:
        """One step."""
        assert self._handle is not None
        return await self._episodes.step(self._handle, data)

    async def state(self) -> dict[str, Any]:
        """Public progress."""
        assert self._handle is not None
        return await self._episodes.state(self._handle)


class TrainerConversation(PlayerConversation):
    """A connection that plays an episode of its own.

    One that the server named stays in memory until the connection is dropped: nothing else can
    reach it before. One that was resumed, or that the client named, is played in the store step
    by step, and belongs to whoever resumed or started it last.
    """

    def __init__(self, slots: SessionSlots, episodes: Episodes, transport: str) -> None:
        super().__init__(episodes)
        self._slots = slots
        self._transport = transport
        self._play = episodes.play(transport, stored=False)
        self._task = asyncio.current_task()
        self.step_now = self._play.step

    @property
    def episode_id(self) -> str | None:
        return self._handle.episode_id if self._handle else self._play.episode_id

    async def reset(self, data: dict[str, Any]) -> dict[str, Any]:
        """Start an episode, or with `resume` true continue the one of that id."""
        if RESUME in data:
            return await self._resume(data)
        asked_at = time.perf_counter()
        if data.get("episode_id") is not None or is_sealed_split(data.get("split")):
            started = await self._episodes.reset(data, self._transport)
            if started.handle is not None:
                await self._end_others(started.handle.episode_id, "restarted")
                self._go_on(started)
            return started.data
        reply = await in_turn(self._play.environment, self._play.reset, data, asked_at)
        if reply.status == ERROR:
            return self._play.data(reply)
        self._play.note_start(is_stored=False)
        self._handle = None
        self.step_now = None if self._play.environment.tools.slow else self._play.step
        return self._play.data(reply, self._play.names)

    async def step(self, data: dict[str, Any]) -> dict[str, Any]:
        if self._handle:
            return await super().step(data)
        return await take_step(self._play, data, asked_at=time.perf_counter())

    async def state(self) -> dict[str, Any]:
        return await super().state() if self._handle else self._play.state()

    async def leave(self, *, keep: bool, reason: EndReason) -> None:
        if self._handle is None:
            if keep:
                await self._episodes.save(self._play)
            RUNNING.end(self._play.running, reason)
        elif not keep:
            with suppress(EpisodeGoneError):  # somebody else has it, or ended it
                await self._episodes.close_episode(self._handle)
        elif reason not in (EndReason.RESUMED, EndReason.RESTARTED):  # else somebody goes on
            name = self._episodes.environment.name
            RUNNING.end(RUNNING.find(EpisodeKey(name, self._handle.episode_id)), reason)

    def _go_on(self, started: Started) -> None:
        """Continue with a stored episode."""
        RUNNING.end(self._play.running, EndReason.RESTARTED)  # what was played here before
        self._handle, self.step_now = started.handle, None
        self._play = self._episodes.play(self._transport, stored=False)

    async def _resume(self, data: dict[str, Any]) -> dict[str, Any]:
        episode_id = data.get("episode_id")
        if data[RESUME] is not True or not isinstance(episode_id, str) or len(data) > 2:
            return self._refused(
                'To go on with an episode send {"episode_id": its id, "resume": true} and nothing '
                "else."
            )
        if self._handle is None and self.episode_id == episode_id:
            return self._refused(f"This session plays {episode_id[:MAX_ECHO]!r} already.")
        await self._end_others(episode_id, "resumed")
        try:
            started = await self._episodes.resume(episode_id)
        except EpisodeGoneError as problem:
            return self._refused(str(problem))
        self._go_on(started)
        return started.data

    async def _end_others(self, episode_id: str, reason: str) -> None:
        """End this worker's other connections that play an episode; wait until it is stored."""
        leaving, played = [], (self._episodes.environment.name, episode_id)
        for session in self._slots:
            task, plays = session.task, (session.environment, session.episode_id)
            if plays == played and task is not None and task is not self._task:
                session.end(reason)
                leaving.append(task)
        if leaving:
            await asyncio.wait(leaving, timeout=HANDOVER_S)

    def _refused(self, problem: str) -> dict[str, Any]:
        return self._play.data(Reply(ERROR, problem))


class RefusedError(Exception):
    """A message that cannot be acted on: its kind for the figures, the framework's code, why."""

    def __init__(self, kind: str, code: str, problem: str) -> None:
        self.kind, self.code = kind, code
        super().__init__(problem)


def read_message(text: str | bytes) -> tuple[str, dict[str, Any]]:
    """Type and data of a message; a RefusedError or ValidationError says what is wrong with it."""
    try:
        message = messages.loads(text)
        if not isinstance(message, dict):
            raise ValueError(f"a message is an object; this one is {type(message).__name__}")
    except ValueError as error:
        problem = f"Invalid JSON: {error}"
        raise RefusedError("invalid_json", WSErrorCode.INVALID_JSON, problem) from None
    kind = message.get("type", "")
    if not isinstance(kind, str) or kind not in MESSAGES:
        problem = unknown_name_message("message type:", kind, MESSAGES)
        raise RefusedError("unknown_type", WSErrorCode.UNKNOWN_TYPE, problem)
    return kind, getattr(MESSAGES[kind](**message), "data", {})


def _refusal(kind: str, text: str, code: str, **more: Any) -> str:
    metrics.ERRORS.labels(kind).inc()
    return messages.error(text, code, **more)
