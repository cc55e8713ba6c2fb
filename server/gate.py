"""What every request passes: origin, token, size; and what every request leaves: a log line.

Plain ASGI, and for a WebSocket nothing after its handshake: messages go by untouched.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
import uuid
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from server import frames, metrics
from server.settings import MAX_RECORDING_BYTES, Settings

OPEN_PATHS = ("/health", "/ready")
"""Paths that need no token: a load balancer has none."""

QUIET_PATHS = ("/health", "/ready", "/metrics")
WEB = "/web"
COOKIE = "metric_tracker_web"
MAX_REQUEST_ID = 64
UPLOAD = f"{WEB}/gradio_api/upload"
FORM_BYTES = 64 * 1024
"""What a form adds around an uploaded file, at most."""

logger = logging.getLogger("metric_tracker.http")


class TooBigError(HTTPException):
    """A body longer than allowed, found while it was read.

    Of the framework's own kind, because whoever reads the body turns any other into a 400.
    """

    def __init__(self, limit: int) -> None:
        metrics.ERRORS.labels("too_big").inc()
        super().__init__(413, f"A request body may have {limit} bytes.")


class Gate:
    """Middleware around the whole app.

    Args:
        app: what is behind it.
        settings: token, origins and sizes.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._origins = frozenset(settings.allowed_origins)
        self._max_bytes = settings.max_message_bytes
        self._token = settings.token.encode()
        # A browser keeps this instead of the token; it opens this server and nothing else.
        self._ticket = hmac.new(self._token, b"metric-tracker-web", hashlib.sha256).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        denial = self._denial(scope, headers)
        if scope["type"] == "websocket":
            if denial is None:
                await self._app(scope, receive, send)
            else:
                await _deny_websocket(scope, receive, send, denial)
            return
        await self._serve(scope, receive, send, headers, denial)

    async def _serve(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        headers: Headers,
        denial: Response | None,
    ) -> None:
        started = time.perf_counter()
        request_id = _request_id(headers)
        notes: dict[str, Any] = {}
        scope.setdefault("state", {})["notes"] = notes
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request_id.encode("latin-1")),
                ]
            await send(message)

        try:
            if denial is not None:
                await denial(scope, receive, sending)
            else:
                await self._app(scope, self._counting(receive, self._limit(scope)), sending)
        except TooBigError as problem:
            await _refusal(413, problem.detail)(scope, receive, sending)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "other")
            metrics.REQUESTS.labels(route, str(status)).observe(seconds)
            quiet = scope["path"] in QUIET_PATHS
            logger.log(
                logging.DEBUG if quiet else logging.INFO,
                "request",
                extra={
                    "request_id": request_id,
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "ms": round(seconds * 1000, 3),
                    **notes,
                },
            )

    def _denial(self, scope: Scope, headers: Headers) -> Response | None:
        """Answer to a request that may not pass, None for one that may."""
        if not self._origin_allowed(headers):
            metrics.ERRORS.labels("origin").inc()
            return _refusal(403, "Pages of this origin may not call this server.")
        if self._token and scope["path"] not in OPEN_PATHS and not self._has_token(scope, headers):
            ticket = self._new_ticket(scope)
            if ticket is not None:
                return ticket
            metrics.ERRORS.labels("token").inc()
            return _refusal(
                401,
                "This server needs a token: send the header Authorization: Bearer <token>.",
                {"www-authenticate": "Bearer"},
            )
        length = headers.get("content-length", "")
        limit = self._limit(scope)
        if length.isascii() and length.isdigit() and int(length[:12]) > limit:
            return _refusal(413, TooBigError(limit).detail)
        return None

    def _limit(self, scope: Scope) -> int:
        """Longest body of a request."""
        recording = MAX_RECORDING_BYTES + FORM_BYTES
        return max(self._max_bytes, recording) if scope["path"] == UPLOAD else self._max_bytes

    def _origin_allowed(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        if not self._origins or origin is None or "*" in self._origins:
            return True
        return (
            origin.lower() in self._origins
            or urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
        )

    def _has_token(self, scope: Scope, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return hmac.compare_digest(given.strip().encode(), self._token)
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(cookie.value, self._ticket)

    def _new_ticket(self, scope: Scope) -> Response | None:
        """For a browser that opens `/web?token=…`: the same page, with a cookie for the token."""
        if scope["type"] != "http" or scope["method"] != "GET":
            return None
        path = scope["path"]
        if path != WEB and not path.startswith(f"{WEB}/"):
            return None
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        given = query.pop("token", "")
        if not hmac.compare_digest(given.encode(), self._token):
            return None
        response = RedirectResponse(path + (f"?{urlencode(query)}" if query else ""), 303)
        response.set_cookie(
            COOKIE,
            self._ticket,
            httponly=True,
            samesite="lax",
            secure=scope.get("scheme") == "https",
        )
        return response

    def _counting(self, receive: Receive, limit: int) -> Receive:
        """The body, up to its longest."""
        seen = 0

        async def receiving() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise TooBigError(limit)
            return message

        return receiving


def _refusal(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    body = frames.dumps({"detail": detail})
    return Response(body, status, headers, media_type="application/json")


async def _deny_websocket(scope: Scope, receive: Receive, send: Send, denial: Response) -> None:
    """Refuse a handshake with the same answer, where the server can carry one."""
    websocket = WebSocket(scope, receive, send)
    await websocket.receive()
    if "websocket.http.response" in scope.get("extensions", {}):
        await websocket.send_denial_response(denial)
    else:
        await websocket.close(1008)


def _request_id(headers: Headers) -> str:
    """The client's own id where it is fit to be logged, a new one otherwise."""
    given = headers.get("x-request-id", "")
    if 0 < len(given) <= MAX_REQUEST_ID and given.isascii() and given.isprintable():
        return given
    return uuid.uuid4().hex
