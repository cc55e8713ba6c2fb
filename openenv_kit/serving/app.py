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

from openenv_kit.environment import DEFAULT_ENVIRONMENT, ENVIRONMENT_VARIABLE, get_environment
from openenv_kit.errors import ConfigurationError
from openenv_kit.sealed_split import SALT_VARIABLE
from openenv_kit.serving.settings import Settings, current_settings, format_settings, load_settings
from openenv_kit.serving.store.errors import StoreUnavailableError
from openenv_kit.serving.store.interface import EpisodeStore
from openenv_kit.serving.store.open_store import open_store
from openenv_kit.serving.workers import run_server, stop_with_parent_process

if TYPE_CHECKING:
    from fastapi import FastAPI

    from openenv_kit.environment import Environment
    from openenv_kit.serving.http.page_sessions import PageSessions
    from openenv_kit.serving.websocket.endpoint import SessionSlots

FRAMEWORK_VARIABLES = ("ENABLE_WEB_INTERFACE", "FORWARDED_ALLOW_IPS")
"""Variables of the framework and of uvicorn that change how a server is reached."""
REPLACED_PATHS = ("/ws", "/mcp", "/reset", "/step", "/state", "/docs", "/redoc")
"""Routes of the framework that ours replace; all others stay as it made them."""


class SharedServerState(NamedTuple):
    """What the environments of a worker have in common.

    Attributes:
        store: where the episodes of all are.
        websocket_slots, mcp_slots: their sessions on `/ws` and on `/mcp`.
        page_sessions: of browsers that opened the page with the token.
    """

    store: EpisodeStore
    websocket_slots: SessionSlots
    mcp_slots: SessionSlots
    page_sessions: PageSessions


def build_app(
    settings: Settings,
    environment: Environment | None = None,
    other_environments: Sequence[Environment] = (),
) -> FastAPI:
    """The app: the framework's, with our sessions, episodes, limits and figures.

    Args:
        settings: the settings.
        environment: what is served at the root; None for the one that ENVIRONMENT names.
        other_environments: what else is served, each below its name.
    """
    from openenv_kit.serving import metrics
    from openenv_kit.serving.draining import SERVER_DRAIN
    from openenv_kit.serving.episodes.worker_threads import WORKER_THREAD_COUNT
    from openenv_kit.serving.http.environment_mounts import mount_environment_apps
    from openenv_kit.serving.http.page_sessions import PageSessions
    from openenv_kit.serving.http.path_prefix import PathPrefix
    from openenv_kit.serving.periodic_tasks import run_periodic_tasks
    from openenv_kit.serving.websocket.endpoint import SessionSlots

    limits = (settings.max_sessions, settings.max_mcp_sessions)
    store = open_store(settings)
    slots, rpc_slots = (SessionSlots(each, settings.idle_timeout_s) for each in limits)
    shared = SharedServerState(store, slots, rpc_slots, PageSessions(settings.token, store))
    served = environment or get_environment()
    every = (served, *other_environments)
    made = _build_environment_app(served, settings, shared, every)
    apps = {
        each.name: _build_environment_app(each, settings, shared, every)
        for each in other_environments
    }
    if apps:
        mount_environment_apps(made, served.name, apps, settings, shared.page_sessions)
    if settings.root_path:
        made.add_middleware(PathPrefix, prefix=settings.root_path)
    own = [(each, each.router.lifespan_context) for each in (made, *apps.values())]

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[Any]:
        stop_with_parent_process()
        metrics.WORKERS.set(1)
        metrics.SESSION_LIMIT.set(settings.max_sessions)
        metrics.THREADS.set(WORKER_THREAD_COUNT)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(SERVER_DRAIN.drain_on_sigterm(settings.drain_s))
            await stack.enter_async_context(run_periodic_tasks(shared.store, settings, every))
            for slots in (shared.websocket_slots, shared.mcp_slots):
                await stack.enter_async_context(slots.expire_idle_sessions())
            states = [await stack.enter_async_context(starting(app)) for app, starting in own]
            yield states[0]
        # All have ended: none can use, and so open again, the store that they share.
        for app, _ in own:
            await app.state.episodes.close()

    made.router.lifespan_context = lifespan
    return made


def _build_environment_app(
    environment: Environment,
    settings: Settings,
    shared: SharedServerState,
    all_environments: Sequence[Environment],
) -> FastAPI:
    """An environment's app, behind a gate of its own; `every` is served, the root's first."""
    from openenv.core.env_server import create_fastapi_app

    from openenv_kit.page import add_icon, add_route_list, is_debugger_enabled
    from openenv_kit.serving.http import routes
    from openenv_kit.serving.http.anonymous_episodes import add_named_caller_routes
    from openenv_kit.serving.http.middleware import RequestMiddleware
    from openenv_kit.serving.openenv_adapter import OpenEnvAdapter

    made: FastAPI = create_fastapi_app(
        partial(OpenEnvAdapter, environment, settings),
        environment.wire_models.action,
        environment.wire_models.observation,
        env_name=environment.name,
        max_concurrent_envs=settings.max_sessions,
        state_cls=environment.wire_models.state,
    )
    kept = [each for each in made.router.routes if getattr(each, "path", "") not in REPLACED_PATHS]
    made.router.routes[:] = kept
    made.router.redirect_slashes = False  # to an absolute address, which a proxy's clients lack
    add_icon(made)
    add_route_list(made)
    _add_session_routes(made, settings, environment, shared)
    if is_debugger_enabled():
        from openenv_kit.page.web_app import mount_debugger

        mount_debugger(made, settings, environment, all_environments)
    routes.add_metrics_route(made, settings)
    routes.add_error_handlers(made)
    if environment.episode_limits.may_omit_episode_id:
        add_named_caller_routes(made)
    # The last one added is the outermost.
    made.add_middleware(RequestMiddleware, settings=settings, sessions=shared.page_sessions)
    return made


def _add_session_routes(
    app: FastAPI, settings: Settings, environment: Environment, shared: SharedServerState
) -> None:
    """Routes that play, and what they need for as long as the app runs."""
    from fastapi.routing import APIRoute
    from starlette.routing import WebSocketRoute

    from openenv_kit.serving.episodes.service import EpisodeService
    from openenv_kit.serving.http import routes
    from openenv_kit.serving.mcp.routes import McpEndpoint, McpWebSocketEndpoint
    from openenv_kit.serving.websocket.openenv_protocol import OpenEnvWebSocketEndpoint

    episodes = EpisodeService(settings, environment, shared.store)
    sockets = {
        "/ws": OpenEnvWebSocketEndpoint(
            shared.websocket_slots, episodes, settings.max_message_bytes
        ),
        "/mcp": McpWebSocketEndpoint(shared.mcp_slots, episodes, settings.max_message_bytes),
    }
    mcp = McpEndpoint(episodes, settings.max_mcp_sessions)
    # In front, because the framework ends its list with routes that take any first segment.
    app.router.routes[:0] = [
        *(WebSocketRoute(path, endpoint) for path, endpoint in sockets.items()),
        APIRoute("/mcp", mcp.post, methods=["POST"], tags=["MCP"], response_model=None),
        APIRoute("/mcp", mcp.delete, methods=["DELETE"], tags=["MCP"], response_model=None),
    ]
    routes.add_episode_routes(app, episodes)
    routes.add_sealed_record_route(app, episodes)
    routes.add_ready_route(app, episodes)
    app.state.slots, app.state.episodes = shared.websocket_slots, episodes


def __getattr__(name: str) -> Any:
    """The app, on first use: `openenv_kit.serving.app:app` for any ASGI server."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from openenv_kit.serving.http.environment_mounts import resolve_mounted_environments

    root = get_environment()
    made = globals()["app"] = build_app(
        current_settings(), root, resolve_mounted_environments(root, current_settings())
    )
    return made


async def _check_store(settings: Settings) -> None:
    """Write to the store once."""
    store = open_store(settings)
    try:
        await store.check_writable()
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
    usual = os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_ENVIRONMENT
    parser.add_argument(
        "--environment", default=usual, help=f"what to serve at the root ({ENVIRONMENT_VARIABLE})"
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
    from openenv_kit.serving.http.environment_mounts import resolve_mounted_environments

    try:
        root = get_environment(given.environment)
        # The app, also in a worker, reads its settings from there.
        os.environ |= {
            ENVIRONMENT_VARIABLE: given.environment,
            "ALSO_SERVE": given.also,
            "HOST": given.host,
        }
        os.environ |= {"PORT": given.port, "WORKERS": given.workers}
        changed = load_settings()
        resolve_mounted_environments(root, changed)
    except ConfigurationError as problem:
        parser.error(str(problem))
    if given.show_settings:
        others = [
            f"{name}={os.environ.get(name, '')}"
            for name in (ENVIRONMENT_VARIABLE, *FRAMEWORK_VARIABLES)
        ]
        salt = "(set, not shown)" if os.environ.get(SALT_VARIABLE) else ""
        print(*others, f"{SALT_VARIABLE}={salt}", *format_settings(changed), sep="\n")
        return
    try:
        # Before any worker starts: each would end with the same trace, and be started again.
        asyncio.run(_check_store(changed))
    except StoreUnavailableError as problem:
        raise SystemExit(f"server: {problem}") from None
    try:
        run_server("openenv_kit.serving.app:app", changed)
    except ConfigurationError as problem:
        raise SystemExit(f"server: {problem}") from None


if __name__ == "__main__":
    main()
