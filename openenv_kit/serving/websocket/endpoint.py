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
    from openenv_kit.serving.episodes.service import Episodes

CLOSE_S = 2.0
"""Longest wait for a peer that may be gone."""

NORMAL, TOO_BIG, INTERNAL_ERROR, SERVICE_RESTART = 1000, 1009, 1011, 1012
TRY_AGAIN_LATER, ENDED = 1013, 4408
"""Close codes; the last one is ours: the session was ended, and a message said why."""

ENDINGS = {
    "idle": "The session was silent for too long and has ended. Connect again and send a reset "
    'with {"episode_id": …, "resume": true} to go on with its episode.',
    "resumed": "The episode was resumed by another connection.",
    "restarted": "The episode was started over by another connection.",
}

RETRY_AFTER_S = 5
"""Seconds after which a refused client should retry."""

logger = logging.getLogger("openenv_kit.sessions")


class CapacityError(Exception):
    """Every slot is taken; `details` are what a client learns besides the message."""

    def __init__(self, active: int, limit: int, where: str = "this worker") -> None:
        metrics.ERRORS.labels("capacity").inc()
        counts = {"active_sessions": active, "max_sessions": limit}
        self.details: dict[str, Any] = {**counts, "retry_after_s": RETRY_AFTER_S}
        super().__init__(
            f"All {limit} sessions of {where} are in use ({active} active). "
            f"Retry in {RETRY_AFTER_S} s."
        )


@dataclass(eq=False)
class LiveSession:
    """One open WebSocket session.

    Attributes:
        environment: name of what it plays.
        task: the task that serves it; cancelled to end it from outside.
        episode_id: name of its running episode.
        last_active: clock of its last message, in seconds (monotonic).
        ended: why it was ended from outside, or empty.
    """

    environment: str
    task: asyncio.Task[object] | None = None
    episode_id: str | None = None
    last_active: float = field(default_factory=time.monotonic)
    ended: str = ""

    def end(self, reason: str) -> None:
        """End the session; its task sends a last message if the peer still reads."""
        self.ended = reason
        if self.task is not None:
            self.task.cancel()


class SessionSlots:
    """The sessions of one worker, of all environments that it serves.

    Args:
        limit: sessions at once.
        idle_timeout_s: seconds of silence after which a session is ended; 0 for never.
    """

    def __init__(self, limit: int, idle_timeout_s: float) -> None:
        self.limit = limit
        self.idle_timeout_s = idle_timeout_s
        self._live: set[LiveSession] = set()

    def __iter__(self) -> Iterator[LiveSession]:
        return iter(tuple(self._live))

    def take(self, environment: str) -> LiveSession:
        """Take a slot for the calling task; a CapacityError where none is free."""
        if len(self._live) >= self.limit:
            raise CapacityError(len(self._live), self.limit)
        session = LiveSession(environment, task=asyncio.current_task())
        self._live.add(session)
        metrics.SESSIONS.inc()
        return session

    def free(self, session: LiveSession) -> None:
        """Give a slot back; safe to call twice."""
        if session in self._live:
            self._live.remove(session)
            metrics.SESSIONS.dec()

    def end_idle(self, now: float) -> None:
        """End every session that has been silent for too long.

        Slots are freed at once: a peer that is gone would never answer the closing handshake.
        """
        longest = self.idle_timeout_s or float("inf")
        for session in self:
            if now - session.last_active > longest:
                self.free(session)
                session.end("idle")
                fields = {"reason": "idle", "episode_id": session.episode_id}
                logger.info("session ended", extra=fields)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """End idle sessions while the block runs."""

        async def watch() -> None:
            while True:
                await asyncio.sleep(min(max(self.idle_timeout_s / 4, 0.05), 5.0))
                self.end_idle(time.monotonic())

        watcher = asyncio.create_task(watch())
        try:
            yield
        finally:
            watcher.cancel()


class ConnectionEnd(Exception):
    """The connection ends: the client said `close`, or asked for something it may not access."""


class Conversation(Protocol):
    """One connection's messages."""

    async def answer(self, session: LiveSession, text: str | bytes) -> str | None:
        """Reply to one message; None where it wants none."""

    async def leave(self, *, keep: bool, reason: EndReason) -> None:
        """The connection is over.

        Args:
            keep: whether its episode may be resumed.
            reason: why it is over.
        """
        return


class SocketEndpoint:
    """An ASGI app that serves one WebSocket route; a subclass knows its messages.

    Args:
        slots: its sessions.
        episodes: what is played.
        max_message_bytes: of the longest message.
    """

    too_big = ""
    """What is said of a message longer than so many bytes; empty for nothing."""

    def __init__(self, slots: SessionSlots, episodes: Episodes, max_message_bytes: int) -> None:
        self._slots = slots
        self._episodes = episodes
        self._max_bytes = max_message_bytes

    async def open(self, websocket: WebSocket) -> Conversation:
        """Begin a conversation; a ConnectionEnd says why there is none."""
        raise NotImplementedError

    def error(self, text: str, code: str, **more: Any) -> str:
        """Text of a message that says what is wrong."""
        raise NotImplementedError

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, from its handshake to its end."""
        websocket = WebSocket(scope, receive, send)
        await websocket.accept()
        try:
            session = self._slots.take(self._episodes.environment.name)
        except CapacityError as full:
            text = self.error(str(full), WSErrorCode.CAPACITY_REACHED, **full.details)
            await _within(websocket.send_text(text))
            await _within(websocket.close(TRY_AGAIN_LATER))
            return
        conversation = None
        keep, message, code, reason = True, "", NORMAL, EndReason.DISCONNECTED
        try:
            conversation = await self.open(websocket)
            # A task of its own: each wait would else be handed through every layer above.
            code = await asyncio.create_task(self._serve(receive, send, session, conversation))
            if code == SERVICE_RESTART:
                reason = EndReason.STOPPED
            if code == TOO_BIG:
                message = self.too_big.format(self._max_bytes)
        except ConnectionEnd as end:
            keep, message, reason = False, str(end), EndReason.CLOSED
        except WebSocketDisconnect:
            pass
        except EpisodeGoneError as problem:
            message, code, reason = str(problem), ENDED, EndReason.RESUMED
        except Exception as problem:
            message, code = logs.internal_error(logger, problem, session.episode_id), INTERNAL_ERROR
            metrics.ERRORS.labels("internal").inc()
        except asyncio.CancelledError:
            if not session.ended:
                raise
            asyncio.current_task().uncancel()  # type: ignore[union-attr]
            message, code, reason = ENDINGS[session.ended], ENDED, EndReason(session.ended)
        finally:
            if message:
                text = self.error(message, WSErrorCode.SESSION_ERROR)
                await _within(websocket.send_text(text))
            self._slots.free(session)
            if conversation is not None:
                await asyncio.shield(conversation.leave(keep=keep, reason=reason))
            await _within(websocket.close(code))

    async def _serve(
        self, receive: Receive, send: Send, session: LiveSession, conversation: Conversation
    ) -> int:
        """Answer every message; returns the code to close with."""
        while True:
            received = await receive()
            if received["type"] == "websocket.disconnect":
                return SERVICE_RESTART if received.get("code") == SERVICE_RESTART else NORMAL
            session.last_active = time.monotonic()
            text = received.get("text")
            if text is None:
                text = received.get("bytes") or b""
            if len(text) > self._max_bytes:
                metrics.ERRORS.labels("too_big").inc()
                return TOO_BIG
            answer = await conversation.answer(session, text)
            if answer is not None:
                await send({"type": "websocket.send", "text": answer})


async def _within(sending: Awaitable[None]) -> None:
    """Send to a peer that may be gone."""
    with suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            await sending
