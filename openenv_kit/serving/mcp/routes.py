"""The HTTP route `/mcp`: MCP's streamable HTTP transport and the framework's own dialect.

An MCP session is a player of a stored episode, and its session id is the player id. Any worker can
therefore respond, even after a restart, and a session takes no memory. Responses are plain JSON,
which the transport allows, because there is nothing to stream.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from openenv_kit.errors import truncated_repr
from openenv_kit.serving import messages
from openenv_kit.serving.episodes.ids import EpisodeAccess, EpisodeGoneError
from openenv_kit.serving.episodes.service import EpisodeService
from openenv_kit.serving.mcp.dispatch import (
    PROTOCOL_VERSIONS,
    RpcError,
    RpcErrorCode,
    RpcResponse,
    build_rpc_error_body,
    create_rpc_dispatcher,
    expects_response,
    handle_rpc_message,
)
from openenv_kit.serving.mcp.sessions import (
    PlayerId,
    convert_episode_errors_to_rpc_errors,
    find_requested_episode_or_reset_arguments,
    start_requested_or_assigned_task,
)
from openenv_kit.serving.messages import JsonObject
from openenv_kit.serving.transports import Transport
from openenv_kit.serving.websocket.sessions import CapacityError

SESSION_HEADER = "mcp-session-id"
VERSION_HEADER = "mcp-protocol-version"

SESSION_REQUIRED_TEXT = (
    "No session: send initialize first and its Mcp-Session-Id header with every later request."
)


class McpEndpoint:
    """Handles POST and DELETE on `/mcp`.

    Args:
        episodes: episodes of the environment.
        max_sessions: maximum number of open sessions that were started through this route.
    """

    def __init__(self, episodes: EpisodeService, max_sessions: int) -> None:
        self._episodes = episodes
        self._max_sessions = max_sessions

    async def post(self, request: Request) -> Response:
        """Respond to one JSON-RPC message."""
        version = request.headers.get(VERSION_HEADER)
        if version is not None and version not in PROTOCOL_VERSIONS:
            allowed = ", ".join(PROTOCOL_VERSIONS)
            text = f"MCP-Protocol-Version is {truncated_repr(version)}; allowed: {allowed}."
            error = RpcError(RpcErrorCode.INVALID_REQUEST, text)
            return messages.build_json_response(build_rpc_error_body(error), HTTPStatus.BAD_REQUEST)
        try:
            message = messages.parse_json_within_limits(await request.body())
        except ValueError:
            error = RpcError(RpcErrorCode.PARSE_ERROR, "Parse error")
            return messages.build_json_response(build_rpc_error_body(error))
        if not expects_response(message):
            return Response(status_code=HTTPStatus.ACCEPTED)
        response = await self.respond_to_rpc_message(request, message)
        return messages.build_json_response(response.body, response.status, response.headers)

    async def delete(self, request: Request) -> Response:
        """End a session and close its episode. The trainer can still read the result."""
        session_id = request.headers.get(SESSION_HEADER)
        if session_id is None:
            error = RpcError(RpcErrorCode.INVALID_PARAMS, SESSION_REQUIRED_TEXT)
            return messages.build_json_response(build_rpc_error_body(error), HTTPStatus.BAD_REQUEST)
        try:
            await self._close_session_and_episode(session_id)
        except EpisodeGoneError:
            return Response(status_code=HTTPStatus.NOT_FOUND)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def respond_to_rpc_message(self, request: Request, message: object) -> RpcResponse:
        """Return the response to one JSON-RPC message."""
        new_session_headers: dict[str, str] = {}
        session_in_header = request.headers.get(SESSION_HEADER)
        # Streamable HTTP requires 404 for an unknown session. In the framework's dialect, which
        # sends the session in the parameters, it is an ordinary JSON-RPC error.
        gone_status = HTTPStatus.OK if session_in_header is None else HTTPStatus.NOT_FOUND
        log_fields = request.scope["state"].get("log_fields", {})

        async def dispatch(method: str, params: JsonObject) -> JsonObject:
            with convert_episode_errors_to_rpc_errors(gone_status):
                if method == "initialize":
                    new_session_headers[
                        SESSION_HEADER
                    ] = await self._join_or_start_episode_as_session(request)
                if method == "openenv/session/create":
                    return {"session_id": await self._join_or_start_episode_as_session(request)}
                session_id = new_session_headers.get(SESSION_HEADER) or session_in_header
                return await self._run_rpc_method_in_session(session_id, method, params, log_fields)

        response = await handle_rpc_message(message, dispatch)
        return response._replace(headers=new_session_headers) if new_session_headers else response

    async def _run_rpc_method_in_session(
        self,
        header_session_id: str | None,
        method: str,
        params: JsonObject,
        log_fields: dict[str, Any],
    ) -> JsonObject:
        """Execute a request in the session that its header or parameters name; return the result.

        Args:
            header_session_id: session id in the header; None if the header is missing.
            method: method of the request.
            params: parameters of the request.
            log_fields: fields of the request's log line; the episode id is added.
        """
        if method == "openenv/session/close":
            return await self._close_session_named_in_params(params)
        session_id = header_session_id or params.get("session_id")

        async def step(action: JsonObject) -> JsonObject:
            if not isinstance(session_id, str):
                raise RpcError(RpcErrorCode.INVALID_PARAMS, SESSION_REQUIRED_TEXT)
            access = await self._episodes.find_access_by_player_id(session_id)
            log_fields["episode_id"] = access.episode_id
            return await self._episodes.step(access, action)

        async def get_episode_info() -> JsonObject:
            # An unknown session id in the parameters is ignored.
            with nullcontext() if header_session_id else suppress(EpisodeGoneError):
                if isinstance(session_id, str) and session_id:
                    access = await self._episodes.find_access_by_player_id(session_id)
                    return await self._episodes.get_tool_selection_fields(access)
            return {}

        if header_session_id and method not in ("initialize", "tools/call"):
            await get_episode_info()  # raises an error if the session is unknown
        dispatch = create_rpc_dispatcher(self._episodes.environment, step, get_episode_info)
        return await dispatch(method, params)

    async def _join_or_start_episode_as_session(self, request: Request) -> PlayerId:
        """Open a session for the episode in the URL or for a new episode, and return its id.

        Raises:
            CapacityError: too many sessions are open.
        """
        requested = await find_requested_episode_or_reset_arguments(request, self._episodes)
        if isinstance(requested, EpisodeAccess):
            await self._episodes.get_progress_without_id_for_players(
                requested
            )  # raises an error if it cannot be played
            return requested.player_id
        open_count = await self._episodes.store.count_open_episodes(Transport.MCP)
        if open_count >= self._max_sessions:
            raise CapacityError(open_count, self._max_sessions, "/mcp")
        return await start_requested_or_assigned_task(self._episodes, requested, Transport.MCP)

    async def _close_session_and_episode(self, player_id: str) -> None:
        await self._episodes.close_episode_and_release_unplayed_task(
            await self._episodes.find_access_by_player_id(player_id)
        )

    async def _close_session_named_in_params(self, params: JsonObject) -> JsonObject:
        session_id = params.get("session_id")
        if not session_id or not isinstance(session_id, str):
            raise RpcError(RpcErrorCode.INVALID_PARAMS, "The parameter 'session_id' is required.")
        try:
            await self._close_session_and_episode(session_id)
        except EpisodeGoneError:
            raise RpcError(
                RpcErrorCode.INVALID_PARAMS, f"Unknown session_id: {truncated_repr(session_id)}"
            ) from None
        return {"session_id": session_id, "closed": True}
