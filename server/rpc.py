"""The `/mcp` route: streamable HTTP for any MCP client, and the framework's own dialect.

An MCP session is an episode of the store, and its id is the episode's: any worker can answer,
also after a restart, and a session costs no memory of its own. Responses are plain JSON, which
the transport allows; there is nothing to stream.
"""

from __future__ import annotations

from typing import Any

from openenv.core.env_server.mcp_types import JsonRpcErrorCode
from starlette.requests import Request
from starlette.responses import Response

from metric_tracker_rl.errors import echo
from server import frames, mcp_tools, metrics
from server.episode_store import StoreError
from server.http_episodes import Episodes, EpisodeTooLongError, UnknownEpisodeError
from server.mcp_tools import INVALID_PARAMS, RpcError
from server.routes import store_refusal
from server.sessions import RETRY_AFTER_S

SESSION_HEADER = "mcp-session-id"
VERSION_HEADER = "mcp-protocol-version"
SOURCE = "mcp"

UNINITIALISED = (
    "No session: send initialize first and its Mcp-Session-Id header with every later request."
)


class McpEndpoint:
    """Serves POST, GET and DELETE on `/mcp`.

    Args:
        episodes: the store's episodes.
        limit: sessions opened here at once.
    """

    def __init__(self, episodes: Episodes, limit: int) -> None:
        self._episodes = episodes
        self._limit = limit

    async def post(self, request: Request) -> Response:
        """One JSON-RPC message."""
        version = request.headers.get(VERSION_HEADER)
        if version is not None and version not in mcp_tools.PROTOCOL_VERSIONS:
            allowed = ", ".join(mcp_tools.PROTOCOL_VERSIONS)
            return _fail(
                RpcError(
                    mcp_tools.INVALID_REQUEST,
                    f"MCP-Protocol-Version is {echo(version)}; allowed: {allowed}.",
                ),
                status=400,
            )
        try:
            message = frames.loads(await request.body())
        except ValueError:
            return _fail(RpcError(int(JsonRpcErrorCode.PARSE_ERROR), "Parse error"))
        request_id = None
        try:
            method, params, request_id = mcp_tools.read_request(message)
            if "id" not in message:
                return Response(status_code=202)  # a notification wants no answer
            return await self._answer(request, method, params, request_id)
        except RpcError as problem:
            metrics.ERRORS.labels("mcp").inc()
            return _fail(problem, request_id)
        except UnknownEpisodeError as problem:
            metrics.ERRORS.labels("mcp").inc()
            # Streamable HTTP wants 404 for a session that is gone; the framework's dialect, which
            # names it in the parameters, an error that travels as any other.
            status = 404 if SESSION_HEADER in request.headers else 200
            return _fail(RpcError(INVALID_PARAMS, str(problem)), request_id, status)
        except EpisodeTooLongError as problem:
            return _fail(RpcError(INVALID_PARAMS, str(problem)), request_id)
        except StoreError as problem:
            metrics.ERRORS.labels("store").inc()
            told = {"retry_after_s": problem.retry_after_s}
            refusal = RpcError(mcp_tools.SERVER_ERROR, str(problem), told)
            return _fail(refusal, request_id, *store_refusal(problem))

    async def delete(self, request: Request) -> Response:
        """End a session."""
        session_id = request.headers.get(SESSION_HEADER)
        if session_id is None:
            return _fail(RpcError(INVALID_PARAMS, UNINITIALISED), status=400)
        gone = await self._episodes.end(session_id)
        return Response(status_code=204 if gone else 404)

    async def _answer(
        self, request: Request, method: str, params: dict[str, Any], request_id: Any
    ) -> Response:
        if method == "initialize":
            session_id = await self._open(request)
            told = mcp_tools.result(mcp_tools.initialize(params), request_id)
            return _json(told, headers={SESSION_HEADER: session_id})
        if method == "openenv/session/create":
            session_id = await self._create({})
            return _json(mcp_tools.result({"session_id": session_id}, request_id))
        if method == "openenv/session/close":
            return _json(mcp_tools.result(await self._close(params), request_id))
        session = request.headers.get(SESSION_HEADER) or params.get("session_id")

        async def step(data: dict[str, Any]) -> dict[str, Any]:
            if not isinstance(session, str):
                raise RpcError(INVALID_PARAMS, UNINITIALISED)
            return await self._episodes.step(session, data)

        if SESSION_HEADER in request.headers and method != "tools/call":
            await self._episodes.state(str(session))  # 404 for a session that is gone
        return _json(mcp_tools.result(await mcp_tools.dispatch(method, params, step), request_id))

    async def _open(self, request: Request) -> str:
        """A session for a client: on an episode that a trainer has reset, or on a new one."""
        given = request.query_params.get("episode_id")
        if given:
            await self._episodes.state(given)
            return given
        task_id = request.query_params.get("task_id")
        return await self._create({"task_id": task_id} if task_id else {})

    async def _create(self, arguments: dict[str, Any]) -> str:
        active = await self._episodes.count(SOURCE)
        if active >= self._limit:
            metrics.ERRORS.labels("capacity").inc()
            raise RpcError(
                mcp_tools.SERVER_ERROR,
                f"All {self._limit} sessions of /mcp are in use ({active} active). Retry in "
                f"{RETRY_AFTER_S} s.",
                {
                    "active_sessions": active,
                    "max_sessions": self._limit,
                    "retry_after_s": RETRY_AFTER_S,
                },
            )
        session_id, reply = await self._episodes.reset(arguments, SOURCE)
        if session_id is None:
            raise RpcError(INVALID_PARAMS, reply["observation"]["message"])
        return session_id

    async def _close(self, params: dict[str, Any]) -> dict[str, Any]:
        session_id = params.get("session_id")
        if not session_id or not isinstance(session_id, str):
            raise RpcError(INVALID_PARAMS, "The parameter 'session_id' is required.")
        if not await self._episodes.end(session_id):
            raise RpcError(INVALID_PARAMS, f"Unknown session_id: {echo(session_id)}")
        return {"session_id": session_id, "closed": True}


def _json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(frames.dumps(body), status, headers, media_type="application/json")


def _fail(
    problem: RpcError,
    request_id: Any = None,
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    return _json(mcp_tools.failure(problem, request_id), status, headers)
