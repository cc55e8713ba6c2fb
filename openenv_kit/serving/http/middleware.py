"""Middleware that wraps all routes of an app.

The middleware assigns a request id, checks access with `AccessControl`, limits the request body,
and logs each request with its duration. It is plain ASGI middleware: messages of a WebSocket bypass
it after the handshake.
"""

from __future__ import annotations

import logging
import secrets
import time
import uuid
from contextlib import nullcontext
from functools import partial
from http import HTTPStatus
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
)
from openenv_kit.serving.http.error_responses import count_and_build_error_response
from openenv_kit.serving.http.limited_protocols import CONNECTION_STATE_KEY, LimitedHttpProtocol
from openenv_kit.serving.http.page_sessions import PageSessions
from openenv_kit.serving.http.response_headers import (
    SCRIPT_NONCE_KEY,
    HttpHeader,
    build_security_headers,
)
from openenv_kit.serving.message_limits import (
    MessageLimits,
    RejectedBodyError,
    require_content_length_within,
    wrap_receive_with_body_limits,
)
from openenv_kit.serving.metrics import ErrorKind
from openenv_kit.serving.setting_values import ReservedParticipant
from openenv_kit.serving.settings import Settings, may_import_tables

DEBUG_LOGGED_PATHS = (*PATHS_WITHOUT_TOKEN, "/metrics")
"""Paths whose requests are logged at level `debug`, because monitoring sends them often."""
MAX_REQUEST_ID_LENGTH = 64

logger = logging.getLogger("openenv_kit.http")


class RequestMiddleware:
    """Middleware that wraps a whole app.

    Args:
        app: app that handles the allowed requests.
        settings: settings of the server.
        sessions: login sessions of browsers; see `AccessControl`.
    """

    def __init__(
        self, app: ASGIApp, settings: Settings, sessions: PageSessions | None = None
    ) -> None:
        self._app = app
        self._access = AccessControl(settings, sessions)
        self._headers = build_security_headers(settings, is_debugger=False)
        self._settings = settings
        self._limits = MessageLimits.from_settings(settings)
        self._may_upload = may_import_tables(settings)
        self._has_client_limits = not settings.token
        self._checked_app: ASGIApp = self._forward_or_send_error_response
        if settings.allowed_origins:
            # CORS wraps the access check, so that pages of these origins can also read its errors.
            self._checked_app = CORSMiddleware(
                self._forward_or_send_error_response,
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
        """Forward a request to the app, or send an error response."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        # The state has no connection if the app was not started by `run_server`.
        connection: LimitedHttpProtocol | None = scope.setdefault("state", {}).get(
            CONNECTION_STATE_KEY
        )
        if connection is not None:
            client_identity.IS_CONNECTION_CLOSED.set(connection.is_closed)
        if self._has_client_limits:
            client_identity.GET_CLIENT_ADDRESS.set(
                partial(client_identity.get_client_address_or_ipv6_network, scope.get("client"))
            )
        scope = _strip_trailing_slash_except_debugger(scope)
        app = (
            self._checked_app if scope["type"] == "websocket" else self._handle_log_and_time_request
        )
        with connection.count_request_as_open() if connection is not None else nullcontext():
            await app(scope, receive, send)

    async def _handle_log_and_time_request(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Handle an HTTP request, add headers to its response, and log and time the request."""
        started_s, path = time.perf_counter(), get_route_path(scope)
        request_id = _get_loggable_request_id_or_generate(Headers(scope=scope))
        is_debugger = f"{path}/".startswith(f"{DEBUGGER_PATH}/")
        security_headers = self._headers
        if is_debugger:
            # The debugger adds the nonce to the inline scripts of its page.
            nonce = scope["state"][SCRIPT_NONCE_KEY] = secrets.token_urlsafe(16)
            security_headers = build_security_headers(
                self._settings, is_debugger=True, script_nonce=nonce
            )
        response_headers = [
            HttpHeader(b"x-request-id", request_id.encode("latin-1")),
            *security_headers,
        ]
        method = scope["method"]
        if method == "HEAD":
            # The routes declare only GET, so HEAD is served as GET without a body.
            scope, send = {**scope, "method": "GET"}, _wrap_send_without_body(send)
        log_fields: dict[str, Any] = {}
        scope["state"]["log_fields"] = log_fields
        scope["state"]["has_response_started"] = False
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                scope["state"]["has_response_started"] = True
                message["headers"] = [*message.get("headers", ()), *response_headers]
            await send(message)

        try:
            await self._checked_app(scope, receive, send_with_headers)
        finally:
            duration_s = time.perf_counter() - started_s
            route = getattr(scope.get("route"), "path", "other")
            metrics.REQUEST_SECONDS.labels(route, str(int(status))).observe(duration_s)
            level = logging.DEBUG if path in DEBUG_LOGGED_PATHS else logging.INFO
            fields = {
                "request_id": request_id,
                "method": method,
                "path": scope["path"],
                "status": int(status),
                "ms": round(duration_s * 1000, 3),
                **log_fields,
            }
            logger.log(level, "request handled", extra=fields)

    async def _forward_or_send_error_response(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Forward a request to the app; send an error response if it fails or is not allowed."""
        headers, path = Headers(scope=scope), get_route_path(scope)
        denial = await self._access.identify_caller_and_find_denial(scope, path, headers)
        client_identity.CURRENT_PARTICIPANT.set(
            scope["state"].get("participant", ReservedParticipant.ANONYMOUS)
        )
        if scope["type"] == "websocket":
            if denial is None:
                await self._app(scope, receive, send)
            else:
                websocket = WebSocket(scope, receive, send)
                await websocket.receive()
                await websocket.send_denial_response(denial)
            return
        error = denial or await self._forward_or_build_error_response(scope, receive, send)
        if error is not None:
            await error(scope, receive, send)

    async def _forward_or_build_error_response(
        self, scope: Scope, receive: Receive, send: Send
    ) -> Response | None:
        """Forward an HTTP request to the app; return an error response if that fails."""
        try:
            content_length = Headers(scope=scope).get("content-length", "")
            path = get_route_path(scope)
            limits = self._limits.for_path(path, may_upload=self._may_upload)
            require_content_length_within(limits, content_length)
            # The number of JSON values is not limited in requests of the debugger's page.
            is_json = not path.startswith(f"{DEBUGGER_PATH}/") and limits is self._limits
            await self._app(
                scope, wrap_receive_with_body_limits(limits, receive, is_json=is_json), send
            )
        except RejectedBodyError as error:
            body = {"detail": error.detail}
            return messages.build_json_response(body, error.status_code, error.headers)
        except ClientDisconnect:
            return None
        except Exception as error:
            return self._log_error_and_build_response_or_abort(scope, error)
        return None

    def _log_error_and_build_response_or_abort(
        self, scope: Scope, error: Exception
    ) -> Response | None:
        """Log an internal error and return its response.

        If a response has already started, the connection is aborted and None is returned.
        """
        state = scope["state"]
        has_response_started = state["has_response_started"]
        if has_response_started and isinstance(error.__cause__, HTTPException):
            # Starlette raises a RuntimeError for an HTTPException after the response has started.
            kind = ErrorKind.LATE_REFUSAL
        else:
            kind = ErrorKind.INTERNAL
            text = logs.log_internal_error_and_build_client_message(
                logger, error, state["log_fields"].get("episode_id")
            )
            if not has_response_started:
                return count_and_build_error_response(kind, HTTPStatus.INTERNAL_SERVER_ERROR, text)
        connection: LimitedHttpProtocol | None = state.get(CONNECTION_STATE_KEY)
        if connection is not None:
            connection.abort_connection(kind)
        return None


def get_route_path(scope: Scope) -> str:
    """Return the path of a request relative to the path prefix that the app is served under."""
    path: str = scope["path"]
    root_path: str = scope.get("root_path", "")
    if path == root_path or path.startswith(f"{root_path}/"):
        return path.removeprefix(root_path)
    return path


def _strip_trailing_slash_except_debugger(scope: Scope) -> Scope:
    """Return the scope with a slash at the end of its path removed.

    Some clients that were configured with `/mcp/` do not follow a redirect to `/mcp`. Paths of the
    debugger keep the slash, because its page is served at `/web/`.
    """
    path = get_route_path(scope)
    if not path.endswith("/") or path == "/" or path.startswith(f"{DEBUGGER_PATH}/"):
        return scope
    return {**scope, "path": scope["path"].rstrip("/")}


def _wrap_send_without_body(send: Send) -> Send:
    """Return an ASGI send function that sends only the status and headers of a response."""
    is_sent = False

    async def send_head(message: Message) -> None:
        nonlocal is_sent
        if message["type"] == "http.response.start":
            await send(message)
            # The body ends immediately, because the body of a stream could start late or never end.
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            is_sent = True
        elif not is_sent:
            await send(message)

    return send_head


def _get_loggable_request_id_or_generate(headers: Headers) -> str:
    """Return the client's request id if it can be logged, or else a new request id."""
    client_id = headers.get("x-request-id", "")
    if 0 < len(client_id) <= MAX_REQUEST_ID_LENGTH and (
        client_id.isascii() and client_id.isprintable()
    ):
        return client_id
    return uuid.uuid4().hex
