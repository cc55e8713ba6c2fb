"""The framework's WebSocket `/mcp`: one JSON-RPC request a message, one session a connection."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from openenv_kit.serving import frames, mcp_tools, metrics
from openenv_kit.serving.handles import EpisodeGoneError, EpisodeTooLongError, Handle, role_of
from openenv_kit.serving.held import SplitUsedUpError
from openenv_kit.serving.http_episodes import Episodes
from openenv_kit.serving.mcp_tools import INVALID_PARAMS, PARSE_ERROR, SERVER_ERROR, RpcError
from openenv_kit.serving.rpc import handle_for, named_task
from openenv_kit.serving.sessions import RETRY_AFTER_S, CapacityError, SessionSlots
from openenv_kit.serving.websocket import ENDED, ENDINGS, TOO_BIG, TRY_AGAIN_LATER, close, say


class RpcSocket:
    """Serves the WebSocket `/mcp`.

    Args:
        slots: who may come in.
        episodes: the store's episodes.
        max_message_bytes: longest message read.
    """

    def __init__(self, slots: SessionSlots, episodes: Episodes, max_message_bytes: int) -> None:
        self._slots = slots
        self._episodes = episodes
        self._max_bytes = max_message_bytes

    async def serve(self, websocket: WebSocket) -> None:
        """One connection, from its handshake to its end."""
        await websocket.accept()
        try:
            session = self._slots.take()
        except CapacityError as full:
            told = {"active_sessions": full.active, "max_sessions": full.limit}
            problem = RpcError(SERVER_ERROR, str(full), {**told, "retry_after_s": RETRY_AFTER_S})
            await say(websocket, _text(mcp_tools.failure(problem)))
            await close(websocket, TRY_AGAIN_LATER)
            return
        code = 1000
        try:
            player = Player(self._episodes, websocket)
            while True:
                received = await websocket.receive()
                if received["type"] == "websocket.disconnect":
                    return
                session.last_active = time.monotonic()
                text = received.get("text") or received.get("bytes") or ""
                if len(text) > self._max_bytes:
                    code = TOO_BIG
                    return
                answer = await _answer(text, player)
                if answer is not None:
                    await websocket.send_text(answer)
        except WebSocketDisconnect:
            pass
        except asyncio.CancelledError:
            if not session.ended:
                raise
            asyncio.current_task().uncancel()  # type: ignore[union-attr]
            code = ENDED
            problem = RpcError(SERVER_ERROR, ENDINGS[session.ended])
            await say(websocket, _text(mcp_tools.failure(problem)))
        finally:
            self._slots.free(session)
            await close(websocket, code)


class Player:
    """Plays what the address asks for; a fresh task starts with the first tool call.

    Args:
        episodes: the store's episodes.
        websocket: whose address it is.
    """

    def __init__(self, episodes: Episodes, websocket: WebSocket) -> None:
        self.environment = episodes.environment
        self._episodes = episodes
        self._query = websocket.query_params
        self._role = role_of(websocket.scope)
        self._handle: Handle | None = None
        self._play = episodes.play("mcp")

    async def step(self, data: dict[str, Any]) -> dict[str, Any]:
        """One step.

        Raises:
            RpcError: there is nothing to play.
        """
        try:
            if self._handle is None and self._play.episode_id is None:
                self._handle = await handle_for(self._query, self._role, self._episodes)
            if self._handle is not None:
                return await self._episodes.step(self._handle, data)
            if self._play.episode_id is None:
                task = named_task(self._query, self._role)
                reply = self._play.reset(task or await self._episodes.fresh_task())
                if self._play.episode_id is None:
                    raise RpcError(INVALID_PARAMS, reply.message)
        except (EpisodeGoneError, EpisodeTooLongError) as problem:
            raise RpcError(INVALID_PARAMS, str(problem)) from None
        except SplitUsedUpError as problem:
            raise RpcError(SERVER_ERROR, str(problem)) from None
        return self._play.step(data)


async def _answer(text: str | bytes, player: Player) -> str | None:
    """Response to one message, None where it wants none."""
    try:
        message = frames.loads(text)
    except ValueError as problem:
        metrics.ERRORS.labels("invalid_json").inc()
        return _text(mcp_tools.failure(RpcError(PARSE_ERROR, f"Parse error: {problem}")))
    if not mcp_tools.wants_answer(message):
        return None
    return _text(await mcp_tools.answer(player.environment, message, player.step))


def _text(response: dict[str, Any]) -> str:
    return frames.dumps(response).decode()
