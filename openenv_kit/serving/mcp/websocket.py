"""The WebSocket `/mcp`: JSON-RPC messages of one connection, which plays one episode."""

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
    build_rpc_error,
    create_dispatcher,
    expects_response,
    handle_rpc_message,
)
from openenv_kit.serving.mcp.sessions import (
    convert_to_rpc_errors,
    resolve_requested_episode,
    start_episode_for_player,
)
from openenv_kit.serving.messages import JsonObject
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

    async def connect(self, websocket: WebSocket) -> McpConnection:
        return McpConnection(self._episodes, websocket)

    def format_error(self, text: str, code: str, **details: Any) -> str:
        """Return a JSON-RPC error. It always has the code SERVER_ERROR, and `code` is not used."""
        error = RpcError(RpcErrorCode.SERVER_ERROR, text, details or None)
        return _to_json_text(build_rpc_error(error))


class McpConnection(ConnectionHandler):
    """Plays the episode that the address names. A new episode starts with the first tool call.

    Args:
        episodes: episodes of the environment.
        websocket: connection, whose address names the episode.
    """

    def __init__(self, episodes: EpisodeService, websocket: WebSocket) -> None:
        self._episodes = episodes
        self._websocket = websocket
        self._access: EpisodeAccess | None = None
        self._is_own_episode = False  # started by this connection, so nobody else knows its ids
        self._dispatch = create_dispatcher(
            episodes.environment, self._step_or_start, self._get_episode_info
        )

    async def handle_message(self, session: WebSocketSession, text: str | bytes) -> str | None:
        """Return the response to a message; None if it expects none."""
        try:
            message = messages.loads(text)
        except ValueError as error:
            metrics.count_error(ErrorKind.INVALID_JSON)
            parse_error = RpcError(RpcErrorCode.PARSE_ERROR, f"Parse error: {error}")
            return _to_json_text(build_rpc_error(parse_error))
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
            error_text = logs.log_internal_error(logger, error, episode_id)
            internal_error = RpcError(RpcErrorCode.SERVER_ERROR, error_text)
            request_id = message.get("id") if isinstance(message, dict) else None
            return _to_json_text(build_rpc_error(internal_error, request_id))

    async def close(self, *, may_resume: bool, reason: EndReason) -> None:
        if self._is_own_episode and self._access is not None:
            with suppress(EpisodeGoneError, StoreError):
                await self._episodes.close_episode(self._access)

    async def _step_or_start(self, action: JsonObject) -> JsonObject:
        """Execute one step, and start the episode before if there is none yet."""
        with convert_to_rpc_errors():
            if self._access is None:
                self._access = await self._join_or_start_episode()
            return await self._episodes.step(self._access, action)

    async def _join_or_start_episode(self) -> EpisodeAccess:
        requested = await resolve_requested_episode(self._websocket, self._episodes)
        if isinstance(requested, EpisodeAccess):
            self._is_own_episode = False
            return requested
        self._is_own_episode = True
        player_id = await start_episode_for_player(self._episodes, requested, Transport.WEBSOCKET)
        return await self._episodes.find_player_access(player_id)

    async def _get_episode_info(self) -> Mapping[str, Any]:
        """Return the episode's state, or the reset arguments of one that has not started."""
        with convert_to_rpc_errors():
            requested = self._access or await resolve_requested_episode(
                self._websocket, self._episodes
            )
            if isinstance(requested, EpisodeAccess):
                return await self._episodes.get_state(requested)
            return requested or {"split": self._episodes.mcp_split}


def _to_json_text(response: JsonObject) -> str:
    return messages.dumps(response).decode()
