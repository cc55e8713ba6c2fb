"""One loop for every WebSocket route: slots, limits, idle sessions, how a connection ends."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from openenv.core.env_server.types import WSErrorCode
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from openenv_kit.serving import logs, metrics
from openenv_kit.serving.episodes.ids import EpisodeGoneError
from openenv_kit.serving.episodes.running_episodes import EndReason

if TYPE_CHECKING:
    from openenv_kit.serving.episodes.service import EpisodeService

CLOSE_TIMEOUT_S = 2.0
"""Longest wait for a peer that may be gone."""

NORMAL, TOO_BIG, INTERNAL_ERROR, SERVICE_RESTART = 1000, 1009, 1011, 1012
TRY_AGAIN_LATER, SESSION_ENDED = 1013, 4408
"""Close codes; the last one is ours: the session was ended, and a message said why."""

SESSION_END_TEXTS = {
    "idle": "The session was silent for too long and has ended. Connect again and send a reset "
    'with {"episode_id": …, "resume": true} to go on with its episode.',
    "resumed": "The episode was resumed by another connection.",
    "restarted": "The episode was started over by another connection.",
}

CAPACITY_RETRY_AFTER_S = 5
"""Seconds after which a refused client should retry."""

logger = logging.getLogger("openenv_kit.sessions")


class CapacityError(Exception):
    """Every slot is taken; `details` are what a client learns besides the message."""

    def __init__(
        self, active_sessions: int, max_sessions: int, scope_text: str = "this worker"
    ) -> None:
        metrics.ERRORS.labels("capacity").inc()
        counts = {"active_sessions": active_sessions, "max_sessions": max_sessions}
        self.details: dict[str, Any] = {**counts, "retry_after_s": CAPACITY_RETRY_AFTER_S}
        super().__init__(
            f"All {max_sessions} sessions of {scope_text} are in use ({active_sessions} active). "
            f"Retry in {CAPACITY_RETRY_AFTER_S} s."
        )


@dataclass(eq=False)
class WebSocketSession:
    """One open WebSocket session.

    Attributes:
        environment: name of what it plays.
        task: the task that serves it; cancelled to end it from outside.
        episode_id: name of its running episode.
        last_message_s: clock of its last message, in seconds (monotonic).
        end_reason: why it was ended from outside, or empty.
    """

    environment: str
    task: asyncio.Task[object] | None = None
    episode_id: str | None = None
    last_message_s: float = field(default_factory=time.monotonic)
    end_reason: str = ""

    def end(self, reason: str) -> None:
        """End the session; its task sends a last message if the peer still reads."""
        self.end_reason = reason
        if self.task is not None:
            self.task.cancel()


class SessionSlots:
    """The sessions of one worker, of all environments that it serves.

    Args:
        max_sessions: sessions at once.
        idle_timeout_s: seconds of silence after which a session is ended; 0 for never.
    """

    def __init__(self, max_sessions: int, idle_timeout_s: float) -> None:
        self.max_sessions = max_sessions
        self.idle_timeout_s = idle_timeout_s
        self._live: set[WebSocketSession] = set()

    def __iter__(self) -> Iterator[WebSocketSession]:
        return iter(tuple(self._live))

    def take_slot(self, environment_name: str) -> WebSocketSession:
        """Take a slot for the calling task; a CapacityError where none is free."""
        if len(self._live) >= self.max_sessions:
            raise CapacityError(len(self._live), self.max_sessions)
        session = WebSocketSession(environment_name, task=asyncio.current_task())
        self._live.add(session)
        metrics.SESSIONS.inc()
        return session

    def free_slot(self, session: WebSocketSession) -> None:
        """Give a slot back; safe to call twice."""
        if session in self._live:
            self._live.remove(session)
            metrics.SESSIONS.dec()

    def end_idle_sessions(self, now_s: float) -> None:
        """End every session that has been silent for too long.

        Slots are freed at once: a peer that is gone would never answer the closing handshake.
        """
        longest = self.idle_timeout_s or float("inf")
        for session in self:
            if now_s - session.last_message_s > longest:
                self.free_slot(session)
                session.end("idle")
                fields = {"reason": "idle", "episode_id": session.episode_id}
                logger.info("session ended", extra=fields)

    @asynccontextmanager
    async def expire_idle_sessions(self) -> AsyncIterator[None]:
        """End idle sessions while the block runs."""

        async def watch() -> None:
            while True:
                await asyncio.sleep(min(max(self.idle_timeout_s / 4, 0.05), 5.0))
                self.end_idle_sessions(time.monotonic())

        watcher = asyncio.create_task(watch())
        try:
            yield
        finally:
            watcher.cancel()


class ConnectionEnd(Exception):
    """The connection ends: the client said `close`, or asked for something it may not access."""


class ConnectionHandler(Protocol):
    """One connection's messages."""

    async def handle_message(self, session: WebSocketSession, text: str | bytes) -> str | None:
        """Reply to one message; None where it wants none."""

    async def close(self, *, may_resume: bool, reason: EndReason) -> None:
        """The connection is over.

        Args:
            may_resume: whether its episode may be resumed.
            reason: why it is over.
        """
        return


class WebSocketEndpoint:
    """An ASGI app that serves one WebSocket route; a subclass knows its messages.

    Args:
        slots: its sessions.
        episodes: what is played.
        max_message_bytes: of the longest message.
    """

    message_too_long_text = ""
    """What is said of a message longer than so many bytes; empty for nothing."""

    def __init__(
        self, slots: SessionSlots, episodes: EpisodeService, max_message_bytes: int
    ) -> None:
        self._slots = slots
        self._episodes = episodes
        self._max_bytes = max_message_bytes

    async def connect(self, websocket: WebSocket) -> ConnectionHandler:
        """Begin a conversation; a ConnectionEnd says why there is none."""
        raise NotImplementedError

    def format_error(self, text: str, code: str, **more: Any) -> str:
        """Text of a message that says what is wrong."""
        raise NotImplementedError

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, from its handshake to its end."""
        websocket = WebSocket(scope, receive, send)
        await websocket.accept()
        try:
            session = self._slots.take_slot(self._episodes.environment.name)
        except CapacityError as full:
            text = self.format_error(str(full), WSErrorCode.CAPACITY_REACHED, **full.details)
            await _send_within_timeout(websocket.send_text(text))
            await _send_within_timeout(websocket.close(TRY_AGAIN_LATER))
            return
        conversation = None
        keep, message, code, reason = True, "", NORMAL, EndReason.DISCONNECTED
        try:
            conversation = await self.connect(websocket)
            # A task of its own: each wait would else be handed through every layer above.
            code = await asyncio.create_task(
                self._handle_messages(receive, send, session, conversation)
            )
            if code == SERVICE_RESTART:
                reason = EndReason.STOPPED
            if code == TOO_BIG:
                message = self.message_too_long_text.format(self._max_bytes)
        except ConnectionEnd as end:
            keep, message, reason = False, str(end), EndReason.CLOSED
        except WebSocketDisconnect:
            pass
        except EpisodeGoneError as problem:
            message, code, reason = str(problem), SESSION_ENDED, EndReason.RESUMED
        except Exception as problem:
            message, code = (
                logs.log_internal_error(logger, problem, session.episode_id),
                INTERNAL_ERROR,
            )
            metrics.ERRORS.labels("internal").inc()
        except asyncio.CancelledError:
            if not session.end_reason:
                raise
            asyncio.current_task().uncancel()  # type: ignore[union-attr]
            message, code, reason = (
                SESSION_END_TEXTS[session.end_reason],
                SESSION_ENDED,
                EndReason(session.end_reason),
            )
        finally:
            if message:
                text = self.format_error(message, WSErrorCode.SESSION_ERROR)
                await _send_within_timeout(websocket.send_text(text))
            self._slots.free_slot(session)
            if conversation is not None:
                await asyncio.shield(conversation.close(may_resume=keep, reason=reason))
            await _send_within_timeout(websocket.close(code))

    async def _handle_messages(
        self, receive: Receive, send: Send, session: WebSocketSession, handler: ConnectionHandler
    ) -> int:
        """Answer every message; returns the code to close with."""
        while True:
            received = await receive()
            if received["type"] == "websocket.disconnect":
                return SERVICE_RESTART if received.get("code") == SERVICE_RESTART else NORMAL
            session.last_message_s = time.monotonic()
            text = received.get("text")
            if text is None:
                text = received.get("bytes") or b""
            if len(text) > self._max_bytes:
                metrics.ERRORS.labels("too_big").inc()
                return TOO_BIG
            answer = await handler.handle_message(session, text)
            if answer is not None:
                await send({"type": "websocket.send", "text": answer})


async def _send_within_timeout(sending: Awaitable[None]) -> None:
    """Send to a peer that may be gone."""
    with suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await sending
