"""The framework's WebSocket `/mcp`: one JSON-RPC request a message, one session a connection."""

from __future__ import annotations

from typing import Any

from starlette.websockets import WebSocket

from openenv_kit.serving import frames, mcp_tools, metrics
from openenv_kit.serving.handles import Handle, role_of
from openenv_kit.serving.http_episodes import Episodes
from openenv_kit.serving.mcp_tools import INVALID_PARAMS, PARSE_ERROR, SERVER_ERROR, RpcError
from openenv_kit.serving.rpc import handle_for, named_task, rpc_errors
from openenv_kit.serving.sessions import LiveSession


class RpcDialect:
    """JSON-RPC.

    Args:
        episodes: the store's episodes.
    """

    too_big = ""

    def __init__(self, episodes: Episodes) -> None:
        self._episodes = episodes

    async def open(self, websocket: WebSocket) -> RpcTalk:
        """See `Dialect`."""
        return RpcTalk(self._episodes, websocket)

    def error(self, text: str, code: str, **told: Any) -> str:
        """See `Dialect`; a code of JSON-RPC stands for all of the framework's."""
        return _text(mcp_tools.failure(RpcError(SERVER_ERROR, text, told or None)))


class RpcTalk:
    """Plays what the address asks for; a fresh task starts with the first tool call.

    Args:
        episodes: the store's episodes.
        websocket: whose address it is.
    """

    def __init__(self, episodes: Episodes, websocket: WebSocket) -> None:
        self._episodes = episodes
        self._query = websocket.query_params
        self._role = role_of(websocket.scope)
        self._handle: Handle | None = None
        self._play = episodes.play("mcp", stored=False)
        self._dispatch = mcp_tools.dispatcher(episodes.environment, self._step)

    async def answer(self, session: LiveSession, text: str | bytes) -> str | None:
        """Response to one message, None where it wants none."""
        try:
            message = frames.loads(text)
        except ValueError as problem:
            metrics.ERRORS.labels("invalid_json").inc()
            return _text(mcp_tools.failure(RpcError(PARSE_ERROR, f"Parse error: {problem}")))
        if not mcp_tools.wants_answer(message):
            return None
        return _text((await mcp_tools.answer(message, self._dispatch)).body)

    async def leave(self, *, keep: bool) -> None:
        """Nothing is kept: an episode of the store is there already."""

    async def _step(self, data: dict[str, Any]) -> dict[str, Any]:
        """One step.

        Raises:
            RpcError: there is nothing to play.
        """
        with rpc_errors():
            if self._handle is None and self._play.episode_id is None:
                self._handle = await handle_for(self._query, self._role, self._episodes)
            if self._handle is not None:
                return await self._episodes.step(self._handle, data)
            if self._play.episode_id is None:
                task = named_task(self._query, self._role)
                reply = self._play.reset(task or await self._episodes.fresh_task())
                if self._play.episode_id is None:
                    raise RpcError(INVALID_PARAMS, reply.message)
        return self._play.step(data)


def _text(response: dict[str, Any]) -> str:
    return frames.dumps(response).decode()
