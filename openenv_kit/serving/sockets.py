"""One loop for every WebSocket route: slots, limits, and how a connection ends."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable
from typing import Any, Protocol

from openenv.core.env_server.types import WSErrorCode
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from openenv_kit.serving import metrics
from openenv_kit.serving.handles import EpisodeGoneError
from openenv_kit.serving.sessions import CapacityError, LiveSession, SessionSlots

GOODBYE_S = 2.0
"""Longest wait for a peer that may be gone."""

NORMAL, TOO_BIG, TRY_AGAIN_LATER, ENDED = 1000, 1009, 1013, 4408
"""Close codes; the last one is ours: the session was ended, and a message said why."""

ENDINGS = {
    "idle": "The session was silent for too long and has ended. Connect again and send a reset "
    'with {"episode_id": …, "resume": true} to go on with its episode.',
    "resumed": "The episode was resumed by another connection.",
    "restarted": "The episode was started over by another connection.",
}


class AttachError(Exception):
    """What a connection asked to attach to is not there, or not for it."""


class Goodbye(Exception):
    """The client said `close`."""


class Talk(Protocol):
    """What is said on one connection."""

    async def answer(self, session: LiveSession, text: str | bytes) -> str | None:
        """Reply to one message; None where it wants none."""

    async def leave(self, *, keep: bool) -> None:
        """The connection is over; with `keep`, its episode may be resumed."""


class Dialect(Protocol):
    """How a route talks.

    Attributes:
        too_big: what is said of a message longer than so many bytes; empty for nothing.
    """

    too_big: str

    async def open(self, websocket: WebSocket) -> Talk:
        """Begin to talk; an AttachError says that there is nothing to talk about."""

    def error(self, text: str, code: str, **told: Any) -> str:
        """Text of a message that says what is wrong."""


class SocketEndpoint:
    """An ASGI app that serves one WebSocket route.

    Args:
        slots: who may come in.
        dialect: how it talks.
        max_message_bytes: longest message read.
    """

    def __init__(self, slots: SessionSlots, dialect: Dialect, max_message_bytes: int) -> None:
        self._slots = slots
        self._dialect = dialect
        self._max_bytes = max_message_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, from its handshake to its end."""
        websocket = WebSocket(scope, receive, send)
        await websocket.accept()
        try:
            session = self._slots.take()
        except CapacityError as full:
            text = self._dialect.error(str(full), WSErrorCode.CAPACITY_REACHED, **full.told)
            await _within(websocket.send_text(text))
            await _within(websocket.close(TRY_AGAIN_LATER))
            return
        talk = None
        keep, said, code = True, "", NORMAL
        try:
            talk = await self._dialect.open(websocket)
            # A task of its own: each wait would else be handed through every layer above.
            code = await asyncio.create_task(self._serve(receive, send, session, talk))
            if code == TOO_BIG:
                said = self._dialect.too_big.format(self._max_bytes)
        except Goodbye:
            keep = False
        except WebSocketDisconnect:
            pass
        except AttachError as problem:
            keep, said = False, str(problem)
        except EpisodeGoneError as problem:
            said, code = str(problem), ENDED
        except asyncio.CancelledError:
            if not session.ended:
                raise
            asyncio.current_task().uncancel()  # type: ignore[union-attr]
            said, code = ENDINGS[session.ended], ENDED
        finally:
            if said:
                text = self._dialect.error(said, WSErrorCode.SESSION_ERROR)
                await _within(websocket.send_text(text))
            self._slots.free(session)
            if talk is not None:
                await asyncio.shield(talk.leave(keep=keep))
            await _within(websocket.close(code))

    async def _serve(self, receive: Receive, send: Send, session: LiveSession, talk: Talk) -> int:
        """Answer every message; returns the code to close with."""
        while True:
            received = await receive()
            if received["type"] == "websocket.disconnect":
                return NORMAL
            session.last_active = time.monotonic()
            text = received.get("text")
            if text is None:
                text = received.get("bytes") or b""
            if len(text) > self._max_bytes:
                metrics.ERRORS.labels("too_big").inc()
                return TOO_BIG
            answer = await talk.answer(session, text)
            if answer is not None:
                await send({"type": "websocket.send", "text": answer})


async def _within(sending: Awaitable[None]) -> None:
    """Send to a peer that may be gone."""
    with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(GOODBYE_S):
            await sending
