"""The `/mcp` routes: streamable HTTP for any MCP client, the framework's dialect, its WebSocket.

An MCP session is the player of a stored episode, and its id is the player's handle: any worker
can answer, also after a restart, and a session costs no memory of its own. Responses are plain
JSON, which the transport allows; there is nothing to stream.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from openenv_kit.errors import ConfigurationError, echo
from openenv_kit.serving import logs, messages, metrics
from openenv_kit.serving.episodes.ids import (
    PLAYER,
    EpisodeGoneError,
    EpisodeTooLongError,
    Handle,
)
from openenv_kit.serving.episodes.records import SplitUsedUpError
from openenv_kit.serving.episodes.running_episodes import EndReason
from openenv_kit.serving.episodes.service import Episodes
from openenv_kit.serving.http.routes import store_refusal
from openenv_kit.serving.mcp import dispatch
from openenv_kit.serving.mcp.dispatch import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    PARSE_ERROR,
    SERVER_ERROR,
    Answered,
    RpcError,
)
from openenv_kit.serving.store.interface import StoreError
from openenv_kit.serving.websocket.endpoint import (
    CapacityError,
    ConnectionEnd,
    Conversation,
    LiveSession,
    SocketEndpoint,
)

logger = logging.getLogger("openenv_kit.mcp")

SESSION_HEADER = "mcp-session-id"
VERSION_HEADER = "mcp-protocol-version"
SOURCE = "mcp"

UNINITIALISED = (
    "No session: send initialize first and its Mcp-Session-Id header with every later request."
)

TRAINERS_ONLY = (
    "The player's token plays episodes that were handed to it: add ?player_id=, which the "
    "trainer's reset returns. Everything else needs the trainer's token."
)


class McpEndpoint:
    """Serves POST and DELETE on `/mcp`; at most `limit` sessions are open here at once."""

    def __init__(self, episodes: Episodes, limit: int) -> None:
        self._episodes = episodes
        self._limit = limit

    async def post(self, request: Request) -> Response:
        """One JSON-RPC message."""
        version = request.headers.get(VERSION_HEADER)
        if version is not None and version not in dispatch.PROTOCOL_VERSIONS:
            allowed = ", ".join(dispatch.PROTOCOL_VERSIONS)
            problem = f"MCP-Protocol-Version is {echo(version)}; allowed: {allowed}."
            return messages.response(dispatch.failure(RpcError(INVALID_REQUEST, problem)), 400)
        try:
            message = messages.loads(await request.body())
        except ValueError:
            return messages.response(dispatch.failure(RpcError(PARSE_ERROR, "Parse error")))
        if not dispatch.wants_answer(message):
            return Response(status_code=202)
        return messages.response(*await self.answer(request, message))

    async def delete(self, request: Request) -> Response:
        """End a session: nothing more can be played, and the trainer can read the outcome."""
        session_id = request.headers.get(SESSION_HEADER)
        if session_id is None:
            return messages.response(dispatch.failure(RpcError(INVALID_PARAMS, UNINITIALISED)), 400)
        try:
            await self._close(session_id)
        except EpisodeGoneError:
            return Response(status_code=404)
        return Response(status_code=204)

    async def answer(self, request: Request, message: Any) -> Answered:
        """Answer to one message."""
        opened: dict[str, str] = {}

        async def act(method: str, params: dict[str, Any]) -> dict[str, Any]:
            # Streamable HTTP wants 404 for a session that is gone; the framework's dialect, which
            # names it in the parameters, an error that travels as any other.
            with rpc_errors(404 if SESSION_HEADER in request.headers else 200):
                if method == "initialize":
                    opened[SESSION_HEADER] = await self._open(request)
                if method == "openenv/session/create":
                    return {"session_id": await self._open(request)}
                session = opened.get(SESSION_HEADER) or request.headers.get(SESSION_HEADER)
                notes = request.scope["state"].get("notes", {})
                return await self._act(session, method, params, notes)

        answered = await dispatch.answer(message, act)
        return answered._replace(headers=opened) if opened else answered

    async def _act(
        self, header: str | None, method: str, params: dict[str, Any], notes: dict[str, Any]
    ) -> dict[str, Any]:
        """Result of a request, in the session that its header or its parameters name.

        Args:
            header: the session that the header names.
            method: of the request.
            params: of the request.
            notes: for the log; gets the episode's id.
        """
        if method == "openenv/session/close":
            return await self._close_named(params)
        session = header or params.get("session_id")

        async def step(data: dict[str, Any]) -> dict[str, Any]:
            if not isinstance(session, str):
                raise RpcError(INVALID_PARAMS, UNINITIALISED)
            handle = await self._episodes.player(session)
            notes["episode_id"] = handle.episode_id
            return await self._episodes.step(handle, data)

        async def played() -> dict[str, Any]:
            with nullcontext() if header else suppress(EpisodeGoneError):
                if isinstance(session, str) and session:
                    return await self._episodes.state(await self._episodes.player(session))
            return {}

        if header and method not in ("initialize", "tools/call"):
            await played()  # answers 404 where the session is gone
        return await dispatch.dispatcher(self._episodes.environment, step, played)(method, params)

    async def _open(self, request: Request) -> str:
        """A session for a client: on a trainer's episode, or on one that nobody played before."""
        asked = await _asked_for(request, self._episodes)
        if isinstance(asked, Handle):
            await self._episodes.state(asked)
            return asked.player_id
        active = await self._episodes.store.count(SOURCE)
        if active >= self._limit:
            raise CapacityError(active, self._limit, "/mcp")
        return await _started(self._episodes, asked, SOURCE)

    async def _close(self, player_id: str) -> None:
        await self._episodes.close_episode(await self._episodes.player(player_id))

    async def _close_named(self, params: dict[str, Any]) -> dict[str, Any]:
        session_id = params.get("session_id")
        if not session_id or not isinstance(session_id, str):
            raise RpcError(INVALID_PARAMS, "The parameter 'session_id' is required.")
        try:
            await self._close(session_id)
        except EpisodeGoneError:
            raise RpcError(INVALID_PARAMS, f"Unknown session_id: {echo(session_id)}") from None
        return {"session_id": session_id, "closed": True}


class McpSocket(SocketEndpoint):
    """JSON-RPC over a WebSocket."""

    async def open(self, websocket: WebSocket) -> McpConversation:
        return McpConversation(self._episodes, websocket)

    def error(self, text: str, code: str, **more: Any) -> str:
        """See `SocketEndpoint`; a code of JSON-RPC stands for all of the framework's."""
        return _text(dispatch.failure(RpcError(SERVER_ERROR, text, more or None)))


class McpConversation(Conversation):
    """Plays what the address asks for; a fresh task starts with the first tool call."""

    def __init__(self, episodes: Episodes, websocket: WebSocket) -> None:
        self._episodes = episodes
        self._websocket = websocket
        self._handle: Handle | None = None
        self._own = False  # nobody else has a handle of the episode
        self._dispatch = dispatch.dispatcher(episodes.environment, self._step, self._played)

    async def answer(self, session: LiveSession, text: str | bytes) -> str | None:
        """Response to one message, None where it wants none."""
        try:
            message = messages.loads(text)
        except ValueError as problem:
            metrics.ERRORS.labels("invalid_json").inc()
            return _text(dispatch.failure(RpcError(PARSE_ERROR, f"Parse error: {problem}")))
        if not dispatch.wants_answer(message):
            return None
        try:
            return _text((await dispatch.answer(message, self._dispatch)).body)
        except (ConnectionEnd, EpisodeGoneError, WebSocketDisconnect):
            raise
        except Exception as problem:
            episode_id = self._handle.episode_id if self._handle else None
            failed = RpcError(SERVER_ERROR, logs.internal_error(logger, problem, episode_id))
            metrics.ERRORS.labels("internal").inc()
            request_id = message.get("id") if isinstance(message, dict) else None
            return _text(dispatch.failure(failed, request_id))

    async def _step(self, data: dict[str, Any]) -> dict[str, Any]:
        """One step; an RpcError where there is nothing to play."""
        with rpc_errors():
            if self._handle is None:
                asked = await _asked_for(self._websocket, self._episodes)
                self._own = not isinstance(asked, Handle)
                if not isinstance(asked, Handle):
                    player_id = await _started(self._episodes, asked, "ws")
                    asked = await self._episodes.player(player_id)
                self._handle = asked
            return await self._episodes.step(self._handle, data)

    async def leave(self, *, keep: bool, reason: EndReason) -> None:
        if self._own and self._handle is not None:
            with suppress(EpisodeGoneError, StoreError):
                await self._episodes.close_episode(self._handle)

    async def _played(self) -> Mapping[str, Any]:
        """What is known of the episode, also before the first tool call starts it."""
        with rpc_errors():
            asked = self._handle or await _asked_for(self._websocket, self._episodes)
            if isinstance(asked, Handle):
                return await self._episodes.state(asked)
            return asked or {"split": self._episodes.mcp_split}


def _text(response: dict[str, Any]) -> str:
    return messages.dumps(response).decode()


@contextmanager
def rpc_errors(gone: int = 200) -> Iterator[None]:
    """Turn errors of episodes and of their store into RpcErrors.

    One that cannot be played any longer has the HTTP status `gone`.
    """
    try:
        yield
    except EpisodeGoneError as problem:
        raise RpcError(INVALID_PARAMS, str(problem), status=gone) from None
    except EpisodeTooLongError as problem:
        raise RpcError(INVALID_PARAMS, str(problem)) from None
    except (SplitUsedUpError, CapacityError, ConfigurationError) as problem:
        raise RpcError(SERVER_ERROR, str(problem), getattr(problem, "details", None)) from None
    except StoreError as problem:
        later = {"retry_after_s": problem.retry_after_s}
        status, headers = store_refusal(problem)
        raise RpcError(SERVER_ERROR, str(problem), later, "store", status, headers) from None


async def _started(episodes: Episodes, task: dict[str, Any], source: str) -> str:
    """The player of a new episode, of that task or of one that nobody played before."""
    started = await (episodes.reset(task, source) if task else episodes.fresh(source))
    if started.handle is None:
        raise RpcError(INVALID_PARAMS, started.problem)
    return started.player_id


async def _asked_for(connection: HTTPConnection, episodes: Episodes) -> Handle | dict[str, Any]:
    """What an address asks for: the player of an episode, or the reset arguments of a task.

    Without arguments a task that nobody played before is meant. A player plays what it was handed.
    """
    query = connection.query_params
    if player_id := query.get("player_id"):
        return await episodes.player(player_id)
    if connection.state.role == PLAYER:
        raise RpcError(INVALID_PARAMS, TRAINERS_ONLY)
    if episode_id := query.get("episode_id"):
        return await episodes.player_of(episode_id)
    task_id = query.get("task_id")
    return {"task_id": task_id} if task_id else {}
