"""The `/ws` route: the framework's protocol, message for message, on the event loop.

The framework's own handler builds every reply four times over, ends the session on a message that
is JSON but not an object, and has no limits.
"""

from __future__ import annotations

import logging
import uuid
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
from openenv_kit.serving.backends import PlayerBackend, backend_for
from openenv_kit.serving.episode_store import StoreError
from openenv_kit.serving.handles import EpisodeGoneError, EpisodeTooLongError, role_of
from openenv_kit.serving.http_episodes import Episodes
from openenv_kit.serving.sessions import LiveSession, SessionSlots
from openenv_kit.serving.sockets import Goodbye

MESSAGES: dict[str, type[BaseModel]] = {
    "reset": WSResetMessage,
    "step": WSStepMessage,
    "state": WSStateMessage,
    "close": WSCloseMessage,
    "mcp": WSMCPMessage,
}
logger = logging.getLogger("metric_tracker.ws")


class EnvironmentDialect:
    """The framework's messages: reset, step, state, close and mcp.

    Args:
        slots: sessions of this worker.
        episodes: the store's episodes.
    """

    too_big = "A message may have {} bytes; the session ends."

    def __init__(self, slots: SessionSlots, episodes: Episodes) -> None:
        self._slots = slots
        self._episodes = episodes

    async def open(self, websocket: WebSocket) -> EnvironmentTalk:
        """See `Dialect`."""
        query, role = websocket.query_params, role_of(websocket.scope)
        return EnvironmentTalk(await backend_for(query, role, self._slots, self._episodes))

    def error(self, text: str, code: str, **told: Any) -> str:
        """See `Dialect`."""
        return frames.error(text, code, **told)


class EnvironmentTalk:
    """One connection's messages.

    Args:
        backend: what they are for.
    """

    def __init__(self, backend: PlayerBackend) -> None:
        self._backend = backend
        self.leave = backend.leave

    async def answer(self, session: LiveSession, text: str | bytes) -> str:
        """Reply to one message; whatever goes wrong is a reply too."""
        backend = self._backend
        try:
            kind, data = read_message(text)
            if kind == "step":
                # Nearly every message is one, and few have anything to wait for.
                now = backend.step_now
                return frames.observation(now(data) if now else await backend.step(data))
            answer = await self._act(kind, data)
            session.episode_id = backend.episode_id
            return answer
        except RefusedError as problem:
            metrics.ERRORS.labels(problem.kind).inc()
            return problem.answer
        except ValidationError as problem:
            metrics.ERRORS.labels("invalid_message").inc()
            errors = problem.errors(include_url=False, include_input=False, include_context=False)
            return frames.error("Invalid message", WSErrorCode.VALIDATION_ERROR, errors=errors)
        except StoreError as problem:
            metrics.ERRORS.labels("store").inc()
            wait = problem.retry_after_s
            return frames.error(str(problem), WSErrorCode.CAPACITY_REACHED, retry_after_s=wait)
        except EpisodeTooLongError as problem:
            metrics.ERRORS.labels("too_big").inc()
            return frames.error(str(problem), WSErrorCode.VALIDATION_ERROR)
        except (Goodbye, EpisodeGoneError, WebSocketDisconnect):
            raise
        except Exception:
            # Our own mistake: the client gets a number to find it by, and nothing else.
            reference = uuid.uuid4().hex[:12]
            metrics.ERRORS.labels("internal").inc()
            logger.exception("internal error", extra={"reference": reference})
            told = f"Internal error; the server's log has it as {reference}."
            return frames.error(told, WSErrorCode.EXECUTION_ERROR)

    async def _act(self, kind: str, data: dict[str, Any]) -> str:
        if kind == "reset":
            return frames.observation(await self._backend.reset(data))
        if kind == "state":
            return frames.message("state", await self._backend.state())
        if kind == "mcp":
            return frames.message("mcp", await self._backend.rpc(data))
        raise Goodbye


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

    The framework's model is used only for a message of an unusual shape.

    Raises:
        RefusedError: not JSON, not an object, or of an unknown type.
        ValidationError: not what its type asks for.
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
