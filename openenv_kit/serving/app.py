"""The ASGI app, and the `server` command that serves it.

Heavy modules are imported when the app is built, because the parent process that supervises several
workers does not need them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from openenv_kit.environment import DEFAULT_ENVIRONMENT, get_environment
from openenv_kit.errors import ConfigurationError
from openenv_kit.own_data.served_products import load_product_files
from openenv_kit.serving.settings import (
    Settings,
    current_settings,
    format_settings_as_lines_without_secrets,
    load_settings,
)
from openenv_kit.serving.store.errors import StoreUnavailableError
from openenv_kit.serving.store.interface import EpisodeStore
from openenv_kit.serving.store.open_store import open_store
from openenv_kit.serving.workers import run_server, stop_this_process_when_parent_ends
from openenv_kit.variables import (
    ENVIRONMENT_VARIABLE,
    SALT_VARIABLE,
    TABLE_SEPARATOR,
    TABLES_VARIABLE,
)

if TYPE_CHECKING:
    from fastapi import FastAPI

    from openenv_kit.environment import Environment
    from openenv_kit.serving.http.page_sessions import PageSessions
    from openenv_kit.serving.websocket.sessions import SessionSlots

FRAMEWORK_VARIABLES = ("ENABLE_WEB_INTERFACE", "FORWARDED_ALLOW_IPS")
"""Environment variables of the framework and uvicorn that affect how clients reach the server."""
REPLACED_PATHS = ("/ws", "/mcp", "/reset", "/step", "/state", "/docs", "/redoc")
"""Paths of the framework's routes that this package replaces. Its other routes are kept."""


class SharedServerState(NamedTuple):
    """Objects that the apps of all environments of a worker share.

    Attributes:
        store: store of the episodes of all environments.
        websocket_slots: slots for sessions on the WebSocket route `/ws`.
        mcp_slots: slots for sessions on the WebSocket route `/mcp`.
        page_sessions: login sessions of browsers that opened the debugger with the token.
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
    """Build the server's app: the framework's app with this package's sessions and limits.

    Args:
        settings: settings of the server.
        environment: environment served at the root path; None to read its name from the variable
            ENVIRONMENT.
        other_environments: further environments, each served under `/NAME`.
    """
    from openenv_kit.serving import metrics
    from openenv_kit.serving.draining import SERVER_DRAIN
    from openenv_kit.serving.episodes.worker_threads import WORKER_THREAD_COUNT
    from openenv_kit.serving.http.environment_mounts import mount_apps_and_add_environment_list
    from openenv_kit.serving.http.page_sessions import PageSessions
    from openenv_kit.serving.http.path_prefix import PathPrefix
    from openenv_kit.serving.periodic_tasks import run_periodic_tasks
    from openenv_kit.serving.websocket.sessions import SessionSlots

    store = open_store(settings)
    shared = SharedServerState(
        store,
        SessionSlots(settings.max_sessions, settings.idle_timeout_s),
        SessionSlots(settings.max_mcp_sessions, settings.idle_timeout_s),
        PageSessions(settings.token, store),
    )
    root_environment = environment or get_environment()
    environments = (root_environment, *other_environments)
    root_app = _build_environment_app(root_environment, settings, shared, environments)
    other_apps = {
        other.name: _build_environment_app(other, settings, shared, environments)
        for other in other_environments
    }
    if other_apps:
        mount_apps_and_add_environment_list(
            root_app, root_environment.name, other_apps, settings, shared.page_sessions
        )
    if settings.root_path:
        root_app.add_middleware(PathPrefix, prefix=settings.root_path)
    apps = (root_app, *other_apps.values())
    # The root app's lifespan is replaced below, so the original lifespans are collected first.
    app_lifespans = [app.router.lifespan_context for app in apps]

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[Any]:
        stop_this_process_when_parent_ends()
        metrics.WORKERS.set(1)
        metrics.SESSION_LIMIT.set(settings.max_sessions)
        metrics.THREADS.set(WORKER_THREAD_COUNT)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(SERVER_DRAIN.drain_on_sigterm(settings.drain_s))
            await stack.enter_async_context(
                run_periodic_tasks(shared.store, settings, environments)
            )
            await stack.enter_async_context(shared.websocket_slots.end_idle_sessions_periodically())
            await stack.enter_async_context(shared.mcp_slots.end_idle_sessions_periodically())
            states = [
                await stack.enter_async_context(app_lifespan(app))
                for app, app_lifespan in zip(apps, app_lifespans, strict=True)
            ]
            yield states[0]
        # The store is closed after all apps have stopped, because a running app would open it
        # again.
        for app in apps:
            await app.state.episodes.close_store_and_clear_cache()

    root_app.router.lifespan_context = lifespan
    return root_app


def _build_environment_app(
    environment: Environment,
    settings: Settings,
    shared: SharedServerState,
    all_environments: Sequence[Environment],
) -> FastAPI:
    """Build the app of one environment, with its own `RequestMiddleware`.

    Args:
        environment: environment that the app serves.
        settings: settings of the server.
        shared: objects that the apps of all environments share.
        all_environments: all environments of the server, starting with the one at the root.
    """
    from openenv.core.env_server import create_fastapi_app

    from openenv_kit.page import add_favicon_route, add_route_list_page, is_debugger_enabled
    from openenv_kit.serving.http import routes
    from openenv_kit.serving.http.anonymous_episodes import add_routes_below_caller_names
    from openenv_kit.serving.http.error_responses import add_error_handlers
    from openenv_kit.serving.http.middleware import RequestMiddleware
    from openenv_kit.serving.openenv_adapter import OpenEnvAdapter

    app: FastAPI = create_fastapi_app(
        partial(OpenEnvAdapter, environment, settings),
        environment.wire_models.action,
        environment.wire_models.observation,
        env_name=environment.name,
        max_concurrent_envs=settings.max_sessions,
        state_cls=environment.wire_models.state,
    )
    app.router.routes[:] = [
        route for route in app.router.routes if getattr(route, "path", "") not in REPLACED_PATHS
    ]
    # A redirect contains an absolute URL, which is wrong for clients behind a proxy.
    app.router.redirect_slashes = False
    add_favicon_route(app)
    add_route_list_page(app)
    _add_episode_and_ready_routes(app, settings, environment, shared)
    if is_debugger_enabled():
        from openenv_kit.page.web_app import mount_debugger

        mount_debugger(app, settings, environment, all_environments)
    routes.add_metrics_route_unless_public(app, settings)
    add_error_handlers(app)
    if environment.episode_limits.may_omit_episode_id:
        add_routes_below_caller_names(app)
    # The middleware that is added last is the outermost one.
    app.add_middleware(RequestMiddleware, settings=settings, sessions=shared.page_sessions)
    return app


def _add_episode_and_ready_routes(
    app: FastAPI, settings: Settings, environment: Environment, shared: SharedServerState
) -> None:
    """Add the HTTP, WebSocket and MCP routes that play episodes, and the route /ready."""
    from fastapi.routing import APIRoute
    from starlette.routing import WebSocketRoute

    from openenv_kit.serving.episodes.table_episodes import create_episode_service
    from openenv_kit.serving.http import routes
    from openenv_kit.serving.http.readiness import add_ready_route
    from openenv_kit.serving.mcp.routes import McpEndpoint
    from openenv_kit.serving.mcp.websocket import McpWebSocketEndpoint
    from openenv_kit.serving.websocket.openenv_protocol import OpenEnvWebSocketEndpoint

    episodes = create_episode_service(settings, environment, shared.store)
    max_bytes = settings.max_message_bytes
    openenv_websocket = OpenEnvWebSocketEndpoint(shared.websocket_slots, episodes, max_bytes)
    mcp_websocket = McpWebSocketEndpoint(shared.mcp_slots, episodes, max_bytes)
    mcp = McpEndpoint(episodes, settings.max_mcp_sessions)
    # The framework's last routes match any first path segment, so these routes must precede them.
    app.router.routes[:0] = [
        WebSocketRoute("/ws", openenv_websocket),
        WebSocketRoute("/mcp", mcp_websocket),
        APIRoute("/mcp", mcp.post, methods=["POST"], tags=["MCP"], response_model=None),
        APIRoute("/mcp", mcp.delete, methods=["DELETE"], tags=["MCP"], response_model=None),
    ]
    routes.add_episode_routes(app, episodes)
    routes.add_sealed_record_route(app, episodes)
    add_ready_route(app, episodes, settings.max_sessions * settings.workers)
    app.state.slots = shared.websocket_slots
    app.state.episodes = episodes


def __getattr__(name: str) -> FastAPI:
    """Build `app` on first use, so that `openenv_kit.serving.app:app` works in any ASGI server."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from openenv_kit.serving.http.environment_mounts import load_and_validate_other_environments

    settings, root_environment = current_settings(), get_environment()
    others = load_and_validate_other_environments(root_environment, settings)
    load_product_files((root_environment, *others), ())
    app = build_app(settings, root_environment, others)
    globals()["app"] = app
    return app


async def _require_writable_store(settings: Settings) -> None:
    """Check that the episode store is writable.

    Raises:
        StoreUnavailableError: the store is not writable.
    """
    store = open_store(settings)
    try:
        await store.require_store_is_writable()
    finally:
        await store.close()


def _build_argument_parser(settings: Settings) -> argparse.ArgumentParser:
    """Return the argument parser of the `server` command, with defaults from the environment."""
    parser = argparse.ArgumentParser(
        prog="server",
        description="Serve an environment, and others below their names, until stopped.",
        epilog="All other settings are environment variables; docs/serving.md lists them.",
    )
    parser.add_argument(
        "--environment",
        default=os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT_ENVIRONMENT,
        help=f"environment to serve at the root ({ENVIRONMENT_VARIABLE})",
    )
    parser.add_argument(
        "--also",
        default=settings.also_serve,
        metavar="NAMES",
        help="environments to serve below their names, as /NAME/ws: names separated by commas, "
        "`all` for the others of the same distribution, or `none` (ALSO_SERVE)",
    )
    parser.add_argument(
        "--product",
        action="append",
        default=[],
        metavar="FILE",
        type=Path,
        help="product of your own table, which resets name with `product`; may be repeated "
        "(PRODUCTS)",
    )
    parser.add_argument(
        "--table",
        action="append",
        default=[],
        metavar="NAME=FILE:PRODUCT",
        help="table of your own, which holders of OPENENV_KIT_TOKEN play with reset(table=NAME); "
        "its numbers stay in memory; may be repeated (OPENENV_KIT_TABLES)",
    )
    parser.add_argument("--host", default=settings.host, help="address to listen on (HOST)")
    parser.add_argument("--port", default=str(settings.port), help="port to listen on (PORT)")
    parser.add_argument(
        "--workers", default=str(settings.workers), help="number of worker processes (WORKERS)"
    )
    parser.add_argument(
        "--show-settings",
        action="store_true",
        help="print the value of every setting, without secrets, and exit",
    )
    return parser


def _print_settings_and_variables_without_secrets(settings: Settings) -> None:
    """Print every setting and variable that affects the server, with secrets hidden."""
    for name in (ENVIRONMENT_VARIABLE, *FRAMEWORK_VARIABLES):
        print(f"{name}={os.environ.get(name, '')}")
    salt = "(set, not shown)" if os.environ.get(SALT_VARIABLE) else ""
    print(f"{SALT_VARIABLE}={salt}", *format_settings_as_lines_without_secrets(settings), sep="\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the `server` command: serve one or more environments until the process is stopped.

    Args:
        arguments: command-line arguments; None for `sys.argv`.
    """
    try:
        parser = _build_argument_parser(load_settings())
    except ConfigurationError as error:
        raise SystemExit(f"server: {error}") from None
    options = parser.parse_args(arguments)
    from openenv_kit.serving.http.environment_mounts import load_and_validate_other_environments

    try:
        root_environment = get_environment(options.environment)
        # The app reads its settings from the environment variables, also in worker processes.
        os.environ[ENVIRONMENT_VARIABLE] = options.environment
        os.environ["ALSO_SERVE"] = options.also
        os.environ["HOST"] = options.host
        os.environ["PORT"] = options.port
        os.environ["WORKERS"] = options.workers
        if options.table:
            os.environ[TABLES_VARIABLE] = TABLE_SEPARATOR.join(options.table)
        settings = load_settings()
        others = load_and_validate_other_environments(root_environment, settings)
        load_product_files((root_environment, *others), options.product)
        settings = load_settings()  # PRODUCTS has the files now
        if settings.tables and not options.show_settings:
            from openenv_kit.own_data.served_tables import require_tables_belong_to_environments

            require_tables_belong_to_environments(settings.tables, (root_environment, *others))
    except ConfigurationError as error:
        parser.error(str(error))
    if options.show_settings:
        _print_settings_and_variables_without_secrets(settings)
        return
    try:
        # The check runs before the workers start, because each worker would fail and be restarted.
        asyncio.run(_require_writable_store(settings))
        run_server("openenv_kit.serving.app:app", settings)
    except (ConfigurationError, StoreUnavailableError) as error:
        raise SystemExit(f"server: {error}") from None


if __name__ == "__main__":
    main()
