"""Serves several environments in one process: one at the root, the others under `/NAME`.

Each environment has its own app, with the same settings. The apps share the episode store and
the limits on sessions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Receive, Scope, Send

from openenv_kit.environment import (
    Environment,
    find_environment_entry_points,
    get_environment,
    list_environments_in_same_distribution,
)
from openenv_kit.errors import InvalidValueError, build_unknown_name_message, require_name
from openenv_kit.serving import messages
from openenv_kit.serving.http.middleware import RequestMiddleware, get_route_path
from openenv_kit.serving.http.page_sessions import PageSessions
from openenv_kit.serving.settings import ALL_ENVIRONMENTS, NO_ENVIRONMENTS, Settings
from openenv_kit.splits import SESSIONS_SPLIT

if TYPE_CHECKING:
    from fastapi import FastAPI

URL_NAME_PATTERN = re.compile(r"[A-Za-z0-9_-]+")
"""Environment names that need no escaping in a URL."""

RESERVED_PATH_SEGMENTS = frozenset(
    (
        "as",
        "docs",
        "harness",
        "health",
        "list_environments",
        "mcp",
        "metadata",
        "metrics",
        "ready",
        "redoc",
        "reset",
        "schema",
        "sealed-record",
        "state",
        "step",
        "web",
        "ws",
    )
)
"""First path segments of the root environment's routes. Environments must not have these names."""

ENVIRONMENT_PATH_SEGMENTS = frozenset(("reset", "step", "state", "ws", "mcp", "web", "as"))
"""Path segments that may follow an environment's name. If the name is unknown, as in
`/unknown/reset`, the error lists the known names.
"""

TASK_API_PATHS = frozenset(("splits", "tasks", "num_tasks", "task", "task_range"))
"""Last path segments of the framework's task API, whose routes include the environment's name."""


def load_and_validate_other_environments(
    root_environment: Environment, settings: Settings
) -> Sequence[Environment]:
    """Load and check the environments in `also_serve`, except the one at the root.

    Args:
        root_environment: environment at the root, which `also_serve` may also contain.
        settings: settings of the server.

    Raises:
        UnknownNameError: a name is not that of an installed environment.
        InvalidValueError: a name, the root path or the MCP split cannot be used.
    """
    known_names = (ALL_ENVIRONMENTS, NO_ENVIRONMENTS, *find_environment_entry_points())
    others = [
        get_environment(require_name("name in ALSO_SERVE", name, known_names))
        for name in _list_environment_names_to_serve(root_environment, settings)
        if name != root_environment.name
    ]
    for environment in others:
        _require_name_usable_as_path(environment)
    _require_root_path_without_route_conflict(settings, [root_environment, *others])
    for environment in (root_environment, *others):
        _require_known_mcp_split(environment, settings)
    return others


def _list_environment_names_to_serve(
    root_environment: Environment, settings: Settings
) -> Sequence[str]:
    """Return the distinct names that `also_serve` selects."""
    names = [name.strip() for name in settings.also_serve.split(",") if name.strip()]
    if names == [ALL_ENVIRONMENTS]:
        return list_environments_in_same_distribution(root_environment.name)
    if names == [NO_ENVIRONMENTS]:
        return []
    return list(dict.fromkeys(names))


def _require_name_usable_as_path(environment: Environment) -> None:
    name = environment.name
    if name in RESERVED_PATH_SEGMENTS or not URL_NAME_PATTERN.fullmatch(name):
        allowed = "names of letters, digits, - and _ that are not the root's own paths"
        raise InvalidValueError("ALSO_SERVE", name, allowed)


def _require_root_path_without_route_conflict(
    settings: Settings, environments: Sequence[Environment]
) -> None:
    first_segment = settings.root_path.split("/")[1] if settings.root_path else ""
    if first_segment in (*RESERVED_PATH_SEGMENTS, *(each.name for each in environments)):
        allowed = "a path that does not begin like one of the server's own, such as /lab/env"
        raise InvalidValueError("OPENENV_KIT_ROOT_PATH", settings.root_path, allowed)


def _require_known_mcp_split(environment: Environment, settings: Settings) -> None:
    splits = (*environment.splits.list_playable_split_names(), SESSIONS_SPLIT)
    if settings.mcp_split not in splits:
        allowed = f"a split of every environment; {environment.name} has {', '.join(splits)}"
        raise InvalidValueError("OPENENV_KIT_MCP_SPLIT", settings.mcp_split, allowed)


class EnvironmentMounts:
    """Middleware that forwards requests for `/NAME/…` to the app of the environment `NAME`.

    This is the outermost middleware. Each app has its own `RequestMiddleware` and receives the name
    as a path prefix.

    Args:
        app: app of the environment at the root.
        root: name of the environment at the root.
        apps: apps of the other environments, by environment name.
        settings: settings of the server.
        sessions: login sessions of browsers.
    """

    def __init__(
        self,
        app: ASGIApp,
        root: str,
        apps: Mapping[str, ASGIApp],
        settings: Settings,
        sessions: PageSessions,
    ) -> None:
        self._app = app
        self._root = root
        self._apps = apps
        # Access control runs first, so that only authorized callers see the environment names.
        self._unknown_app = RequestMiddleware(self._reject_unknown_environment, settings, sessions)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Select the app by the first segment of the path, and forward the request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        path = get_route_path(scope)
        name, _, rest = path.removeprefix("/").partition("/")
        app = self._apps.get(name)
        if app is None:
            is_unknown_environment = (
                scope["type"] == "http"
                and name not in RESERVED_PATH_SEGMENTS
                and rest.partition("/")[0] in ENVIRONMENT_PATH_SEGMENTS
            )
            app = self._unknown_app if is_unknown_environment else self._app
            await app(scope, receive, send)
            return
        if rest not in TASK_API_PATHS:
            root_path = scope.get("root_path", "")
            scope = {**scope, "root_path": f"{root_path}/{name}", "path": f"{root_path}{path}"}
        await app(scope, receive, send)

    async def _reject_unknown_environment(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a 404 response to a request for an unknown environment."""
        name = get_route_path(scope).split("/")[1]
        problem = build_unknown_name_message("environment", name, self._apps)
        detail = f"{problem} {self._root} is served at the root."
        response = messages.build_json_response({"detail": detail}, HTTPStatus.NOT_FOUND)
        await response(scope, receive, send)


def mount_apps_and_add_environment_list(
    root_app: FastAPI,
    root_name: str,
    apps: Mapping[str, ASGIApp],
    settings: Settings,
    page_sessions: PageSessions,
) -> None:
    """Serve the apps of other environments under `/NAME`.

    Args:
        root_app: app of the environment at the root.
        root_name: name of the environment at the root.
        apps: apps of the other environments, by environment name.
        settings: settings of the server.
        page_sessions: login sessions of browsers.
    """
    from fastapi.routing import APIRoute

    names = [root_name, *apps]
    # The framework's own route lists only one environment, so this route must precede it.
    list_route = APIRoute("/list_environments", lambda: names, tags=["Task API"])
    root_app.router.routes.insert(0, list_route)
    root_app.add_middleware(
        EnvironmentMounts, root=root_name, apps=apps, settings=settings, sessions=page_sessions
    )
