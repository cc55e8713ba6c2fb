"""Episodes of plain HTTP clients that know no episode ids: one for each caller.

Existing clients of some environments post `/reset` and then `/step` without a name. Such an
environment says so (`Environment.anonymous`), and each client address has an episode of its own.
Several clients on one host put a name of their choice before the path: `/as/NAME/reset`.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets

from starlette.types import ASGIApp, Receive, Scope, Send

from openenv_kit.serving.clients import client_key
from openenv_kit.serving.gate import route_path

NAMED = re.compile(r"/as/(?P<name>[A-Za-z0-9_.~-]{1,64})(?P<path>/(?:health|reset|step|state))")
SCOPE_KEY = "anonymous_id"
SECRET_VARIABLE = "METRIC_TRACKER_ANONYMOUS_SECRET"
"""Handed from a server to its workers; made anew at every start."""


class AnonymousEpisodes:
    """Middleware that gives each caller without an episode id one of its own.

    Args:
        app: what is behind it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._secret = shared_secret().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note the caller's episode, and take a name off the path."""
        if scope["type"] == "http":
            caller = f"client {client_key(scope.get('client'))}"
            if named := NAMED.fullmatch(route_path(scope)):
                caller = f"name {named['name']}"
                path = scope.get("root_path", "") + named["path"]
                scope = {**scope, "path": path, "raw_path": path.encode()}
            digest = hmac.new(self._secret, caller.encode(), hashlib.sha256).hexdigest()
            scope[SCOPE_KEY] = f"anonymous-{digest[:32]}"
        await self._app(scope, receive, send)


def anonymous_id(scope: Scope) -> str | None:
    """The caller's own episode; None where the environment has no anonymous episodes."""
    found: str | None = scope.get(SCOPE_KEY)
    return found


def shared_secret() -> str:
    """What keeps others from guessing a caller's id; the same in this process and its children."""
    return os.environ.setdefault(SECRET_VARIABLE, secrets.token_hex(32))
