"""The WebSocket route `/mcp`, where a connection plays one episode through JSON-RPC messages."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from openenv_kit.serving import logs, messages, metrics
from openenv_kit.serving.episodes.ids import EpisodeAccess, EpisodeGoneError
from openenv_kit.serving.episodes.running_episodes import EndReason
from openenv_kit.serving.episodes.service import EpisodeService
from openenv_kit.serving.mcp.dispatch import (
    RpcError,
    RpcErrorCode,
    build_rpc_error_body,
    create_rpc_dispatcher,
    expects_response,
    handle_rpc_message,
)
from openenv_kit.serving.mcp.sessions import (
    convert_episode_errors_to_rpc_errors,
    find_requested_episode_or_reset_arguments,
    start_requested_or_assigned_task,
)
from openenv_kit.serving.messages import JsonObject, WireReply
from openenv_kit.serving.metrics import ErrorKind
from openenv_kit.serving.store.errors import StoreError
from openenv_kit.serving.transports import Transport
from openenv_kit.serving.websocket.endpoint import (
    ConnectionEnd,
    ConnectionHandler,
    WebSocketEndpoint,
)
from openenv_kit.serving.websocket.sessions import WebSocketSession

logger = logging.getLogger("openenv_kit.mcp")


class McpWebSocketEndpoint(WebSocketEndpoint):
    """Serves JSON-RPC over a WebSocket."""

    async def create_connection_handler(self, websocket: WebSocket) -> McpConnection:
        return McpConnection(self._episodes, websocket)

    def format_error_message(self, text: str, code: str, **details: Any) -> str:
        """Return a JSON-RPC error. It always has the code SERVER_ERROR, and `code` is not used."""
        error = RpcError(RpcErrorCode.SERVER_ERROR, text, details or None)
        return _to_json_text(build_rpc_error_body(error))


class McpConnection(ConnectionHandler):
    """Connection that plays one episode, whose id the URL may contain.

    If the URL contains no id, the first tool call starts a new episode.

    Args:
        episodes: episodes of the environment.
        websocket: connection, whose URL may contain the id of an episode.
    """

    def __init__(self, episodes: EpisodeService, websocket: WebSocket) -> None:
        self._episodes = episodes
        self._websocket = websocket
        self._access: EpisodeAccess | None = None
        self._is_own_episode = False  # started by this connection, so no other client knows its ids
        self._dispatch = create_rpc_dispatcher(
            episodes.environment, self._start_if_needed_and_step, self._get_state_or_reset_arguments
        )

    async def build_reply_to_message(
        self, session: WebSocketSession, text: str | bytes
    ) -> str | None:
        """Return the response to a message; None if the message expects no response."""
        try:
            message = messages.parse_json_within_limits(text)
        except ValueError as error:
            metrics.count_error(ErrorKind.INVALID_JSON)
            parse_error = RpcError(RpcErrorCode.PARSE_ERROR, f"Parse error: {error}")
            return _to_json_text(build_rpc_error_body(parse_error))
        if not expects_response(message):
            return None
        try:
            response = await handle_rpc_message(message, self._dispatch)
            return _to_json_text(response.body)
        except (ConnectionEnd, EpisodeGoneError, WebSocketDisconnect):
            raise
        except Exception as error:
            metrics.count_error(ErrorKind.INTERNAL)
            episode_id = self._access.episode_id if self._access else None
            error_text = logs.log_internal_error_and_build_client_message(logger, error, episode_id)
            internal_error = RpcError(RpcErrorCode.SERVER_ERROR, error_text)
            request_id = message.get("id") if isinstance(message, dict) else None
            return _to_json_text(build_rpc_error_body(internal_error, request_id))

    async def store_or_close_episode_at_connection_end(
        self, *, may_resume: bool, reason: EndReason
    ) -> None:
        if self._is_own_episode and self._access is not None:
            with suppress(EpisodeGoneError, StoreError):
                await self._episodes.close_episode_and_release_unplayed_task(self._access)

    async def _start_if_needed_and_step(self, action: JsonObject) -> WireReply:
        """Execute one step. If there is no episode yet, join or start one first."""
        with convert_episode_errors_to_rpc_errors():
            if self._access is None:
                self._access = await self._join_or_start_episode()
            return await self._episodes.step(self._access, action)

    async def _join_or_start_episode(self) -> EpisodeAccess:
        requested = await find_requested_episode_or_reset_arguments(self._websocket, self._episodes)
        if isinstance(requested, EpisodeAccess):
            self._is_own_episode = False
            return requested
        self._is_own_episode = True
        player_id = await start_requested_or_assigned_task(
            self._episodes, requested, Transport.WEBSOCKET
        )
        return await self._episodes.find_access_by_player_id(player_id)

    async def _get_state_or_reset_arguments(self) -> Mapping[str, Any]:
        """Return the state of the episode, or its reset arguments if it has not started."""
        with convert_episode_errors_to_rpc_errors():
            requested = self._access or await find_requested_episode_or_reset_arguments(
                self._websocket, self._episodes
            )
            if isinstance(requested, EpisodeAccess):
                return await self._episodes.get_tool_selection_fields(requested)
            return requested or {"split": self._episodes.mcp_split}


def _to_json_text(response: JsonObject) -> str:
    return messages.to_json_bytes(response).decode()
