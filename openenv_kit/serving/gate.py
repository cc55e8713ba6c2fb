"""Who may do what: origin, token, role, and what a request's body may be.

Plain ASGI, and for a WebSocket nothing after its handshake: messages go by untouched.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from typing import Literal
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from openenv_kit.serving import frames, metrics
from openenv_kit.serving.origins import Origins
from openenv_kit.serving.settings import MAX_RECORDING_BYTES, Settings

Role = Literal["trainer", "player"]

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
FORM_BYTES = 64 * 1024
"""What a form adds around an uploaded file, at most."""


class BodyError(HTTPException):
    """A body that is refused while it is read.

    Of the framework's own kind, because whoever reads the body turns any other into a 400. The
    rest of the body is never read, so the connection ends with the answer.
    """

    def __init__(self, kind: str, status: int, detail: str) -> None:
        metrics.ERRORS.labels(kind).inc()
        super().__init__(status, detail, {"connection": "close"})

    @property
    def response(self) -> Response:
        """The answer."""
        return frames.response({"detail": self.detail}, self.status_code, self.headers)


class Gate:
    """Middleware around all routes; it leaves the caller's role in the scope's state."""

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
                await _deny_websocket(WebSocket(scope, receive, send), denial)
            return
        if denial is None:
            try:
                await self._app(scope, self._limited(scope, receive), send)
            except BodyError as problem:
                denial = problem.response
        if denial is not None:
            await denial(scope, receive, send)

    def _denial(self, scope: Scope, headers: Headers) -> Response | None:
        """Answer to a request that may not pass, None for one that may."""
        problem = self._origins.refusal(scope, headers)
        if problem is not None:
            return _refusal("origin", 403, problem)
        role = self._role(headers)
        path = route_path(scope)
        scope.setdefault("state", {})["role"] = role or "player"
        if role is None and path not in OPEN_PATHS:
            return self._new_ticket(scope) or _refusal(
                "token",
                401,
                "This server needs a token: send the header Authorization: Bearer <token>.",
                {"www-authenticate": "Bearer"},
            )
        method = scope.get("method", "websocket")
        if role == "player" and (method, path) not in PLAYER_ROUTES and path not in OPEN_PATHS:
            return _refusal(
                "role",
                403,
                "The player token may only POST /step, use /mcp and open the WebSocket /ws; "
                "this needs the trainer's token.",
            )
        length = headers.get("content-length", "")
        limit = self._limit(scope)
        if length.isascii() and length.isdigit() and int(length[:12]) > limit:
            return _too_big(limit).response
        return None

    def _limit(self, scope: Scope) -> int:
        """Longest body of a request, in bytes."""
        if route_path(scope) == f"{WEB}/gradio_api/upload":
            return max(self._max_bytes, MAX_RECORDING_BYTES + FORM_BYTES)
        return self._max_bytes

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """The channel of a request, on which reading a body stops at its limits."""
        max_bytes, timeout_s = self._limit(scope), self._timeout_s
        page = route_path(scope).startswith(f"{WEB}/")  # its uploads are no messages
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
                told = f"A request body must arrive within {timeout_s:g} seconds."
                raise BodyError("too_slow", 408, told) from None
            complete = not message.get("more_body", False)
            piece = message.get("body", b"")
            size += len(piece)
            if size > max_bytes:
                raise _too_big(max_bytes)
            commas += 0 if page else piece.count(b",")
            if commas > frames.MAX_COMMAS:
                told = f"The body has {frames.TOO_MANY_VALUES}."
                raise BodyError("too_many_values", 413, told)
            return message

        return receiving

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
        if scope.get("method") != "GET" or not f"{route_path(scope)}/".startswith(f"{WEB}/"):
            return None
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        given = query.pop("token", "")
        if not hmac.compare_digest(given.encode(), self._token):
            return None
        location = scope["path"] + (f"?{urlencode(query)}" if query else "")
        response = RedirectResponse(location, 303)
        secure = scope.get("scheme") == "https"
        response.set_cookie(COOKIE, self._ticket, httponly=True, samesite="lax", secure=secure)
        return response


def route_path(scope: Scope) -> str:
    """A request's path as the routes see it, without the prefix that the app is served under."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) if path == root or path.startswith(f"{root}/") else path


def _too_big(limit: int) -> BodyError:
    return BodyError("too_big", 413, f"A request body may have {limit} bytes.")


def _refusal(
    kind: str, status: int, detail: str, headers: dict[str, str] | None = None
) -> Response:
    metrics.ERRORS.labels(kind).inc()
    return frames.response({"detail": detail}, status, headers)


async def _deny_websocket(websocket: WebSocket, denial: Response) -> None:
    """Refuse a handshake with the same answer, where the server can carry one."""
    await websocket.receive()
    if "websocket.http.response" in websocket.scope.get("extensions", {}):
        await websocket.send_denial_response(denial)
    else:
        await websocket.close(1008)
