"""Serving below a path prefix, as proxies do that have several programs behind one name."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class PathPrefix:
    """Middleware that lets an app know the prefix under which its clients see it.

    A proxy may strip the prefix or leave it, and who is behind the proxy, such as a probe, knows
    of none: all are served alike.

    Args:
        app: what is served.
        prefix: where, without a slash at its end.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on as one that came in below the prefix."""
        if scope["type"] in ("http", "websocket") and not scope.get("root_path"):
            path: str = scope["path"]
            if path != self._prefix and not path.startswith(f"{self._prefix}/"):
                path = f"{self._prefix}{path}"
            scope = {**scope, "path": path, "root_path": self._prefix}
        await self._app(scope, receive, send)
