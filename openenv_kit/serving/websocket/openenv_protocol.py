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

from openenv_kit.environment import Reply
from openenv_kit.errors import MAX_REPR_CHARACTERS, unknown_name_message
from openenv_kit.reply import ReplyStatus
from openenv_kit.sealed_split import is_sealed_split
from openenv_kit.serving import logs, messages, metrics
from openenv_kit.serving.episodes.ids import (
    PLAYER,
    EpisodeAccess,
    EpisodeGoneError,
    EpisodeTooLongError,
)
from openenv_kit.serving.episodes.records import StartedEpisode
from openenv_kit.serving.episodes.running_episodes import RUNNING_EPISODES, EndReason, EpisodeKey
from openenv_kit.serving.episodes.service import EpisodeService
from openenv_kit.serving.episodes.worker_threads import run_queued_reset, step_live_episode
from openenv_kit.serving.mcp import dispatch as mcp_tools
from openenv_kit.serving.store.errors import StoreError
from openenv_kit.serving.websocket.endpoint import (
    ConnectionEnd,
    ConnectionHandler,
    SessionSlots,
    WebSocketEndpoint,
    WebSocketSession,
)

MESSAGE_MODELS: dict[str, type[BaseModel]] = {
    "reset": WSResetMessage,
    "step": WSStepMessage,
    "state": WSStateMessage,
    "close": WSCloseMessage,
    "mcp": WSMCPMessage,
}

RELEASE_TIMEOUT_S = 6.0
"""Longest wait, in seconds, for another connection to release an episode."""

RESUME_ARGUMENT = "resume"

CLIENT_KIND_HEADER, DEBUGGER_CLIENT = "x-openenv-kit-client", "page"
"""By this header of its handshake the page is told from other clients, for the log only."""

logger = logging.getLogger("openenv_kit.ws")


class OpenEnvWebSocketEndpoint(WebSocketEndpoint):
    """The framework's messages: reset, step, state, close and mcp."""

    message_too_long_text = "A message may have {} bytes; the session ends."

    def format_error(self, text: str, code: str, **more: Any) -> str:
        return messages.format_error_message(text, code, **more)

    async def connect(self, websocket: WebSocket) -> PlayerConnection:
        """See `WebSocketEndpoint`; `session_id` in the address is a player's handle."""
        session_id = websocket.query_params.get("session_id")
        if not session_id:
            if websocket.state.role == PLAYER:
                raise ConnectionEnd(
                    "With the player's token connect to /ws?session_id=<player_id>: the trainer's "
                    "reset returns the player_id."
                )
            is_page = websocket.headers.get(CLIENT_KIND_HEADER) == DEBUGGER_CLIENT
            return TrainerConnection(self._slots, self._episodes, "page" if is_page else "ws")
        try:
            handle = await self._episodes.find_player_access(session_id)
            await self._episodes.get_state(handle)
        except (EpisodeGoneError, StoreError) as problem:
            raise ConnectionEnd(str(problem)) from None
        return PlayerConnection(self._episodes, handle)


class PlayerConnection(ConnectionHandler):
    """A connection that plays a stored episode through its player's handle, and never resets."""

    immediate_step: Callable[..., dict[str, Any]] | None = None
    """One step without anything to wait for; None where there is."""

    def __init__(self, episodes: EpisodeService, access: EpisodeAccess | None = None) -> None:
        self._episodes = episodes
        self._handle = access

    async def handle_message(self, session: WebSocketSession, text: str | bytes) -> str:
        """Reply to one message; whatever goes wrong is a reply too."""
        try:
            kind, data = parse_message(text)
            if kind == "step":
                # Nearly every message is one, and few have anything to wait for.
                now = self.immediate_step
                return messages.format_observation_message(
                    now(data) if now else await self.step(data)
                )
            answer = await self._handle_request(kind, data)
            session.episode_id = self.episode_id
            return answer
        except InvalidMessageError as problem:
            return _count_and_format_error(problem.kind, str(problem), problem.code)
        except ValidationError as problem:
            errors = problem.errors(include_url=False, include_input=False, include_context=False)
            invalid = WSErrorCode.VALIDATION_ERROR
            return _count_and_format_error(
                "invalid_message", "Invalid message", invalid, errors=errors
            )
        except StoreError as problem:
            wait, code = problem.retry_after_s, WSErrorCode.CAPACITY_REACHED
            return _count_and_format_error("store", str(problem), code, retry_after_s=wait)
        except EpisodeTooLongError as problem:
            return _count_and_format_error("too_big", str(problem), WSErrorCode.VALIDATION_ERROR)
        except (ConnectionEnd, EpisodeGoneError, WebSocketDisconnect):
            raise
        except Exception as problem:
            named = self._handle.episode_id if self._handle else self.episode_id
            text = logs.log_internal_error(logger, problem, named)
            return _count_and_format_error("internal", text, WSErrorCode.EXECUTION_ERROR)

    async def _handle_request(self, kind: str, data: dict[str, Any]) -> str:
        if kind == "reset":
            return messages.format_observation_message(await self.reset(data))
        if kind == "state":
            return messages.format_message("state", await self.get_state())
        if kind == "mcp":
            environment = self._episodes.environment
            dispatch = mcp_tools.create_dispatcher(environment, self.step, self.get_state)
            answered = await mcp_tools.answer_rpc_message(data, dispatch)
            return messages.format_message("mcp", answered.body)
        raise ConnectionEnd

    @property
    def episode_id(self) -> str | None:
        """Name of the running episode, where another connection may take it over."""
        return None

    async def reset(self, reset_arguments: dict[str, Any]) -> dict[str, Any]:
        """Start an episode."""
        problem = (
            "A player cannot reset: the episode is its trainer's. Step until it is over; for "
            "another episode ask the trainer for another player id."
        )
        return self._episodes.create_live_episode("ws").build_wire_reply(
            Reply(ReplyStatus.ERROR, problem)
        )

    async def step(self, action: dict[str, Any]) -> dict[str, Any]:
        """One step."""
        assert self._handle is not None
        return await self._episodes.step(self._handle, action)

    async def get_state(self) -> dict[str, Any]:
        """Public progress."""
        assert self._handle is not None
        return await self._episodes.get_state(self._handle)


class TrainerConnection(PlayerConnection):
    """A connection that plays an episode of its own.

    One that the server named stays in memory until the connection is dropped: nothing else can
    reach it before. One that was resumed, or that the client named, is played in the store step
    by step, and belongs to whoever resumed or started it last.
    """

    def __init__(self, slots: SessionSlots, episodes: EpisodeService, transport: str) -> None:
        super().__init__(episodes)
        self._slots = slots
        self._transport = transport
        self._play = episodes.create_live_episode(transport, is_stored=False)
        self._task = asyncio.current_task()
        self.immediate_step = self._play.step

    @property
    def episode_id(self) -> str | None:
        return self._handle.episode_id if self._handle else self._play.episode_id

    async def reset(self, reset_arguments: dict[str, Any]) -> dict[str, Any]:
        """Start an episode, or with `resume` true continue the one of that id."""
        if RESUME_ARGUMENT in reset_arguments:
            return await self._resume_episode(reset_arguments)
        asked_at = time.perf_counter()
        if reset_arguments.get("episode_id") is not None or is_sealed_split(
            reset_arguments.get("split")
        ):
            started = await self._episodes.reset(reset_arguments, self._transport)
            if started.access is not None:
                await self._end_other_connections(started.access.episode_id, "restarted")
                self._switch_to_stored_episode(started)
            return started.wire_reply
        reply = await run_queued_reset(
            self._play.environment, self._play.reset, reset_arguments, asked_at
        )
        if reply.status == ReplyStatus.ERROR:
            return self._play.build_wire_reply(reply)
        self._play.register_start(is_stored=False)
        self._handle = None
        self.immediate_step = (
            None if self._play.environment.tools.has_slow_tools else self._play.step
        )
        return self._play.build_wire_reply(reply, self._play.episode_ids)

    async def step(self, action: dict[str, Any]) -> dict[str, Any]:
        if self._handle:
            return await super().step(action)
        return await step_live_episode(self._play, action, requested_at_s=time.perf_counter())

    async def get_state(self) -> dict[str, Any]:
        return await super().get_state() if self._handle else self._play.get_state()

    async def close(self, *, may_resume: bool, reason: EndReason) -> None:
        if self._handle is None:
            if may_resume:
                await self._episodes.store_disconnected_episode(self._play)
            RUNNING_EPISODES.register_end(self._play.running_entry, reason)
        elif not may_resume:
            with suppress(EpisodeGoneError):  # somebody else has it, or ended it
                await self._episodes.close_episode(self._handle)
        elif reason not in (EndReason.RESUMED, EndReason.RESTARTED):  # else somebody goes on
            name = self._episodes.environment.name
            RUNNING_EPISODES.register_end(
                RUNNING_EPISODES.find(EpisodeKey(name, self._handle.episode_id)), reason
            )

    def _switch_to_stored_episode(self, started: StartedEpisode) -> None:
        """Continue with a stored episode."""
        RUNNING_EPISODES.register_end(
            self._play.running_entry, EndReason.RESTARTED
        )  # what was played here before
        self._handle, self.immediate_step = started.access, None
        self._play = self._episodes.create_live_episode(self._transport, is_stored=False)

    async def _resume_episode(self, reset_arguments: dict[str, Any]) -> dict[str, Any]:
        episode_id = reset_arguments.get("episode_id")
        if (
            reset_arguments[RESUME_ARGUMENT] is not True
            or not isinstance(episode_id, str)
            or len(reset_arguments) > 2
        ):
            return self._build_error_reply(
                'To go on with an episode send {"episode_id": its id, "resume": true} and nothing '
                "else."
            )
        if self._handle is None and self.episode_id == episode_id:
            return self._build_error_reply(
                f"This session plays {episode_id[:MAX_REPR_CHARACTERS]!r} already."
            )
        await self._end_other_connections(episode_id, "resumed")
        try:
            started = await self._episodes.resume_episode(episode_id)
        except EpisodeGoneError as problem:
            return self._build_error_reply(str(problem))
        self._switch_to_stored_episode(started)
        return started.wire_reply

    async def _end_other_connections(self, episode_id: str, reason: str) -> None:
        """End this worker's other connections that play an episode; wait until it is stored."""
        leaving, played = [], (self._episodes.environment.name, episode_id)
        for session in self._slots:
            task, plays = session.task, (session.environment, session.episode_id)
            if plays == played and task is not None and task is not self._task:
                session.end(reason)
                leaving.append(task)
        if leaving:
            await asyncio.wait(leaving, timeout=RELEASE_TIMEOUT_S)

    def _build_error_reply(self, error_text: str) -> dict[str, Any]:
        return self._play.build_wire_reply(Reply(ReplyStatus.ERROR, error_text))


class InvalidMessageError(Exception):
    """A message that cannot be acted on: its kind for the figures, the framework's code, why."""

    def __init__(self, error_kind: str, error_code: str, error_text: str) -> None:
        self.kind, self.code = error_kind, error_code
        super().__init__(error_text)


def parse_message(text: str | bytes) -> tuple[str, dict[str, Any]]:
    """Type and data of a message; a RefusedError or ValidationError says what is wrong with it."""
    try:
        message = messages.loads(text)
        if not isinstance(message, dict):
            raise ValueError(f"a message is an object; this one is {type(message).__name__}")
    except ValueError as error:
        problem = f"Invalid JSON: {error}"
        raise InvalidMessageError("invalid_json", WSErrorCode.INVALID_JSON, problem) from None
    kind = message.get("type", "")
    if not isinstance(kind, str) or kind not in MESSAGE_MODELS:
        problem = unknown_name_message("message type:", kind, MESSAGE_MODELS)
        raise InvalidMessageError("unknown_type", WSErrorCode.UNKNOWN_TYPE, problem)
    return kind, getattr(MESSAGE_MODELS[kind](**message), "data", {})


def _count_and_format_error(error_kind: str, text: str, code: str, **more: Any) -> str:
    metrics.ERRORS.labels(error_kind).inc()
    return messages.format_error_message(text, code, **more)
