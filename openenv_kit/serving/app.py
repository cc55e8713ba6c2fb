"""The ASGI app, and the `server` command that serves it.

Whatever is heavy is imported as the app is built: the command's parent process only starts workers.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from openenv_kit.environment import DEFAULT, VARIABLE, get_environment
from openenv_kit.errors import ConfigurationError
from openenv_kit.sealed_split import SALT_VARIABLE
from openenv_kit.serving.settings import Settings, load_settings, settings, shown_settings
from openenv_kit.serving.store.interface import EpisodeStore, StoreUnavailableError, open_store
from openenv_kit.serving.workers import end_with_parent, serve

if TYPE_CHECKING:
    from fastapi import FastAPI

    from openenv_kit.environment import Environment
    from openenv_kit.serving.http.page_sessions import PageSessions
    from openenv_kit.serving.websocket.endpoint import SessionSlots

OTHER_VARIABLES = ("ENABLE_WEB_INTERFACE", "FORWARDED_ALLOW_IPS")
"""Variables of the framework and of uvicorn that change how a server is reached."""
OUR_PATHS = ("/ws", "/mcp", "/reset", "/step", "/state", "/docs", "/redoc")
"""Routes of the framework that ours replace; all others stay as it made them."""


class Shared(NamedTuple):
    """What the environments of a worker have in common.

    Attributes:
        store: where the episodes of all are.
        slots, rpc_slots: their sessions on `/ws` and on `/mcp`.
        page_sessions: of browsers that opened the page with the token.
    """

    store: EpisodeStore
    slots: SessionSlots
    rpc_slots: SessionSlots
    page_sessions: PageSessions


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
    from openenv_kit.serving import metrics
    from openenv_kit.serving.draining import DRAIN
    from openenv_kit.serving.episodes.live_episode import WORKER_THREADS
    from openenv_kit.serving.http.environment_mounts import mount
    from openenv_kit.serving.http.page_sessions import PageSessions
    from openenv_kit.serving.http.path_prefix import PathPrefix
    from openenv_kit.serving.periodic_tasks import kept_up
    from openenv_kit.serving.websocket.endpoint import SessionSlots

    limits = (chosen.max_sessions, chosen.max_mcp_sessions)
    store = open_store(chosen)
    slots, rpc_slots = (SessionSlots(each, chosen.idle_timeout_s) for each in limits)
    shared = Shared(store, slots, rpc_slots, PageSessions(chosen.token, store))
    served = environment or get_environment()
    every = (served, *others)
    made = _app_of(served, chosen, shared, every)
    apps = {each.name: _app_of(each, chosen, shared, every) for each in others}
    if apps:
        mount(made, served.name, apps, chosen, shared.page_sessions)
    if chosen.root_path:
        made.add_middleware(PathPrefix, prefix=chosen.root_path)
    own = [(each, each.router.lifespan_context) for each in (made, *apps.values())]

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[Any]:
        end_with_parent()
        metrics.WORKERS.set(1)
        metrics.SESSION_LIMIT.set(chosen.max_sessions)
        metrics.THREADS.set(WORKER_THREADS)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(DRAIN.watch_sigterm(chosen.drain_s))
            await stack.enter_async_context(kept_up(shared.store, chosen, every))
            for slots in (shared.slots, shared.rpc_slots):
                await stack.enter_async_context(slots.watched())
            states = [await stack.enter_async_context(starting(app)) for app, starting in own]
            yield states[0]
        # All have ended: none can use, and so open again, the store that they share.
        for app, _ in own:
            await app.state.episodes.close()

    made.router.lifespan_context = lifespan
    return made


def _app_of(
    served: Environment, chosen: Settings, shared: Shared, every: Sequence[Environment]
) -> FastAPI:
    """An environment's app, behind a gate of its own; `every` is served, the root's first."""
    from openenv.core.env_server import create_fastapi_app

    from openenv_kit.page import add_icon, add_route_list, is_on
    from openenv_kit.serving.http import routes
    from openenv_kit.serving.http.anonymous_episodes import add_named_callers
    from openenv_kit.serving.http.middleware import Gate
    from openenv_kit.serving.openenv_adapter import FrameworkEnvironment

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
    made.router.redirect_slashes = False  # to an absolute address, which a proxy's clients lack
    add_icon(made)
    add_route_list(made)
    _add_sessions(made, chosen, served, shared)
    if is_on():
        from openenv_kit.page.web_app import add_page

        add_page(made, chosen, served, every)
    routes.add_metrics_route(made, chosen)
    routes.add_error_answers(made)
    if served.rules.anonymous:
        add_named_callers(made)
    # The last one added is the outermost.
    made.add_middleware(Gate, settings=chosen, sessions=shared.page_sessions)
    return made


def _add_sessions(
    made: FastAPI, chosen: Settings, environment: Environment, shared: Shared
) -> None:
    """Routes that play, and what they need for as long as the app runs."""
    from fastapi.routing import APIRoute
    from starlette.routing import WebSocketRoute

    from openenv_kit.serving.episodes.service import Episodes
    from openenv_kit.serving.http import routes
    from openenv_kit.serving.mcp.routes import McpEndpoint, McpSocket
    from openenv_kit.serving.websocket.openenv_protocol import EnvironmentSocket

    episodes = Episodes(chosen, environment, shared.store)
    sockets = {
        "/ws": EnvironmentSocket(shared.slots, episodes, chosen.max_message_bytes),
        "/mcp": McpSocket(shared.rpc_slots, episodes, chosen.max_message_bytes),
    }
    mcp = McpEndpoint(episodes, chosen.max_mcp_sessions)
    # In front, because the framework ends its list with routes that take any first segment.
    made.router.routes[:0] = [
        *(WebSocketRoute(path, endpoint) for path, endpoint in sockets.items()),
        APIRoute("/mcp", mcp.post, methods=["POST"], tags=["MCP"], response_model=None),
        APIRoute("/mcp", mcp.delete, methods=["DELETE"], tags=["MCP"], response_model=None),
    ]
    routes.add_episode_routes(made, episodes)
    routes.add_sealed_record_route(made, episodes)
    routes.add_ready_route(made, episodes)
    made.state.slots, made.state.episodes = shared.slots, episodes


def __getattr__(name: str) -> Any:
    """The app, on first use: `openenv_kit.serving.app:app` for any ASGI server."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from openenv_kit.serving.http.environment_mounts import mounted_environments

    root = get_environment()
    made = globals()["app"] = build_app(settings(), root, mounted_environments(root, settings()))
    return made


async def _checked(chosen: Settings) -> None:
    """Write to the store once."""
    store = open_store(chosen)
    try:
        await store.check()
    finally:
        await store.close()


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
    parser.add_argument("--port", default=str(chosen.port), help="port (PORT)")
    parser.add_argument("--workers", default=str(chosen.workers), help="worker processes (WORKERS)")
    parser.add_argument(
        "--show-settings",
        action="store_true",
        help="print every setting as it would be in force, without secrets, and end",
    )
    given = parser.parse_args(arguments)
    from openenv_kit.serving.http.environment_mounts import mounted_environments

    try:
        root = get_environment(given.environment)
        # The app, also in a worker, reads its settings from there.
        os.environ |= {VARIABLE: given.environment, "ALSO_SERVE": given.also, "HOST": given.host}
        os.environ |= {"PORT": given.port, "WORKERS": given.workers}
        changed = load_settings()
        mounted_environments(root, changed)
    except ConfigurationError as problem:
        parser.error(str(problem))
    if given.show_settings:
        others = [f"{name}={os.environ.get(name, '')}" for name in (VARIABLE, *OTHER_VARIABLES)]
        salt = "(set, not shown)" if os.environ.get(SALT_VARIABLE) else ""
        print(*others, f"{SALT_VARIABLE}={salt}", *shown_settings(changed), sep="\n")
        return
    try:
        # Before any worker starts: each would end with the same trace, and be started again.
        asyncio.run(_checked(changed))
    except StoreUnavailableError as problem:
        raise SystemExit(f"server: {problem}") from None
    try:
        serve("openenv_kit.serving.app:app", changed)
    except ConfigurationError as problem:
        raise SystemExit(f"server: {problem}") from None


if __name__ == "__main__":
    main()
