"""Base class of the WebSocket routes, which serves a connection from handshake to close."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from openenv.core.env_server.types import WSErrorCode
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from openenv_kit.serving import logs, metrics
from openenv_kit.serving.episodes.ids import EpisodeGoneError
from openenv_kit.serving.episodes.running_episodes import EndReason
from openenv_kit.serving.metrics import ErrorKind
from openenv_kit.serving.websocket.close_codes import CloseCode
from openenv_kit.serving.websocket.sessions import CapacityError, SessionSlots, WebSocketSession

if TYPE_CHECKING:
    from openenv_kit.serving.episodes.service import EpisodeService

CLOSE_TIMEOUT_S = 2.0
"""Maximum time to wait for a client that may have disappeared, when sending or closing."""

SESSION_END_MESSAGES = {
    EndReason.IDLE: "The session was idle for too long and has ended. To continue its episode, "
    'connect again and send a reset with {"episode_id": …, "resume": true}.',
    EndReason.RESUMED: "The episode was resumed by another connection.",
    EndReason.RESTARTED: "The episode was restarted by another connection.",
}
"""Last message that the server sends when it ends a session, by the reason for the end."""

logger = logging.getLogger("openenv_kit.sessions")


class ConnectionEnd(Exception):
    """The connection must end: the client sent `close`, or is not allowed to connect.

    The exception's message, if not empty, is sent to the client.
    """


class ConnectionHandler(Protocol):
    """Handles the messages of one connection."""

    async def build_reply_to_message(
        self, session: WebSocketSession, text: str | bytes
    ) -> str | None:
        """Return the reply to a message; None if the message expects no reply."""

    async def store_or_close_episode_at_connection_end(
        self, *, may_resume: bool, reason: EndReason
    ) -> None:
        """Release the episode when the connection has ended.

        Args:
            may_resume: whether another connection may resume the episode.
            reason: why the connection ended.
        """
        return


@dataclass(frozen=True)
class ConnectionOutcome:
    """How a connection ended.

    Attributes:
        reason: why the connection ended.
        code: WebSocket close code.
        message: error message to send before the connection is closed; empty to send no message.
        may_resume: whether another connection may resume the episode.
    """

    reason: EndReason = EndReason.DISCONNECTED
    code: CloseCode = CloseCode.NORMAL
    message: str = ""
    may_resume: bool = True


class WebSocketEndpoint:
    """ASGI app of one WebSocket route. Subclasses define the format of its messages.

    Args:
        slots: slots for the sessions of the route.
        episodes: episodes of the environment.
        max_message_bytes: maximum size of a message.
    """

    message_too_long_text = ""
    """Template of the error for a message that is too long, with `{}` for the maximum in bytes. If
    empty, the connection is closed without a message."""

    def __init__(
        self, slots: SessionSlots, episodes: EpisodeService, max_message_bytes: int
    ) -> None:
        self._slots = slots
        self._episodes = episodes
        self._max_message_bytes = max_message_bytes

    async def create_connection_handler(self, websocket: WebSocket) -> ConnectionHandler:
        """Create the handler of a new connection.

        Raises:
            ConnectionEnd: the client is not allowed to connect.
        """
        raise NotImplementedError

    def format_error_message(self, text: str, code: str, **details: Any) -> str:
        """Return an error message in the format of this route, as a JSON string."""
        raise NotImplementedError

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection from its handshake to its end."""
        websocket = WebSocket(scope, receive, send)
        await websocket.accept()
        try:
            session = self._slots.open_session_in_free_slot(self._episodes.environment.name)
        except CapacityError as error:
            text = self.format_error_message(
                str(error), WSErrorCode.CAPACITY_REACHED, **error.details
            )
            await _send_until_timeout_or_disconnect(websocket.send_text(text))
            await _send_until_timeout_or_disconnect(websocket.close(CloseCode.TRY_AGAIN_LATER))
            return
        handler = None
        outcome = ConnectionOutcome()
        try:
            handler = await self.create_connection_handler(websocket)
            # A separate task is used, because otherwise each wait would resume through all
            # layers of middleware.
            outcome = await asyncio.create_task(
                self._reply_to_messages_until_end(receive, send, session, handler)
            )
        except asyncio.CancelledError:
            if session.end_reason is None:
                raise
            asyncio.current_task().uncancel()  # type: ignore[union-attr]
            message = SESSION_END_MESSAGES[session.end_reason]
            outcome = ConnectionOutcome(session.end_reason, CloseCode.SESSION_ENDED, message)
        except Exception as error:
            outcome = _log_error_and_get_connection_outcome(error, session)
        finally:
            if outcome.message:
                text = self.format_error_message(outcome.message, WSErrorCode.SESSION_ERROR)
                await _send_until_timeout_or_disconnect(websocket.send_text(text))
            self._slots.free_slot(session)
            if handler is not None:
                await asyncio.shield(
                    handler.store_or_close_episode_at_connection_end(
                        may_resume=outcome.may_resume, reason=outcome.reason
                    )
                )
            await _send_until_timeout_or_disconnect(websocket.close(outcome.code))

    async def _reply_to_messages_until_end(
        self, receive: Receive, send: Send, session: WebSocketSession, handler: ConnectionHandler
    ) -> ConnectionOutcome:
        """Reply to every message until the client disconnects or a message is too long."""
        while True:
            received = await receive()
            if received["type"] == "websocket.disconnect":
                if received.get("code") == CloseCode.SERVICE_RESTART:
                    return ConnectionOutcome(EndReason.STOPPED, CloseCode.SERVICE_RESTART)
                return ConnectionOutcome()
            session.last_message_s = time.monotonic()
            text = received.get("text")
            if text is None:
                text = received.get("bytes") or b""
            if len(text) > self._max_message_bytes:
                metrics.count_error(ErrorKind.TOO_BIG)
                message = self.message_too_long_text.format(self._max_message_bytes)
                return ConnectionOutcome(code=CloseCode.TOO_BIG, message=message)
            reply = await handler.build_reply_to_message(session, text)
            if reply is not None:
                await send({"type": "websocket.send", "text": reply})


def _log_error_and_get_connection_outcome(
    error: Exception, session: WebSocketSession
) -> ConnectionOutcome:
    """Return how a connection ends after an exception. Unexpected exceptions are logged."""
    match error:
        case ConnectionEnd():
            return ConnectionOutcome(EndReason.CLOSED, message=str(error), may_resume=False)
        case WebSocketDisconnect():
            return ConnectionOutcome()
        case EpisodeGoneError():
            return ConnectionOutcome(EndReason.RESUMED, CloseCode.SESSION_ENDED, str(error))
    metrics.count_error(ErrorKind.INTERNAL)
    text = logs.log_internal_error_and_build_client_message(logger, error, session.episode_id)
    return ConnectionOutcome(code=CloseCode.INTERNAL_ERROR, message=text)


async def _send_until_timeout_or_disconnect(sending: Awaitable[None]) -> None:
    """Wait until a message is sent. Give up after a timeout or if the client has disconnected."""
    with suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await sending
