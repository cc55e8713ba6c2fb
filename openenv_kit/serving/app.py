"""The ASGI app, and the `server` command that serves it.

Whatever is heavy is imported as the app is built: the command's parent process only starts workers.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from openenv_kit.environment import DEFAULT, VARIABLE, get_environment
from openenv_kit.errors import ConfigurationError
from openenv_kit.serving.anonymous import shared_secret
from openenv_kit.serving.episode_store import StoreUnavailableError
from openenv_kit.serving.open_store import open_store
from openenv_kit.serving.settings import Settings, load_settings, settings
from openenv_kit.serving.workers import serve, unwatched

if TYPE_CHECKING:
    from fastapi import FastAPI

    from openenv_kit.environment import Environment
    from openenv_kit.serving.mounts import Shared

OUR_PATHS = ("/ws", "/mcp", "/reset", "/step", "/state")
"""Routes of the framework that ours replace; all others stay as it made them."""


def build_app(
    chosen: Settings,
    environment: Environment | None = None,
    others: Sequence[Environment] = (),
) -> FastAPI:
    """The app: the framework's, with our sessions, episodes, limits and figures.

    Args:
        chosen: the settings.
        environment: what is served at the root; None for the one that ENVIRONMENT names.
        others: what else is served, each below its name.
    """
    from openenv_kit.serving import descriptors, metrics
    from openenv_kit.serving.mounts import Shared, mount

    chosen = descriptors.fitted(chosen, descriptors.raise_limit())
    shared = Shared.of(chosen)
    served = environment or get_environment()
    made = _app_of(served, chosen, shared)
    apps = {each.name: _app_of(each, chosen, shared) for each in others}
    if apps:
        mount(made, served.name, apps)
    own = [(each, each.router.lifespan_context) for each in (made, *apps.values())]

    @unwatched
    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[Any]:
        await shared.store.open()
        metrics.WORKERS.set(1)
        metrics.SESSION_LIMIT.set(chosen.max_sessions)
        async with AsyncExitStack() as stack:
            states = [await stack.enter_async_context(starting(app)) for app, starting in own]
            yield states[0]
        # All have ended: none can use, and so open again, the store that they share.
        for app, _ in own:
            await app.state.episodes.close()

    made.router.lifespan_context = lifespan
    return made


def _app_of(served: Environment, chosen: Settings, shared: Shared) -> FastAPI:
    """An environment's app, behind a gate of its own."""
    from openenv.core.env_server import create_fastapi_app

    from openenv_kit.page import add_icon, guard_page, is_on
    from openenv_kit.serving import routes
    from openenv_kit.serving.access_log import AccessLog
    from openenv_kit.serving.anonymous import AnonymousEpisodes
    from openenv_kit.serving.clients import ClientKeys
    from openenv_kit.serving.framework import FrameworkEnvironment
    from openenv_kit.serving.gate import Gate

    made: FastAPI = create_fastapi_app(
        partial(FrameworkEnvironment, served, chosen),
        served.models.action,
        served.models.observation,
        env_name=served.name,
        max_concurrent_envs=chosen.max_sessions,
        state_cls=served.models.state,
    )
    kept = [each for each in made.router.routes if getattr(each, "path", "") not in OUR_PATHS]
    made.router.routes[:] = kept
    add_icon(made)
    _add_sessions(made, chosen, served, shared)
    if is_on():
        from openenv_kit.page.mount import add_page

        add_page(made, chosen.debug, served)
    routes.add_metrics_route(made)
    routes.add_error_answers(made)
    guard_page(made, chosen)
    if served.anonymous:
        made.add_middleware(AnonymousEpisodes)
    made.add_middleware(ClientKeys, trusted=bool(chosen.token))
    made.add_middleware(Gate, settings=chosen)
    if chosen.allowed_origins:
        _allow_origins(made, chosen)
    made.add_middleware(AccessLog)  # the last one added is the outermost
    return made


def _add_sessions(
    made: FastAPI, chosen: Settings, environment: Environment, shared: Shared
) -> None:
    """Routes that play, and what they need for as long as the app runs."""
    from fastapi.routing import APIRoute
    from starlette.routing import WebSocketRoute

    from openenv_kit.serving import routes
    from openenv_kit.serving.http_episodes import Episodes
    from openenv_kit.serving.rpc import McpEndpoint, RpcDialect
    from openenv_kit.serving.sockets import SessionSlots, SocketEndpoint
    from openenv_kit.serving.websocket import EnvironmentDialect

    if environment.cache is not None:
        environment.cache.resize(chosen.episode_cache)
    idle_s = chosen.idle_timeout_s
    slots = SessionSlots(chosen.max_sessions, idle_s, shared.slots)
    rpc_slots = SessionSlots(chosen.max_mcp_sessions, idle_s, shared.rpc_slots)
    episodes = Episodes(chosen, environment, shared.store)

    dialect, most = EnvironmentDialect(slots, episodes), chosen.max_message_bytes
    sockets = {
        "/ws": SocketEndpoint(slots, dialect, most),
        "/mcp": SocketEndpoint(rpc_slots, RpcDialect(episodes), most),
    }
    mcp = McpEndpoint(episodes, chosen.max_mcp_sessions)
    # In front, because the framework ends its list with routes that take any first segment.
    made.router.routes[:0] = [
        *(WebSocketRoute(path, endpoint) for path, endpoint in sockets.items()),
        APIRoute("/mcp", mcp.post, methods=["POST"], tags=["MCP"], response_model=None),
        APIRoute("/mcp", mcp.delete, methods=["DELETE"], tags=["MCP"], response_model=None),
    ]
    routes.add_episode_routes(made, episodes)
    routes.add_ready_route(made, episodes)
    made.state.slots, made.state.rpc_slots, made.state.episodes = slots, rpc_slots, episodes

    theirs = made.router.lifespan_context

    @asynccontextmanager
    async def lifespan(running: Any) -> AsyncIterator[Any]:
        async with theirs(running) as state, slots.watched(), rpc_slots.watched():
            yield state

    made.router.lifespan_context = lifespan


def _allow_origins(made: FastAPI, chosen: Settings) -> None:
    """Let pages of those origins read the answers, refusals by the gate included."""
    from starlette.middleware.cors import CORSMiddleware

    made.add_middleware(
        CORSMiddleware,
        allow_origins=list(chosen.allowed_origins),
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


def __getattr__(name: str) -> Any:
    """The app, on first use: `openenv_kit.serving.app:app` for any ASGI server."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from openenv_kit.serving.mounts import mounted_beside

    root = get_environment()
    made = globals()["app"] = build_app(settings(), root, mounted_beside(root, settings()))
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve an environment, and others below their names, until stopped.

    Args:
        arguments: command line; None for the process's own.
    """
    try:
        chosen = load_settings()
    except ConfigurationError as problem:
        raise SystemExit(f"server: {problem}") from None
    parser = argparse.ArgumentParser(
        prog="server",
        description=main.__doc__.split("\n", 1)[0] if main.__doc__ else None,
        epilog="All other settings are environment variables; docs/serving.md lists them.",
    )
    usual = os.environ.get(VARIABLE) or DEFAULT
    parser.add_argument(
        "--environment", default=usual, help=f"what to serve at the root ({VARIABLE})"
    )
    parser.add_argument(
        "--also",
        default=chosen.also_serve,
        metavar="NAMES",
        help="what to serve below its name, as /NAME/ws: names separated by commas; all for every "
        "other environment of the same distribution, none for none (ALSO_SERVE)",
    )
    parser.add_argument("--host", default=chosen.host, help="address to listen on (HOST)")
    parser.add_argument("--port", type=int, default=chosen.port, help="port (PORT)")
    parser.add_argument(
        "--workers", type=int, default=chosen.workers, help="worker processes (WORKERS)"
    )
    given = parser.parse_args(arguments)
    from openenv_kit.serving.mounts import mounted_beside

    shared_secret()  # before there are workers, who inherit it
    try:
        root = get_environment(given.environment)
        os.environ |= {VARIABLE: given.environment, "ALSO_SERVE": given.also}
        changed = load_settings()
        mounted_beside(root, changed)
    except ConfigurationError as problem:
        parser.error(str(problem))
    if not 1 <= given.workers <= 64:
        parser.error(f"--workers is {given.workers}; allowed: an integer from 1 to 64")
    if not 0 <= given.port <= 65535:
        parser.error(f"--port is {given.port}; allowed: an integer from 0 to 65535")
    places = {"host": given.host, "port": given.port, "workers": given.workers}
    changed = changed.model_copy(update=places)
    os.environ["HOST"] = given.host  # the app, also in a worker, asks whether that is loopback
    try:
        # Before any worker starts: each would end with the same trace, and be started again.
        open_store(changed)[0].close()
    except StoreUnavailableError as problem:
        raise SystemExit(f"server: {problem}") from None
    serve("openenv_kit.serving.app:app", changed)


if __name__ == "__main__":
    main()
