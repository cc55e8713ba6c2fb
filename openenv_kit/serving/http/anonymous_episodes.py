"""Episodes of plain HTTP clients that know no episode ids: one for each caller.

Existing clients of some environments post `/reset` and then `/step` without a name. Such an
environment says so (`EpisodeLimits.may_omit_episode_id`), and each client address has an episode
of its own.
Several clients on one host put a name of their choice before the path: `/as/NAME/reset`.
"""

from __future__ import annotations

import hashlib
import hmac

from fastapi import FastAPI, Request
from starlette.routing import Mount, Route

from openenv_kit.serving.episodes.service import EpisodeService
from openenv_kit.serving.http.client_identity import client_address_or_network

NAMED_CALLER_PATHS = ("/health", "/reset", "/step", "/state")
"""What may stand behind a name."""


def add_named_caller_routes(app: FastAPI) -> None:
    """Serve some of the app's routes below `/as/NAME` too."""
    routes = [
        each for each in app.routes if isinstance(each, Route) and each.path in NAMED_CALLER_PATHS
    ]
    # In front, because the framework ends its list with routes that take any first segment.
    app.router.routes.insert(0, Mount("/as/{caller}", routes=routes))


async def get_anonymous_episode_id(request: Request, episodes: EpisodeService) -> str | None:
    """The caller's own episode; None where the environment has no anonymous episodes.

    It cannot be guessed without the store's secret, and is the same on all workers.
    """
    if not episodes.environment.episode_limits.may_omit_episode_id:
        return None
    name = request.path_params.get("caller")
    caller = (
        f"name {name}"
        if name
        else f"client {client_address_or_network(request.scope.get('client'))}"
    )
    secret = (await episodes.store.get_secret()).encode()
    return f"anonymous-{hmac.new(secret, caller.encode(), hashlib.sha256).hexdigest()[:32]}"
