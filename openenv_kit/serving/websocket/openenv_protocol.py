"""The `/ws` route: the framework's protocol, compatible message by message.

The framework's own handler builds every reply four times, ends the session after a message that is
JSON but not an object, and has no limits.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import Any, Protocol

from openenv.core.env_server.types import WSErrorCode
from pydantic import ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from openenv_kit.errors import MAX_REPR_CHARACTERS
from openenv_kit.reply import Reply, ReplyStatus
from openenv_kit.sealed_split import is_sealed_split
from openenv_kit.serving import logs, messages
from openenv_kit.serving.episodes.ids import (
    EpisodeAccess,
    EpisodeGoneError,
    EpisodeTooLongError,
)
from openenv_kit.serving.episodes.live_episode import run_queued_reset, step_live_episode
from openenv_kit.serving.episodes.records import StartedEpisode
from openenv_kit.serving.episodes.running_episodes import RUNNING_EPISODES, EndReason, EpisodeKey
from openenv_kit.serving.episodes.service import EpisodeService
from openenv_kit.serving.mcp import dispatch
from openenv_kit.serving.messages import JsonObject
from openenv_kit.serving.metrics import ErrorKind
from openenv_kit.serving.roles import PLAYER_RESET_MESSAGE, PLAYER_WEBSOCKET_MESSAGE, Role
from openenv_kit.serving.store.interface import StoreError
from openenv_kit.serving.websocket.endpoint import (
    ConnectionEnd,
    ConnectionHandler,
    WebSocketEndpoint,
)
from openenv_kit.serving.websocket.openenv_messages import (
    InvalidMessageError,
    MessageType,
    count_and_format_error,
    format_validation_error,
    parse_message,
)
from openenv_kit.serving.websocket.sessions import SessionSlots, WebSocketSession

RELEASE_TIMEOUT_S = 6.0
"""Longest wait for another connection to release an episode."""

RESUME_ARGUMENT = "resume"

CLIENT_KIND_HEADER = "x-openenv-kit-client"
DEBUGGER_CLIENT = "page"
"""Value of the handshake's header with which the debugger identifies itself, for the log only."""

logger = logging.getLogger("openenv_kit.ws")


class StepFunction(Protocol):
    """Executes one step synchronously and returns the reply in the framework's form."""

    def __call__(self, action: JsonObject, /) -> JsonObject: ...


class OpenEnvWebSocketEndpoint(WebSocketEndpoint):
    """Serves the framework's messages: reset, step, state, close and mcp."""

    message_too_long_text = "A message may have {} bytes; the session ends."

    def format_error(self, text: str, code: str, **details: Any) -> str:
        return messages.format_error_message(text, code, **details)

    async def connect(self, websocket: WebSocket) -> EpisodeConnection:
        """Return the handler of a connection; `session_id` in the address is a player id."""
        player_id = websocket.query_params.get("session_id")
        if not player_id:
            if not Role(websocket.state.role).may_choose_episodes:
                raise ConnectionEnd(PLAYER_WEBSOCKET_MESSAGE)
            is_debugger = websocket.headers.get(CLIENT_KIND_HEADER) == DEBUGGER_CLIENT
            return TrainerConnection(self._slots, self._episodes, "page" if is_debugger else "ws")
        try:
            access = await self._episodes.find_player_access(player_id)
            await self._episodes.get_state(access)
        except (EpisodeGoneError, StoreError) as error:
            raise ConnectionEnd(str(error)) from None
        return PlayerConnection(self._episodes, access)


class EpisodeConnection(ConnectionHandler):
    """Base class of connections: parses messages, calls the methods and formats the replies.

    Args:
        episodes: episodes of the environment.
    """

    immediate_step: StepFunction | None = None
    """Executes a step that does not have to wait for anything; None if every step may wait."""

    def __init__(self, episodes: EpisodeService) -> None:
        self._episodes = episodes

    async def handle_message(self, session: WebSocketSession, text: str | bytes) -> str:
        """Return the reply to a message. Errors are replies too, and the session continues."""
        try:
            message_type, data = parse_message(text)
            if message_type == MessageType.STEP:
                # Nearly every message is a step, and few steps have to wait for anything.
                step = self.immediate_step
                return messages.format_observation_message(
                    step(data) if step else await self.step(data)
                )
            reply = await self._handle_request(message_type, data)
            session.episode_id = self.resumable_episode_id
            return reply
        except (ConnectionEnd, EpisodeGoneError, WebSocketDisconnect):
            raise
        except Exception as error:
            return self._format_error_reply(error)

    async def _handle_request(self, message_type: str, data: JsonObject) -> str:
        match message_type:
            case MessageType.RESET:
                return messages.format_observation_message(await self.reset(data))
            case MessageType.STATE:
                return messages.format_message("state", await self.get_state())
            case MessageType.MCP:
                environment = self._episodes.environment
                dispatcher = dispatch.create_dispatcher(environment, self.step, self.get_state)
                response = await dispatch.answer_rpc_message(data, dispatcher)
                return messages.format_message("mcp", response.body)
        raise ConnectionEnd

    def _format_error_reply(self, error: Exception) -> str:
        """Count an error, log an unexpected one, and return the error message for the client."""
        match error:
            case InvalidMessageError():
                return count_and_format_error(error.error_kind, str(error), error.error_code)
            case ValidationError():
                return format_validation_error(error)
            case StoreError():
                return count_and_format_error(
                    ErrorKind.STORE,
                    str(error),
                    WSErrorCode.CAPACITY_REACHED,
                    retry_after_s=error.retry_after_s,
                )
            case EpisodeTooLongError():
                return count_and_format_error(
                    ErrorKind.TOO_BIG, str(error), WSErrorCode.VALIDATION_ERROR
                )
        text = logs.log_internal_error(logger, error, self.logged_episode_id)
        return count_and_format_error(ErrorKind.INTERNAL, text, WSErrorCode.EXECUTION_ERROR)

    @property
    def logged_episode_id(self) -> str | None:
        """Id of the running episode, for the log."""
        raise NotImplementedError

    @property
    def resumable_episode_id(self) -> str | None:
        """Id of the running episode, if another connection of this worker may take it over."""
        return None

    async def reset(self, reset_arguments: JsonObject) -> JsonObject:
        """Start an episode and return the reply in the framework's form."""
        raise NotImplementedError

    async def step(self, action: JsonObject) -> JsonObject:
        """Execute one step and return the reply in the framework's form."""
        raise NotImplementedError

    async def get_state(self) -> JsonObject:
        """Return the episode's public progress."""
        raise NotImplementedError


class PlayerConnection(EpisodeConnection):
    """A connection that plays a stored episode with a player id, and cannot reset.

    Args:
        episodes: episodes of the environment.
        access: the player's access to its episode.
    """

    def __init__(self, episodes: EpisodeService, access: EpisodeAccess) -> None:
        super().__init__(episodes)
        self._access = access

    @property
    def logged_episode_id(self) -> str:
        return self._access.episode_id

    async def reset(self, reset_arguments: JsonObject) -> JsonObject:
        reply = Reply(ReplyStatus.ERROR, PLAYER_RESET_MESSAGE)
        return self._episodes.create_live_episode("ws").build_wire_reply(reply)

    async def step(self, action: JsonObject) -> JsonObject:
        return await self._episodes.step(self._access, action)

    async def get_state(self) -> JsonObject:
        return await self._episodes.get_state(self._access)


class TrainerConnection(EpisodeConnection):
    """A connection that starts and plays its own episodes.

    An episode whose id the server generated stays in memory until the connection ends, because
    nothing else can reach it before. An episode that was resumed, or whose id the client chose, is
    stored step by step, and belongs to the connection that resumed or started it last.

    Args:
        slots: sessions of this worker.
        episodes: episodes of the environment.
        transport: transport of its episodes in log and metrics: `ws` or `page`.
    """

    def __init__(self, slots: SessionSlots, episodes: EpisodeService, transport: str) -> None:
        super().__init__(episodes)
        self._slots = slots
        self._transport = transport
        self._live_episode = episodes.create_live_episode(transport, is_stored=False)
        self._stored_access: EpisodeAccess | None = None
        self._task = asyncio.current_task()
        self.immediate_step = self._live_episode.step

    @property
    def logged_episode_id(self) -> str | None:
        return self.resumable_episode_id

    @property
    def resumable_episode_id(self) -> str | None:
        if self._stored_access is not None:
            return self._stored_access.episode_id
        return self._live_episode.episode_id

    async def reset(self, reset_arguments: JsonObject) -> JsonObject:
        """Start an episode; with `resume`, continue the stored episode of that id."""
        if RESUME_ARGUMENT in reset_arguments:
            return await self._resume_episode(reset_arguments)
        requested_at_s = time.perf_counter()
        if reset_arguments.get("episode_id") is not None or is_sealed_split(
            reset_arguments.get("split")
        ):
            started = await self._episodes.reset(reset_arguments, self._transport)
            if started.access is not None:
                await self._end_other_connections(started.access.episode_id, EndReason.RESTARTED)
                self._switch_to_stored_episode(started)
            return started.wire_reply
        live_episode = self._live_episode
        reply = await run_queued_reset(
            live_episode.environment, live_episode.reset, reset_arguments, requested_at_s
        )
        if reply.status == ReplyStatus.ERROR:
            return live_episode.build_wire_reply(reply)
        live_episode.register_start(is_stored=False)
        self._stored_access = None
        has_slow_tools = live_episode.environment.tools.has_slow_tools
        self.immediate_step = None if has_slow_tools else live_episode.step
        return live_episode.build_wire_reply(reply, live_episode.episode_ids)

    async def step(self, action: JsonObject) -> JsonObject:
        if self._stored_access is not None:
            return await self._episodes.step(self._stored_access, action)
        return await step_live_episode(
            self._live_episode, action, requested_at_s=time.perf_counter()
        )

    async def get_state(self) -> JsonObject:
        if self._stored_access is not None:
            return await self._episodes.get_state(self._stored_access)
        return self._live_episode.get_state()

    async def close(self, *, may_resume: bool, reason: EndReason) -> None:
        if self._stored_access is None:
            if may_resume:
                await self._episodes.store_disconnected_episode(self._live_episode)
            RUNNING_EPISODES.register_end(self._live_episode.running_entry, reason)
        elif not may_resume:
            # The episode may be gone because another connection resumed or closed it.
            with suppress(EpisodeGoneError):
                await self._episodes.close_episode(self._stored_access)
        elif reason not in (EndReason.RESUMED, EndReason.RESTARTED):
            # In those two cases another connection plays the episode, so it has not ended.
            key = EpisodeKey(self._episodes.environment.name, self._stored_access.episode_id)
            RUNNING_EPISODES.register_end(RUNNING_EPISODES.find(key), reason)

    def _switch_to_stored_episode(self, started: StartedEpisode) -> None:
        """Continue with a stored episode, and end the one that this connection played before."""
        RUNNING_EPISODES.register_end(self._live_episode.running_entry, EndReason.RESTARTED)
        self._stored_access, self.immediate_step = started.access, None
        self._live_episode = self._episodes.create_live_episode(self._transport, is_stored=False)

    async def _resume_episode(self, reset_arguments: JsonObject) -> JsonObject:
        episode_id = reset_arguments.get("episode_id")
        if (
            reset_arguments[RESUME_ARGUMENT] is not True
            or not isinstance(episode_id, str)
            or len(reset_arguments) > 2
        ):
            return self._build_error_reply(
                'To resume an episode, send {"episode_id": its id, "resume": true} without other '
                "arguments."
            )
        if self._stored_access is None and self._live_episode.episode_id == episode_id:
            return self._build_error_reply(
                f"This session already plays {episode_id[:MAX_REPR_CHARACTERS]!r}."
            )
        await self._end_other_connections(episode_id, EndReason.RESUMED)
        try:
            started = await self._episodes.resume_episode(episode_id)
        except EpisodeGoneError as error:
            return self._build_error_reply(str(error))
        self._switch_to_stored_episode(started)
        return started.wire_reply

    async def _end_other_connections(self, episode_id: str, reason: EndReason) -> None:
        """End this worker's other connections to an episode, and wait until they have stored it."""
        environment = self._episodes.environment.name
        ending_tasks = []
        for session in self._slots:
            if session.environment != environment or session.episode_id != episode_id:
                continue
            if session.task is not None and session.task is not self._task:
                session.end(reason)
                ending_tasks.append(session.task)
        if ending_tasks:
            await asyncio.wait(ending_tasks, timeout=RELEASE_TIMEOUT_S)

    def _build_error_reply(self, error_text: str) -> JsonObject:
        return self._live_episode.build_wire_reply(Reply(ReplyStatus.ERROR, error_text))
