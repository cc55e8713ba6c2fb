"""The `/ws` route, which implements the framework's WebSocket protocol.

This implementation replaces the framework's handler, which builds every reply four times, ends the
session after a message that is JSON but not an object, and has no limits. All messages are
compatible with the framework's.
"""

from __future__ import annotations

from typing import Any

from starlette.websockets import WebSocket

from openenv_kit.serving import messages
from openenv_kit.serving.episodes.ids import EpisodeGoneError
from openenv_kit.serving.roles import PLAYER_WEBSOCKET_MESSAGE, Role
from openenv_kit.serving.store.errors import StoreError
from openenv_kit.serving.transports import Transport
from openenv_kit.serving.websocket.endpoint import ConnectionEnd, WebSocketEndpoint
from openenv_kit.serving.websocket.episode_connection import EpisodeConnection, PlayerConnection
from openenv_kit.serving.websocket.trainer_connection import TrainerConnection

CLIENT_KIND_HEADER = "x-openenv-kit-client"
DEBUGGER_CLIENT = "page"
"""Value of `CLIENT_KIND_HEADER` in handshakes of the debugger, for the log and the metrics."""


class OpenEnvWebSocketEndpoint(WebSocketEndpoint):
    """Serves the framework's messages: reset, step, state, close and mcp."""

    message_too_long_text = "A message may have {} bytes; the session ends."

    def format_error_message(self, text: str, code: str, **details: Any) -> str:
        return messages.format_error_message(text, code, **details)

    async def create_connection_handler(self, websocket: WebSocket) -> EpisodeConnection:
        """Create the handler for a player if the URL has a `session_id`, else for a trainer."""
        player_id = websocket.query_params.get("session_id")
        if not player_id:
            if not Role(websocket.state.role).may_choose_episodes:
                raise ConnectionEnd(PLAYER_WEBSOCKET_MESSAGE)
            is_debugger = websocket.headers.get(CLIENT_KIND_HEADER) == DEBUGGER_CLIENT
            transport = Transport.PAGE if is_debugger else Transport.WEBSOCKET
            return TrainerConnection(self._slots, self._episodes, transport)
        try:
            access = await self._episodes.find_access_by_player_id(player_id)
            await self._episodes.get_progress_without_id_for_players(access)
        except (EpisodeGoneError, StoreError) as error:
            raise ConnectionEnd(str(error)) from None
        return PlayerConnection(self._episodes, access)
