"""Episodes of HTTP clients that send no episode id: one episode for each caller.

Some environments have existing clients that post `/reset` and then `/step` without an id. Such an
environment sets `EpisodeLimits.may_omit_episode_id`, and the server keeps one episode for each
client address. Several clients on one host can prefix the path with names that they choose:
`/as/NAME/reset`.
"""

from __future__ import annotations

import hashlib
import hmac

from fastapi import FastAPI, Request
from starlette.routing import Mount, Route

from openenv_kit.serving.episodes.service import EpisodeService
from openenv_kit.serving.http.client_identity import get_client_address_or_ipv6_network

NAMED_CALLER_PATHS = ("/health", "/reset", "/step", "/state")
"""Paths that are also served below `/as/NAME`."""


def add_routes_below_caller_names(app: FastAPI) -> None:
    """Also serve the routes of `NAMED_CALLER_PATHS` under `/as/NAME`."""
    routes = [
        route
        for route in app.routes
        if isinstance(route, Route) and route.path in NAMED_CALLER_PATHS
    ]
    # The framework's last routes match any first path segment, so this route must precede them.
    app.router.routes.insert(0, Mount("/as/{caller}", routes=routes))


async def derive_anonymous_episode_id_if_allowed(
    request: Request, episodes: EpisodeService
) -> str | None:
    """Return the id of the episode of a caller that sends no episode id.

    Returns None if the environment requires clients to send episode ids.

    The returned id is the same on all workers, and cannot be guessed without the store's secret.
    """
    if not episodes.environment.episode_limits.may_omit_episode_id:
        return None
    name = request.path_params.get("caller")
    if name:
        caller = f"name {name}"
    else:
        caller = f"client {get_client_address_or_ipv6_network(request.scope.get('client'))}"
    secret = (await episodes.store.get_secret()).encode()
    return f"anonymous-{hmac.new(secret, caller.encode(), hashlib.sha256).hexdigest()[:32]}"
