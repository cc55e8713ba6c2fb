"""The outermost layer: a request's id, its log line and its metrics.

Plain ASGI, and for a WebSocket nothing after its handshake: messages go by untouched.
"""

from __future__ import annotations

import logging
import time
import uuid
from contextlib import nullcontext
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openenv_kit.serving import metrics
from openenv_kit.serving.connections import STATE_KEY, Connection
from openenv_kit.serving.gate import route_path

QUIET_PATHS = ("/health", "/ready", "/metrics")
MAX_REQUEST_ID = 64

logger = logging.getLogger("metric_tracker.http")


class AccessLog:
    """Middleware around the whole app."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and log how it was answered."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        # None where another server runs the app.
        connection: Connection | None = scope.setdefault("state", {}).get(STATE_KEY)
        served = self._app if scope["type"] == "websocket" else self._logged
        with connection.request() if connection is not None else nullcontext():
            await served(scope, receive, send)

    async def _logged(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        request_id = _request_id(Headers(scope=scope))
        notes: dict[str, Any] = {}
        scope["state"]["notes"] = notes
        status = 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                named = (b"x-request-id", request_id.encode("latin-1"))
                message["headers"] = [*message.get("headers", ()), named]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "other")
            metrics.REQUESTS.labels(route, str(status)).observe(seconds)
            level = logging.DEBUG if route_path(scope) in QUIET_PATHS else logging.INFO
            told = {"request_id": request_id, "method": scope["method"], "path": scope["path"]}
            told |= {"status": status, "ms": round(seconds * 1000, 3), **notes}
            logger.log(level, "request", extra=told)


def _request_id(headers: Headers) -> str:
    """The client's own id where it is fit to be logged, a new one otherwise."""
    given = headers.get("x-request-id", "")
    if 0 < len(given) <= MAX_REQUEST_ID and given.isascii() and given.isprintable():
        return given
    return uuid.uuid4().hex
