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

from openenv_kit.errors import ConfigurationError, truncated_repr
from openenv_kit.serving import logs, messages, metrics
from openenv_kit.serving.episodes.ids import (
    PLAYER,
    EpisodeAccess,
    EpisodeGoneError,
    EpisodeTooLongError,
)
from openenv_kit.serving.episodes.running_episodes import EndReason
from openenv_kit.serving.episodes.service import EpisodeService
from openenv_kit.serving.episodes.task_assignment import SplitUsedUpError
from openenv_kit.serving.http.routes import http_status_of_store_error
from openenv_kit.serving.mcp import dispatch
from openenv_kit.serving.mcp.dispatch import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    PARSE_ERROR,
    SERVER_ERROR,
    RpcError,
    RpcResponse,
)
from openenv_kit.serving.store.errors import StoreError
from openenv_kit.serving.websocket.endpoint import (
    CapacityError,
    ConnectionEnd,
    ConnectionHandler,
    WebSocketEndpoint,
    WebSocketSession,
)

logger = logging.getLogger("openenv_kit.mcp")

SESSION_HEADER = "mcp-session-id"
VERSION_HEADER = "mcp-protocol-version"
MCP_TRANSPORT = "mcp"

SESSION_REQUIRED_TEXT = (
    "No session: send initialize first and its Mcp-Session-Id header with every later request."
)

TRAINER_TOKEN_REQUIRED_TEXT = (
    "The player's token plays episodes that were handed to it: add ?player_id=, which the "
    "trainer's reset returns. Everything else needs the trainer's token."
)


class McpEndpoint:
    """Serves POST and DELETE on `/mcp`; at most `limit` sessions are open here at once."""

    def __init__(self, episodes: EpisodeService, max_sessions: int) -> None:
        self._episodes = episodes
        self._limit = max_sessions

    async def post(self, request: Request) -> Response:
        """One JSON-RPC message."""
        version = request.headers.get(VERSION_HEADER)
        if version is not None and version not in dispatch.PROTOCOL_VERSIONS:
            allowed = ", ".join(dispatch.PROTOCOL_VERSIONS)
            problem = f"MCP-Protocol-Version is {truncated_repr(version)}; allowed: {allowed}."
            return messages.json_response(
                dispatch.build_rpc_error(RpcError(INVALID_REQUEST, problem)), 400
            )
        try:
            message = messages.loads(await request.body())
        except ValueError:
            return messages.json_response(
                dispatch.build_rpc_error(RpcError(PARSE_ERROR, "Parse error"))
            )
        if not dispatch.expects_response(message):
            return Response(status_code=202)
        return messages.json_response(*await self.answer_message(request, message))

    async def delete(self, request: Request) -> Response:
        """End a session: nothing more can be played, and the trainer can read the outcome."""
        session_id = request.headers.get(SESSION_HEADER)
        if session_id is None:
            return messages.json_response(
                dispatch.build_rpc_error(RpcError(INVALID_PARAMS, SESSION_REQUIRED_TEXT)), 400
            )
        try:
            await self._close_session(session_id)
        except EpisodeGoneError:
            return Response(status_code=404)
        return Response(status_code=204)

    async def answer_message(self, request: Request, message: Any) -> RpcResponse:
        """Answer to one message."""
        opened: dict[str, str] = {}

        async def act(method: str, params: dict[str, Any]) -> dict[str, Any]:
            # Streamable HTTP wants 404 for a session that is gone; the framework's dialect, which
            # names it in the parameters, an error that travels as any other.
            with convert_to_rpc_errors(404 if SESSION_HEADER in request.headers else 200):
                if method == "initialize":
                    opened[SESSION_HEADER] = await self._open_session(request)
                if method == "openenv/session/create":
                    return {"session_id": await self._open_session(request)}
                session = opened.get(SESSION_HEADER) or request.headers.get(SESSION_HEADER)
                notes = request.scope["state"].get("notes", {})
                return await self._run_method(session, method, params, notes)

        answered = await dispatch.answer_rpc_message(message, act)
        return answered._replace(headers=opened) if opened else answered

    async def _run_method(
        self,
        header_session_id: str | None,
        method: str,
        params: dict[str, Any],
        log_fields: dict[str, Any],
    ) -> dict[str, Any]:
        """Result of a request, in the session that its header or its parameters name.

        Args:
            header_session_id: the session that the header names.
            method: of the request.
            params: of the request.
            log_fields: for the log; gets the episode's id.
        """
        if method == "openenv/session/close":
            return await self._close_session_in_params(params)
        session = header_session_id or params.get("session_id")

        async def step(data: dict[str, Any]) -> dict[str, Any]:
            if not isinstance(session, str):
                raise RpcError(INVALID_PARAMS, SESSION_REQUIRED_TEXT)
            handle = await self._episodes.find_player_access(session)
            log_fields["episode_id"] = handle.episode_id
            return await self._episodes.step(handle, data)

        async def played() -> dict[str, Any]:
            with nullcontext() if header_session_id else suppress(EpisodeGoneError):
                if isinstance(session, str) and session:
                    return await self._episodes.get_state(
                        await self._episodes.find_player_access(session)
                    )
            return {}

        if header_session_id and method not in ("initialize", "tools/call"):
            await played()  # answers 404 where the session is gone
        return await dispatch.create_dispatcher(self._episodes.environment, step, played)(
            method, params
        )

    async def _open_session(self, request: Request) -> str:
        """A session for a client: on a trainer's episode, or on one that nobody played before."""
        asked = await _resolve_requested_episode(request, self._episodes)
        if isinstance(asked, EpisodeAccess):
            await self._episodes.get_state(asked)
            return asked.player_id
        active = await self._episodes.store.count_open_episodes(MCP_TRANSPORT)
        if active >= self._limit:
            raise CapacityError(active, self._limit, "/mcp")
        return await _start_episode_for_player(self._episodes, asked, MCP_TRANSPORT)

    async def _close_session(self, player_id: str) -> None:
        await self._episodes.close_episode(await self._episodes.find_player_access(player_id))

    async def _close_session_in_params(self, params: dict[str, Any]) -> dict[str, Any]:
        session_id = params.get("session_id")
        if not session_id or not isinstance(session_id, str):
            raise RpcError(INVALID_PARAMS, "The parameter 'session_id' is required.")
        try:
            await self._close_session(session_id)
        except EpisodeGoneError:
            raise RpcError(
                INVALID_PARAMS, f"Unknown session_id: {truncated_repr(session_id)}"
            ) from None
        return {"session_id": session_id, "closed": True}


class McpWebSocketEndpoint(WebSocketEndpoint):
    """JSON-RPC over a WebSocket."""

    async def connect(self, websocket: WebSocket) -> McpConnection:
        return McpConnection(self._episodes, websocket)

    def format_error(self, text: str, code: str, **more: Any) -> str:
        """See `WebSocketEndpoint`; a code of JSON-RPC stands for all of the framework's."""
        return _to_json_text(dispatch.build_rpc_error(RpcError(SERVER_ERROR, text, more or None)))


class McpConnection(ConnectionHandler):
    """Plays what the address asks for; a fresh task starts with the first tool call."""

    def __init__(self, episodes: EpisodeService, websocket: WebSocket) -> None:
        self._episodes = episodes
        self._websocket = websocket
        self._handle: EpisodeAccess | None = None
        self._own = False  # nobody else has a handle of the episode
        self._dispatch = dispatch.create_dispatcher(
            episodes.environment, self._step_or_start, self._get_episode_info
        )

    async def handle_message(self, session: WebSocketSession, text: str | bytes) -> str | None:
        """Response to one message, None where it wants none."""
        try:
            message = messages.loads(text)
        except ValueError as problem:
            metrics.ERRORS.labels("invalid_json").inc()
            return _to_json_text(
                dispatch.build_rpc_error(RpcError(PARSE_ERROR, f"Parse error: {problem}"))
            )
        if not dispatch.expects_response(message):
            return None
        try:
            return _to_json_text((await dispatch.answer_rpc_message(message, self._dispatch)).body)
        except (ConnectionEnd, EpisodeGoneError, WebSocketDisconnect):
            raise
        except Exception as problem:
            episode_id = self._handle.episode_id if self._handle else None
            failed = RpcError(SERVER_ERROR, logs.log_internal_error(logger, problem, episode_id))
            metrics.ERRORS.labels("internal").inc()
            request_id = message.get("id") if isinstance(message, dict) else None
            return _to_json_text(dispatch.build_rpc_error(failed, request_id))

    async def _step_or_start(self, action: dict[str, Any]) -> dict[str, Any]:
        """One step; an RpcError where there is nothing to play."""
        with convert_to_rpc_errors():
            if self._handle is None:
                asked = await _resolve_requested_episode(self._websocket, self._episodes)
                self._own = not isinstance(asked, EpisodeAccess)
                if not isinstance(asked, EpisodeAccess):
                    player_id = await _start_episode_for_player(self._episodes, asked, "ws")
                    asked = await self._episodes.find_player_access(player_id)
                self._handle = asked
            return await self._episodes.step(self._handle, action)

    async def close(self, *, may_resume: bool, reason: EndReason) -> None:
        if self._own and self._handle is not None:
            with suppress(EpisodeGoneError, StoreError):
                await self._episodes.close_episode(self._handle)

    async def _get_episode_info(self) -> Mapping[str, Any]:
        """What is known of the episode, also before the first tool call starts it."""
        with convert_to_rpc_errors():
            asked = self._handle or await _resolve_requested_episode(
                self._websocket, self._episodes
            )
            if isinstance(asked, EpisodeAccess):
                return await self._episodes.get_state(asked)
            return asked or {"split": self._episodes.mcp_split}


def _to_json_text(response: dict[str, Any]) -> str:
    return messages.dumps(response).decode()


@contextmanager
def convert_to_rpc_errors(gone_status: int = 200) -> Iterator[None]:
    """Turn errors of episodes and of their store into RpcErrors.

    One that cannot be played any longer has the HTTP status `gone`.
    """
    try:
        yield
    except EpisodeGoneError as problem:
        raise RpcError(INVALID_PARAMS, str(problem), status=gone_status) from None
    except EpisodeTooLongError as problem:
        raise RpcError(INVALID_PARAMS, str(problem)) from None
    except (SplitUsedUpError, CapacityError, ConfigurationError) as problem:
        raise RpcError(SERVER_ERROR, str(problem), getattr(problem, "details", None)) from None
    except StoreError as problem:
        later = {"retry_after_s": problem.retry_after_s}
        status, headers = http_status_of_store_error(problem)
        raise RpcError(SERVER_ERROR, str(problem), later, "store", status, headers) from None


async def _start_episode_for_player(
    episodes: EpisodeService, reset_arguments: dict[str, Any], transport: str
) -> str:
    """The player of a new episode, of that task or of one that nobody played before."""
    started = await (
        episodes.reset(reset_arguments, transport)
        if reset_arguments
        else episodes.start_assigned_task(transport)
    )
    if started.access is None:
        raise RpcError(INVALID_PARAMS, started.error_text)
    return started.player_id


async def _resolve_requested_episode(
    connection: HTTPConnection, episodes: EpisodeService
) -> EpisodeAccess | dict[str, Any]:
    """What an address asks for: the player of an episode, or the reset arguments of a task.

    Without arguments a task that nobody played before is meant. A player plays what it was handed.
    """
    query = connection.query_params
    if player_id := query.get("player_id"):
        return await episodes.find_player_access(player_id)
    if connection.state.role == PLAYER:
        raise RpcError(INVALID_PARAMS, TRAINER_TOKEN_REQUIRED_TEXT)
    if episode_id := query.get("episode_id"):
        return await episodes.get_player_access(episode_id)
    task_id = query.get("task_id")
    return {"task_id": task_id} if task_id else {}
