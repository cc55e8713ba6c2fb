"""Several environments in one process: one at the root, each other one below its name.

Each has an app of its own, with the same settings; they share the episode store and the slots.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Receive, Scope, Send

from openenv_kit.environment import (
    Environment,
    find_environment_entry_points,
    get_environment,
    names_of_same_distribution,
)
from openenv_kit.errors import InvalidValueError, require_name, unknown_name_message
from openenv_kit.serving import messages
from openenv_kit.serving.http.middleware import RequestMiddleware, route_path
from openenv_kit.serving.http.page_sessions import PageSessions
from openenv_kit.serving.settings import ALL_ENVIRONMENTS, NO_ENVIRONMENTS, Settings
from openenv_kit.splits import SESSIONS_SPLIT

if TYPE_CHECKING:
    from fastapi import FastAPI

URL_NAME_PATTERN = re.compile(r"[A-Za-z0-9_-]+")
"""What a name must be to stand in an address as it is."""

RESERVED_PATH_SEGMENTS = frozenset(
    (
        *("ws", "mcp", "reset", "step", "state", "as", "health", "ready", "metrics", "web"),
        *("harness", "schema", "sealed-record", "metadata", "list_environments", "docs", "redoc"),
    )
)
"""First segments of the root's own paths."""

ENVIRONMENT_PATH_SEGMENTS = frozenset(("reset", "step", "state", "ws", "mcp", "web", "as"))
"""First segments below an environment's name that a client may ask for by a wrong name."""

TASK_API_PATHS = frozenset(("splits", "tasks", "num_tasks", "task", "task_range"))
"""Routes of the framework's task API, which has the environment's name in front anyway."""


def resolve_mounted_environments(
    root_environment: Environment, settings: Settings
) -> Sequence[Environment]:
    """The environments that the settings mount beside the one at the root.

    Args:
        root_environment: the one at the root; naming it again changes nothing.
        settings: the settings.

    Raises:
        UnknownNameError: no environment of that name is installed; names the nearest.
        InvalidValueError: a name that cannot stand in an address, or a split for MCP sessions
            that one of the environments does not have.
    """
    asked = [each.strip() for each in settings.also_serve.split(",") if each.strip()]
    names = {
        ALL_ENVIRONMENTS: names_of_same_distribution(root_environment.name),
        NO_ENVIRONMENTS: (),
    }.get(",".join(asked), dict.fromkeys(asked))
    known = (ALL_ENVIRONMENTS, NO_ENVIRONMENTS, *find_environment_entry_points())
    others = [
        get_environment(require_name("name in ALSO_SERVE", name, known))
        for name in names
        if name != root_environment.name
    ]
    for other in others:
        if other.name in RESERVED_PATH_SEGMENTS or not URL_NAME_PATTERN.fullmatch(other.name):
            allowed = "names of letters, digits, - and _ that are not the root's own paths"
            raise InvalidValueError("ALSO_SERVE", other.name, allowed)
    first = settings.root_path.split("/")[1] if settings.root_path else ""
    if first in (*RESERVED_PATH_SEGMENTS, root_environment.name, *(other.name for other in others)):
        allowed = "a path that does not begin like one of the server's own, such as /lab/env"
        raise InvalidValueError("OPENENV_KIT_ROOT_PATH", settings.root_path, allowed)
    for each in (root_environment, *others):
        splits = (*each.splits.names(), SESSIONS_SPLIT)
        if settings.mcp_split not in splits:
            allowed = f"a split of every environment; {each.name} has {', '.join(splits)}"
            raise InvalidValueError("OPENENV_KIT_MCP_SPLIT", settings.mcp_split, allowed)
    return others


class EnvironmentMounts:
    """Middleware that hands what is below a name to that environment's app.

    It stands in front of everything else, and the app below a name is a whole one: it is behind
    its own gate, and its address is a prefix like that of a proxy.

    Args:
        app: the one at the root.
        root: name of its environment.
        apps: the others, by name.
        settings: of all; names are told to those whom they let in.
        sessions: of browsers.
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
        self._unknown = RequestMiddleware(self._answer_unknown_environment, settings, sessions)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Find the app by the first segment of the path."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        path = route_path(scope)
        name, _, rest = path.removeprefix("/").partition("/")
        app = self._apps.get(name)
        if app is None:
            unknown = (
                name not in RESERVED_PATH_SEGMENTS
                and rest.partition("/")[0] in ENVIRONMENT_PATH_SEGMENTS
            )
            answer = self._unknown if unknown and scope["type"] == "http" else self._app
            await answer(scope, receive, send)
            return
        if rest not in TASK_API_PATHS:
            root = scope.get("root_path", "")
            scope = {**scope, "root_path": f"{root}/{name}", "path": f"{root}{path}"}
        await app(scope, receive, send)

    async def _answer_unknown_environment(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request below a name that nothing is mounted at."""
        name = route_path(scope).split("/")[1]
        problem = unknown_name_message("environment", name, self._apps)
        detail = f"{problem} {self._root} is served at the root."
        await messages.json_response({"detail": detail}, 404)(scope, receive, send)


def mount_environment_apps(
    root_app: FastAPI,
    root_name: str,
    apps: Mapping[str, ASGIApp],
    settings: Settings,
    page_sessions: PageSessions,
) -> None:
    """Serve other environments' apps below their names.

    Args:
        root_app: the app of the environment at the root.
        root_name: of that environment.
        apps: the others, by name.
        settings: of all.
        page_sessions: of browsers.
    """
    from fastapi.routing import APIRoute

    names = [root_name, *apps]
    # In front of the framework's own route, which knows of one environment.
    listed = APIRoute("/list_environments", lambda: names, tags=["Task API"])
    root_app.router.routes.insert(0, listed)
    root_app.add_middleware(
        EnvironmentMounts, root=root_name, apps=apps, settings=settings, sessions=page_sessions
    )
