"""Middleware for servers behind a proxy that selects the server by a path prefix."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class PathPrefix:
    """Middleware that adds the path prefix under which clients reach an app behind a proxy.

    The proxy may strip or keep the prefix. Clients that bypass the proxy, such as health checks,
    may omit the prefix.

    Args:
        app: app to serve.
        prefix: path prefix without a trailing slash.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the prefix to the request's path if it is missing, and forward the request."""
        if scope["type"] in ("http", "websocket") and not scope.get("root_path"):
            path: str = scope["path"]
            if path != self._prefix and not path.startswith(f"{self._prefix}/"):
                path = f"{self._prefix}{path}"
            scope = {**scope, "path": path, "root_path": self._prefix}
        await self._app(scope, receive, send)
