"""The one middleware: what every request passes on its way to the routes, and its answer back.

A request gets an id, a line in the log and its figures; `AccessControl` says whether it may pass,
and its body is bounded in size, time and shape. Plain ASGI, and for a WebSocket nothing after its
handshake: messages go by untouched.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from contextlib import nullcontext
from functools import partial
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from openenv_kit.serving import logs, messages, metrics
from openenv_kit.serving.http import client_identity
from openenv_kit.serving.http.access_control import (
    DEBUGGER_PATH,
    PATHS_WITHOUT_TOKEN,
    AccessControl,
    error_response,
)
from openenv_kit.serving.http.limited_protocols import CONNECTION_STATE_KEY, LimitedHttpProtocol
from openenv_kit.serving.http.page_sessions import PageSessions
from openenv_kit.serving.http.response_headers import build_security_headers
from openenv_kit.serving.settings import ANONYMOUS_PARTICIPANT, Settings

DEBUG_LOGGED_PATHS = (*PATHS_WITHOUT_TOKEN, "/metrics")
"""Paths whose requests are logged for debugging only."""
MAX_REQUEST_ID_LENGTH = 64

logger = logging.getLogger("openenv_kit.http")


class RejectedBodyError(HTTPException):
    """A body that is refused while it is read.

    Of the framework's own kind, because whoever reads the body turns any other into a 400. The
    rest of the body is never read, so the connection ends with the answer.
    """

    def __init__(self, error_kind: str, status: int, detail: str) -> None:
        metrics.ERRORS.labels(error_kind).inc()
        super().__init__(status, detail, {"connection": "close"})


class RequestMiddleware:
    """Middleware around a whole app; see the module.

    Args:
        app: what is behind it.
        settings: of the server.
        sessions: of browsers; see `AccessControl`.
    """

    def __init__(
        self, app: ASGIApp, settings: Settings, sessions: PageSessions | None = None
    ) -> None:
        self._app = app
        self._access = AccessControl(settings, sessions)
        self._headers = build_security_headers(settings, is_debugger=False)
        self._page_headers = build_security_headers(settings, is_debugger=True)
        self._max_bytes = settings.max_message_bytes
        self._timeout_s = settings.request_timeout_s
        self._has_shares = not settings.token
        self._behind: ASGIApp = self._forward_if_allowed
        if settings.allowed_origins:  # their pages may read the answers, refusals included
            self._behind = CORSMiddleware(
                self._forward_if_allowed,
                allow_origins=settings.allowed_origins,
                allow_methods=["GET", "POST", "DELETE"],
                allow_headers=[
                    "authorization",
                    "content-type",
                    "mcp-protocol-version",
                    "mcp-session-id",
                    "x-request-id",
                ],
                expose_headers=["mcp-session-id", "x-request-id"],
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        # None where another server runs the app.
        connection: LimitedHttpProtocol | None = scope.setdefault("state", {}).get(
            CONNECTION_STATE_KEY
        )
        if connection is not None:
            client_identity.IS_CONNECTION_CLOSED.set(connection.is_closed)
        if self._has_shares:
            client_identity.GET_CLIENT_ADDRESS.set(
                partial(client_identity.client_address_or_network, scope.get("client"))
            )
        scope = _strip_trailing_slash(scope)
        served = self._behind if scope["type"] == "websocket" else self._handle_and_log
        with connection.track_request() if connection is not None else nullcontext():
            await served(scope, receive, send)

    async def _handle_and_log(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and log how."""
        started, path = time.perf_counter(), route_path(scope)
        is_page = f"{path}/".startswith(f"{DEBUGGER_PATH}/")
        request_id, method = _choose_request_id(Headers(scope=scope)), scope["method"]
        if method == "HEAD":  # allowed wherever GET is, and answered alike but for the body
            scope, send = {**scope, "method": "GET"}, _drop_response_body(send)
        notes: dict[str, Any] = {}
        scope["state"]["notes"] = notes
        scope["state"]["answered"] = False
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                scope["state"]["answered"] = True
                named = (b"x-request-id", request_id.encode("latin-1"))
                more = self._page_headers if is_page else self._headers
                message["headers"] = [*message.get("headers", ()), named, *more]
            await send(message)

        try:
            await self._behind(scope, receive, sending)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "other")
            metrics.REQUEST_SECONDS.labels(route, str(status)).observe(seconds)
            level = logging.DEBUG if path in DEBUG_LOGGED_PATHS else logging.INFO
            fields = {"request_id": request_id, "method": method, "path": scope["path"]}
            fields |= {"status": status, "ms": round(seconds * 1000, 3), **notes}
            logger.log(level, "request", extra=fields)

    async def _forward_if_allowed(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, unless it may not pass or its body is more than it may be."""
        headers, path = Headers(scope=scope), route_path(scope)
        denial = await self._access.check_access(scope, path, headers)
        client_identity.CURRENT_PARTICIPANT.set(
            scope["state"].get("participant", ANONYMOUS_PARTICIPANT)
        )
        if scope["type"] == "websocket":
            if denial is None:
                await self._app(scope, receive, send)
            else:
                websocket = WebSocket(scope, receive, send)
                await websocket.receive()
                await websocket.send_denial_response(denial)
            return
        limit = self._max_bytes
        if denial is None:
            length = headers.get("content-length", "")
            try:
                if length.isascii() and length.isdigit() and int(length[:12]) > limit:
                    raise _body_too_large_error(limit)
                # What the page sends is no message, and may have any shape.
                shaped = not path.startswith(f"{DEBUGGER_PATH}/")
                await self._app(
                    scope, self._limit_request_body(receive, limit, is_json=shaped), send
                )
            except RejectedBodyError as problem:
                body = {"detail": problem.detail}
                denial = messages.json_response(body, problem.status_code, problem.headers)
            except ClientDisconnect:
                return  # nobody reads an answer
            except Exception as problem:
                denial = self._handle_internal_error(scope, problem)
        if denial is not None:
            await denial(scope, receive, send)

    def _handle_internal_error(self, scope: Scope, problem: Exception) -> Response | None:
        """Log an internal error, once; returns the answer to it, None where one has begun."""
        state = scope["state"]
        if state["answered"] and isinstance(problem.__cause__, HTTPException):
            kind = "late_refusal"  # Starlette's RuntimeError: it came after the answer had begun
        else:
            kind = "internal"
            text = logs.log_internal_error(logger, problem, state["notes"].get("episode_id"))
            if not state["answered"]:
                return error_response(kind, 500, text)
        connection: LimitedHttpProtocol | None = state.get(CONNECTION_STATE_KEY)
        if connection is not None:
            connection.abort_connection(kind)
        return None

    def _limit_request_body(self, receive: Receive, max_bytes: int, *, is_json: bool) -> Receive:
        """The channel of a request, on which reading a body stops at its limits."""
        timeout_s = self._timeout_s
        size = commas = 0
        complete = False
        deadline: float | None = None

        async def receiving() -> Message:
            nonlocal size, commas, complete, deadline
            if complete:
                return await receive()
            deadline = deadline or asyncio.get_running_loop().time() + timeout_s
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                problem = f"A request body must arrive within {timeout_s:g} seconds."
                raise RejectedBodyError("too_slow", 408, problem) from None
            complete = not message.get("more_body", False)
            piece = message.get("body", b"")
            size += len(piece)
            if size > max_bytes:
                raise _body_too_large_error(max_bytes)
            commas += piece.count(b",") if is_json else 0
            if commas > messages.MAX_COMMAS:
                problem = f"The body has {messages.TOO_MANY_VALUES_TEXT}."
                raise RejectedBodyError("too_many_values", 413, problem)
            return message

        return receiving


def _strip_trailing_slash(scope: Scope) -> Scope:
    """The same request without a slash at the end of its path.

    Clients that were given `/mcp/` do not all follow a redirect to `/mcp`. The page has folders.
    """
    path = route_path(scope)
    if not path.endswith("/") or path == "/" or path.startswith(f"{DEBUGGER_PATH}/"):
        return scope
    return {**scope, "path": scope["path"].rstrip("/")}


def _drop_response_body(send: Send) -> Send:
    """The channel of an answer, of which only the head is sent."""
    is_sent = False

    async def sending(message: Message) -> None:
        nonlocal is_sent
        if message["type"] == "http.response.start":
            await send(message)
            # At once: the body of a stream would begin later, or never end.
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            is_sent = True
        elif not is_sent:
            await send(message)

    return sending


def route_path(scope: Scope) -> str:
    """A request's path as the routes see it, without the prefix that the app is served under."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) if path == root or path.startswith(f"{root}/") else path


def _body_too_large_error(max_bytes: int) -> RejectedBodyError:
    return RejectedBodyError("too_big", 413, f"A request body may have {max_bytes} bytes.")


def _choose_request_id(headers: Headers) -> str:
    """The client's own id where it is fit to be logged, a new one otherwise."""
    given = headers.get("x-request-id", "")
    if 0 < len(given) <= MAX_REQUEST_ID_LENGTH and given.isascii() and given.isprintable():
        return given
    return uuid.uuid4().hex
