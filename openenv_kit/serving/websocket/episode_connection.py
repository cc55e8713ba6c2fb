"""Base class of the connections that play an episode on `/ws`, and the connection of a player."""

from __future__ import annotations

import logging
from typing import Protocol

from openenv.core.env_server.types import WSErrorCode
from pydantic import ValidationError
from starlette.websockets import WebSocketDisconnect

from openenv_kit.reply import Reply, ReplyStatus
from openenv_kit.serving import logs, messages
from openenv_kit.serving.episodes.ids import (
    EpisodeAccess,
    EpisodeGoneError,
    EpisodeTooLongError,
)
from openenv_kit.serving.episodes.service import EpisodeService
from openenv_kit.serving.mcp import dispatch
from openenv_kit.serving.messages import JsonObject, WireReply
from openenv_kit.serving.metrics import ErrorKind
from openenv_kit.serving.roles import PLAYER_RESET_MESSAGE
from openenv_kit.serving.store.errors import StoreError
from openenv_kit.serving.transports import Transport
from openenv_kit.serving.websocket.endpoint import ConnectionEnd, ConnectionHandler
from openenv_kit.serving.websocket.openenv_messages import (
    InvalidMessageError,
    MessageType,
    count_and_format_error,
    count_and_format_validation_error,
    parse_openenv_message,
)
from openenv_kit.serving.websocket.sessions import WebSocketSession

logger = logging.getLogger("openenv_kit.ws")


class ImmediateStep(Protocol):
    """Executes one step synchronously and returns the reply in the framework's format."""

    def __call__(self, action: JsonObject, /) -> JsonObject: ...


class EpisodeConnection(ConnectionHandler):
    """Base class of connections. It parses messages, calls the subclass and formats replies.

    Args:
        episodes: episodes of the environment.
    """

    immediate_step: ImmediateStep | None = None
    """Function that executes a step synchronously; None if steps may have to wait."""

    def __init__(self, episodes: EpisodeService) -> None:
        self._episodes = episodes

    async def build_reply_to_message(self, session: WebSocketSession, text: str | bytes) -> str:
        """Return the reply to a message, which is an error message if the request failed."""
        try:
            message_type, data = parse_openenv_message(text)
            if message_type == MessageType.STEP:
                # Fast path: nearly every message is a step, and few steps have to wait.
                step = self.immediate_step
                return messages.move_info_to_metadata_and_format_observation(
                    step(data) if step else await self.step(data)
                )
            reply = await self._build_reply_to_reset_state_or_mcp(message_type, data)
            session.episode_id = self.resumable_episode_id
            return reply
        except (ConnectionEnd, EpisodeGoneError, WebSocketDisconnect):
            raise
        except Exception as error:
            return self._count_and_format_error_reply(error)

    async def _build_reply_to_reset_state_or_mcp(self, message_type: str, data: JsonObject) -> str:
        match message_type:
            case MessageType.RESET:
                return messages.move_info_to_metadata_and_format_observation(await self.reset(data))
            case MessageType.STATE:
                return messages.format_typed_message("state", await self.get_state())
            case MessageType.MCP:
                environment = self._episodes.environment
                dispatcher = dispatch.create_rpc_dispatcher(
                    environment, self.step, self.get_tool_selection_fields
                )
                response = await dispatch.handle_rpc_message(data, dispatcher)
                return messages.format_typed_message("mcp", response.body)
        raise ConnectionEnd

    def _count_and_format_error_reply(self, error: Exception) -> str:
        """Count an error, log an unexpected one, and return the error message for the client."""
        match error:
            case InvalidMessageError():
                return count_and_format_error(error.error_kind, str(error), error.error_code)
            case ValidationError():
                return count_and_format_validation_error(error)
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
        text = logs.log_internal_error_and_build_client_message(
            logger, error, self.logged_episode_id
        )
        return count_and_format_error(ErrorKind.INTERNAL, text, WSErrorCode.EXECUTION_ERROR)

    @property
    def logged_episode_id(self) -> str | None:
        """Id of the running episode, for the log."""
        raise NotImplementedError

    @property
    def resumable_episode_id(self) -> str | None:
        """Id of the running episode, if another connection of this worker may take it over."""
        return None

    async def reset(self, reset_arguments: JsonObject) -> WireReply:
        """Start an episode and return the reply in the framework's format."""
        raise NotImplementedError

    async def step(self, action: JsonObject) -> WireReply:
        """Execute one step and return the reply in the framework's format."""
        raise NotImplementedError

    async def get_state(self) -> JsonObject:
        """Return the episode's public progress."""
        raise NotImplementedError

    async def get_tool_selection_fields(self) -> JsonObject:
        """Return the episode fields that determine which tools are available."""
        raise NotImplementedError


class PlayerConnection(EpisodeConnection):
    """Connection that plays a stored episode with a player id. It cannot reset the episode.

    Args:
        episodes: episodes of the environment.
        access: the player's access to the episode.
    """

    def __init__(self, episodes: EpisodeService, access: EpisodeAccess) -> None:
        super().__init__(episodes)
        self._access = access

    @property
    def logged_episode_id(self) -> str:
        return self._access.episode_id

    async def reset(self, reset_arguments: JsonObject) -> WireReply:
        reply = Reply(ReplyStatus.ERROR, PLAYER_RESET_MESSAGE)
        return self._episodes.create_live_episode_without_reset(
            Transport.WEBSOCKET
        ).build_wire_reply(reply)

    async def step(self, action: JsonObject) -> WireReply:
        return await self._episodes.step(self._access, action)

    async def get_state(self) -> JsonObject:
        return await self._episodes.get_progress_without_id_for_players(self._access)

    async def get_tool_selection_fields(self) -> JsonObject:
        return await self._episodes.get_tool_selection_fields(self._access)
