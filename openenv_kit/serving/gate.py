"""Who may do what: origin, token, role, and a body's size.

Plain ASGI, and for a WebSocket nothing after its handshake: messages go by untouched.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Literal
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from openenv_kit.serving import frames, metrics
from openenv_kit.serving.body import BodyError, limited, too_big
from openenv_kit.serving.origins import Origins
from openenv_kit.serving.settings import MAX_RECORDING_BYTES, Settings

Role = Literal["trainer", "player"]

ROLE_KEY = "role"
"""Where a scope's `state` holds the caller's role."""

OPEN_PATHS = ("/health", "/ready")
"""Paths that need no token: a load balancer has none."""

PLAYER_ROUTES = (
    ("POST", "/step"),
    ("POST", "/mcp"),
    ("GET", "/mcp"),
    ("DELETE", "/mcp"),
    ("websocket", "/ws"),
    ("websocket", "/mcp"),
)
"""All that the player token opens."""

WEB = "/web"
COOKIE = "metric_tracker_web"
UPLOAD = f"{WEB}/gradio_api/upload"
FORM_BYTES = 64 * 1024
"""What a form adds around an uploaded file, at most."""


class Gate:
    """Middleware around all routes; it leaves the caller's role in the scope's state.

    Args:
        app: what is behind it.
        settings: tokens, origins and sizes.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._origins = Origins(settings)
        self._max_bytes = settings.max_message_bytes
        self._timeout_s = settings.request_timeout_s
        self._token = settings.token.encode()
        self._player_token = settings.player_token.encode()
        # A browser keeps this instead of the token; it opens this server and nothing else.
        self._ticket = hmac.new(self._token, b"metric-tracker-web", hashlib.sha256).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        denial = self._denial(scope, Headers(scope=scope))
        if scope["type"] == "websocket":
            if denial is None:
                await self._app(scope, receive, send)
            else:
                await _deny_websocket(scope, receive, send, denial)
            return
        if denial is not None:
            await denial(scope, receive, send)
            return
        page = route_path(scope).startswith(f"{WEB}/")  # its uploads are no messages
        body = limited(receive, self._limit(scope), self._timeout_s, is_json=not page)
        try:
            await self._app(scope, body, send)
        except BodyError as problem:
            await _refused(problem)(scope, receive, send)

    def _denial(self, scope: Scope, headers: Headers) -> Response | None:
        """Answer to a request that may not pass, None for one that may."""
        problem = self._origins.refusal(scope, headers)
        if problem is not None:
            metrics.ERRORS.labels("origin").inc()
            return _refusal(403, problem)
        role = self._role(headers)
        path = route_path(scope)
        scope.setdefault("state", {})[ROLE_KEY] = role or "player"
        if role is None and path not in OPEN_PATHS:
            ticket = self._new_ticket(scope)
            if ticket is not None:
                return ticket
            metrics.ERRORS.labels("token").inc()
            return _refusal(
                401,
                "This server needs a token: send the header Authorization: Bearer <token>.",
                {"www-authenticate": "Bearer"},
            )
        method = scope.get("method", "websocket")
        if role == "player" and (method, path) not in PLAYER_ROUTES and path not in OPEN_PATHS:
            metrics.ERRORS.labels("role").inc()
            return _refusal(
                403,
                "The player token may only POST /step, use /mcp and open the WebSocket /ws; "
                "this needs the trainer's token.",
            )
        length = headers.get("content-length", "")
        limit = self._limit(scope)
        if length.isascii() and length.isdigit() and int(length[:12]) > limit:
            return _refused(too_big(limit))
        return None

    def _limit(self, scope: Scope) -> int:
        """Longest body of a request, in bytes."""
        if route_path(scope) == UPLOAD:
            return max(self._max_bytes, MAX_RECORDING_BYTES + FORM_BYTES)
        return self._max_bytes

    def _role(self, headers: Headers) -> Role | None:
        """What the caller may be; None for one without a valid token where one is needed."""
        if not self._token:
            return "trainer"
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            secret = given.strip().encode()
            is_trainer = hmac.compare_digest(secret, self._token)
            is_player = hmac.compare_digest(secret, self._player_token)
            if is_trainer:
                return "trainer"
            return "player" if is_player and self._player_token else None
        return "trainer" if self._has_ticket(headers) else None

    def _has_ticket(self, headers: Headers) -> bool:
        """Whether our own cookie is there; what others look like does not matter."""
        pairs = (
            pair.partition("=") for each in headers.getlist("cookie") for pair in each.split(";")
        )
        return any(
            hmac.compare_digest(value.strip().encode(), self._ticket.encode())
            for name, _, value in pairs
            if name.strip() == COOKIE
        )

    def _new_ticket(self, scope: Scope) -> Response | None:
        """For a browser that opens `/web?token=…`: the same page, with a cookie for the token."""
        if scope["type"] != "http" or scope["method"] != "GET":
            return None
        path = route_path(scope)
        if path != WEB and not path.startswith(f"{WEB}/"):
            return None
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        given = query.pop("token", "")
        if not hmac.compare_digest(given.encode(), self._token):
            return None
        location = scope["path"] + (f"?{urlencode(query)}" if query else "")
        response = RedirectResponse(location, 303)
        response.set_cookie(
            COOKIE,
            self._ticket,
            httponly=True,
            samesite="lax",
            secure=scope.get("scheme") == "https",
        )
        return response


def route_path(scope: Scope) -> str:
    """A request's path as the routes see it, without the prefix that the app is served under."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) if path == root or path.startswith(f"{root}/") else path


def _refused(problem: BodyError) -> Response:
    return _refusal(problem.status_code, problem.detail, dict(problem.headers or {}))


def _refusal(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    return frames.response({"detail": detail}, status, headers)


async def _deny_websocket(scope: Scope, receive: Receive, send: Send, denial: Response) -> None:
    """Refuse a handshake with the same answer, where the server can carry one."""
    websocket = WebSocket(scope, receive, send)
    await websocket.receive()
    if "websocket.http.response" in scope.get("extensions", {}):
        await websocket.send_denial_response(denial)
    else:
        await websocket.close(1008)
