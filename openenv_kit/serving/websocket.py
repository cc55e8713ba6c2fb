"""The `/ws` route: the framework's protocol, message for message, on the event loop.

It replaces the framework's handler because that one builds every reply four times over, ends
the session on a message that is JSON but no object, and knows no limits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
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

from openenv_kit.errors import echo, nearest
from openenv_kit.serving import frames, metrics
from openenv_kit.serving.backends import AttachError, Backend
from openenv_kit.serving.episode_store import StoreError
from openenv_kit.serving.handles import EpisodeGoneError, EpisodeTooLongError
from openenv_kit.serving.sessions import RETRY_AFTER_S, CapacityError, LiveSession, SessionSlots

MESSAGES: dict[str, type[BaseModel]] = {
    "reset": WSResetMessage,
    "step": WSStepMessage,
    "state": WSStateMessage,
    "close": WSCloseMessage,
    "mcp": WSMCPMessage,
}
GOODBYE_S = 2.0
"""Longest wait for a peer that may be gone."""

TRY_AGAIN_LATER, TOO_BIG, ENDED = 1013, 1009, 4408
"""Close codes; the last one is ours: the session was ended, and a message said why."""

logger = logging.getLogger("metric_tracker.ws")


class Goodbye(Exception):
    """The client said `close`."""


class WebSocketEndpoint:
    """Serves `/ws`.

    Args:
        slots: who may come in.
        open_backend: what a connection asks to talk to.
        max_message_bytes: longest message read.
    """

    def __init__(
        self,
        slots: SessionSlots,
        open_backend: Callable[[WebSocket], Awaitable[Backend]],
        max_message_bytes: int,
    ) -> None:
        self._slots = slots
        self._open = open_backend
        self._max_bytes = max_message_bytes

    async def serve(self, websocket: WebSocket) -> None:
        """One connection, from its handshake to its end."""
        await websocket.accept()
        try:
            session = self._slots.take()
        except CapacityError as full:
            await _refuse(websocket, full)
            return
        backend = None
        left = gone = False
        try:
            backend = await self._open(websocket)
            # A task of its own: each wait would else be handed through every layer above.
            await asyncio.create_task(self._serve(websocket, session, backend))
        except Goodbye:
            left = True
        except WebSocketDisconnect:
            pass
        except AttachError as problem:
            left = True
            await say(websocket, frames.error(str(problem), WSErrorCode.SESSION_ERROR))
        except EpisodeGoneError as problem:
            gone = True
            await say(websocket, frames.error(str(problem), WSErrorCode.SESSION_ERROR))
        except asyncio.CancelledError:
            if not session.ended:
                raise
            asyncio.current_task().uncancel()  # type: ignore[union-attr]
            await say(websocket, frames.error(ENDINGS[session.ended], WSErrorCode.SESSION_ERROR))
        finally:
            self._slots.free(session)
            if backend is not None:
                await asyncio.shield(backend.leave(keep=not left))
            await close(websocket, ENDED if session.ended or gone else 1000)

    async def _serve(self, websocket: WebSocket, session: LiveSession, backend: Backend) -> None:
        # The bare channels: the wrapper's checks of each message guard against nothing here.
        receive, send = websocket._receive, websocket._send
        while True:
            received = await receive()
            if received["type"] == "websocket.disconnect":
                return
            session.last_active = time.monotonic()
            text = received.get("text")
            if text is None:
                text = received.get("bytes") or b""
            if len(text) > self._max_bytes:
                raise await _too_big(websocket, self._max_bytes)
            answer = await self._answer(session, backend, text)
            await send({"type": "websocket.send", "text": answer})

    async def _answer(self, session: LiveSession, backend: Backend, text: str | bytes) -> str:
        """Reply to one message; whatever goes wrong is a reply too."""
        try:
            kind, data = read_message(text)
            if kind == "step":
                # Nearly every message is one, and few have anything to wait for.
                now = backend.step_now
                reply = now(data) if now else await backend.step(data)
                return frames.observation(reply)
            answer = await self._act(backend, kind, data)
            session.episode_id = backend.episode_id
        except RefusedError as problem:
            metrics.ERRORS.labels(problem.kind).inc()
            return problem.answer
        except ValidationError as problem:
            metrics.ERRORS.labels("invalid_message").inc()
            errors = problem.errors(include_url=False, include_input=False, include_context=False)
            return frames.error("Invalid message", WSErrorCode.VALIDATION_ERROR, errors=errors)
        except StoreError as problem:
            metrics.ERRORS.labels("store").inc()
            return frames.error(
                str(problem), WSErrorCode.CAPACITY_REACHED, retry_after_s=problem.retry_after_s
            )
        except EpisodeTooLongError as problem:
            metrics.ERRORS.labels("too_big").inc()
            return frames.error(str(problem), WSErrorCode.VALIDATION_ERROR)
        except (Goodbye, EpisodeGoneError, WebSocketDisconnect):
            raise
        except Exception:
            return _internal_error()
        return answer

    async def _act(self, backend: Backend, kind: str, data: dict[str, Any]) -> str:
        if kind == "reset":
            return frames.observation(await backend.reset(data))
        if kind == "state":
            return frames.message("state", await backend.state())
        if kind == "mcp":
            return frames.message("mcp", await backend.rpc(data))
        raise Goodbye


ENDINGS = {
    "idle": "The session was silent for too long and has ended. Connect again and send a reset "
    'with {"episode_id": …, "resume": true} to go on with its episode.',
    "resumed": "The episode was resumed by another connection.",
    "restarted": "The episode was started over by another connection.",
}


class RefusedError(Exception):
    """A message that cannot be acted on.

    Attributes:
        kind: what is wrong with it, for the figures.
        answer: text of the error message that says so.
    """

    def __init__(self, kind: str, answer: str) -> None:
        self.kind = kind
        self.answer = answer
        super().__init__(kind)


def read_message(text: str | bytes) -> tuple[str, dict[str, Any]]:
    """Type and data of a message.

    It is held against the framework's model of it where a glance is not enough.

    Raises:
        RefusedError: not JSON, no object, or of no known type.
        ValidationError: not as its type wants it.
    """
    try:
        message = frames.loads(text)
    except ValueError as problem:
        refusal = frames.error(f"Invalid JSON: {problem}", WSErrorCode.INVALID_JSON)
        raise RefusedError("invalid_json", refusal) from None
    if not isinstance(message, dict):
        refusal = frames.error(
            f"A message is a JSON object; this one is {type(message).__name__}.",
            WSErrorCode.INVALID_JSON,
        )
        raise RefusedError("invalid_json", refusal)
    kind = message.get("type", "")
    if not isinstance(kind, str) or kind not in MESSAGES:
        guess = nearest(kind, MESSAGES)
        hint = f" Did you mean {guess!r}?" if guess else ""
        refusal = frames.error(
            f"Unknown message type: {echo(kind)}.{hint} Allowed: {', '.join(MESSAGES)}.",
            WSErrorCode.UNKNOWN_TYPE,
        )
        raise RefusedError("unknown_type", refusal)
    data = message.get("data")
    if type(data) is dict and len(message) == 2 and kind in ("step", "reset", "mcp"):
        return kind, data
    return kind, getattr(MESSAGES[kind](**message), "data", {})


def _internal_error() -> str:
    """Answer to our own mistake: a number to find it by, and nothing else."""
    reference = uuid.uuid4().hex[:12]
    metrics.ERRORS.labels("internal").inc()
    logger.exception("internal error", extra={"reference": reference})
    return frames.error(
        f"Internal error; the server's log has it as {reference}.", WSErrorCode.EXECUTION_ERROR
    )


async def _refuse(websocket: WebSocket, full: CapacityError) -> None:
    await say(
        websocket,
        frames.error(
            str(full),
            WSErrorCode.CAPACITY_REACHED,
            active_sessions=full.active,
            max_sessions=full.limit,
            retry_after_s=RETRY_AFTER_S,
        ),
    )
    await close(websocket, TRY_AGAIN_LATER)


async def _too_big(websocket: WebSocket, limit: int) -> WebSocketDisconnect:
    metrics.ERRORS.labels("too_big").inc()
    await say(
        websocket,
        frames.error(
            f"A message may have {limit} bytes; the session ends.", WSErrorCode.SESSION_ERROR
        ),
    )
    await close(websocket, TOO_BIG)
    return WebSocketDisconnect(TOO_BIG)


async def say(websocket: WebSocket, text: str) -> None:
    """Send to a peer that may be gone."""
    with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(GOODBYE_S):
            await websocket.send_text(text)


async def close(websocket: WebSocket, code: int) -> None:
    """Close towards a peer that may be gone."""
    with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(GOODBYE_S):
            await websocket.close(code)
