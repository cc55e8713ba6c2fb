"""Web app of the debugger at /web, restricted to the routes that the page needs.

The framework's own web interface is not used. In its Playground, all visitors share one episode,
and the session limit does not apply to its routes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urljoin

import gradio as gr
from fastapi import FastAPI, Request
from openenv.core.env_server.gradio_theme import OPENENV_GRADIO_THEME
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import RedirectResponse

from openenv_kit.environment import Environment
from openenv_kit.episode_clients.in_process import InProcessEpisode
from openenv_kit.episode_clients.protocol import EpisodeClient
from openenv_kit.episode_clients.websocket import WebSocketEpisode
from openenv_kit.page import DEBUGGER_PATH
from openenv_kit.page.environment_view import (
    EnvironmentView,
    get_environment_view_or_default,
)
from openenv_kit.page.header import EnvironmentLink
from openenv_kit.page.layout import build_page
from openenv_kit.page.route_filter import OwnServerAddress, PageRouteFilter, build_page_tags
from openenv_kit.page.runs_app import EnvironmentPage, build_runs_app, parse_runs_folders
from openenv_kit.page.tabs.your_data import OwnDataOptions
from openenv_kit.page.visitor import create_limited_in_process_client
from openenv_kit.page.visitor_limits import VisitorLimits
from openenv_kit.page.your_data.routes import build_own_data_app
from openenv_kit.page.your_data.uploaded_table import UploadedTables
from openenv_kit.serving.settings import Settings, may_import_tables
from openenv_kit.serving.websocket.openenv_protocol import CLIENT_KIND_HEADER, DEBUGGER_CLIENT

POLL_S = 0.02
"""Interval at which the queue is polled, in seconds. Gradio's default is 0.001."""


def mount_debugger(
    app: FastAPI,
    settings: Settings,
    environment: Environment | None = None,
    environments: Sequence[Environment] = (),
) -> None:
    """Mount the debugger, and redirect / and /web to it.

    Args:
        app: app of the server.
        settings: settings of the server.
        environment: environment of the page; None to use the variable ENVIRONMENT.
        environments: all environments of the server, to which the page links. The first one is
            served at the root path.
    """
    view = get_environment_view_or_default(environment)
    links = build_environment_links(view, environments)
    for path in ("/", DEBUGGER_PATH):
        app.add_api_route(path, _build_redirect_to_debugger(links), include_in_schema=False)
    # Routes are matched in order, so these come before the page, which is below /web too.
    pages = {
        link.environment_view.environment.name: EnvironmentPage(
            link.environment_view.link_title, link.href or "./"
        )
        for link in links
    }
    app.mount(
        f"{DEBUGGER_PATH}/runs", build_runs_app(view, parse_runs_folders(settings.runs), pages)
    )
    # Gradio must not send analytics. It reads this variable while a page is built.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    own = view.environment.name
    below = "" if not environments or own == environments[0].name else f"/{own}"
    tables = UploadedTables()
    may_import = may_import_tables(settings) and view.environment.own_data is not None
    app.mount(
        f"{DEBUGGER_PATH}/own-data",
        build_own_data_app(view.environment, tables, may_import=may_import),
    )
    server_address = OwnServerAddress()
    headers = {CLIENT_KIND_HEADER: DEBUGGER_CLIENT}
    if settings.token:
        headers["Authorization"] = f"Bearer {settings.token}"

    def create_episode_client() -> EpisodeClient:
        if not server_address.url:
            return create_limited_in_process_client(view.environment, debug=settings.debug)
        return WebSocketEpisode(view.environment, f"{server_address.url}{below}", headers)

    def create_client_for_products() -> EpisodeClient:
        return InProcessEpisode(view.environment, debug=settings.debug)

    with gr.Blocks(title=view.environment.title, analytics_enabled=False) as page:
        build_page(
            view,
            page,
            links,
            create_episode_client,
            is_debug=settings.debug,
            board_path=settings.board,
            has_token=bool(settings.token),
            own_data=OwnDataOptions(
                tables,
                may_import,
                # Products that were imported on this page can be played even if the server rejects
                # products in resets.
                None if settings.inline_products else create_client_for_products,
            ),
        )
    # Twice the limit, because handling an event of a session that is being removed creates a state.
    page.state_session_capacity = 2 * settings.max_visitors
    gr.mount_gradio_app(
        app,
        page,
        path=DEBUGGER_PATH,
        theme=build_theme_without_web_fonts(),
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        app_kwargs={
            "middleware": [
                Middleware(GZipMiddleware),
                Middleware(
                    PageRouteFilter,
                    tags=build_page_tags(view),
                    server_address=server_address,
                ),
                Middleware(
                    VisitorLimits,
                    blocks=page,
                    max_visitors=settings.max_visitors,
                    grace_s=settings.visitor_grace_s,
                ),
            ]
        },
    )
    # Slower polling reduces the load of an idle server from 5 % of a core to 1 %. The private
    # attribute does not exist in all versions of Gradio.
    queue: Any = page._queue
    if hasattr(queue, "sleep_when_free"):
        queue.sleep_when_free = queue.progress_update_sleep_when_free = POLL_S


def _build_redirect_to_debugger(
    links: Sequence[EnvironmentLink],
) -> Callable[[Request], RedirectResponse]:
    """Return a route that redirects to the page, and keeps the query.

    If the query names another environment of the server, the route redirects to its page: a Space's
    address on the hub has a query but no path.
    """
    hrefs = {link.environment_view.environment.name: link.href for link in links}

    def redirect_to_debugger(request: Request) -> RedirectResponse:
        page = f"{request.scope.get('root_path', '')}{DEBUGGER_PATH}/"
        target = urljoin(page, hrefs.get(request.query_params.get("environment", ""), ""))
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"{target}{query}")

    return redirect_to_debugger


def build_theme_without_web_fonts() -> gr.themes.ThemeClass:
    """Return the framework's theme with system fonts, which need no requests to other hosts."""
    theirs = OPENENV_GRADIO_THEME.to_dict()["theme"]
    fonts = {"font": "system-ui, sans-serif", "font_mono": "ui-monospace, monospace"}
    kept = {name: value for name, value in theirs.items() if not name.startswith("_")}
    return gr.themes.ThemeClass.from_dict({"theme": kept | fonts})


def build_environment_links(
    environment_view: EnvironmentView, environments: Sequence[Environment]
) -> list[EnvironmentLink]:
    """Return relative links from an environment's page to all environments of the server."""
    own = environment_view.environment.name
    if not any(each.name == own for each in environments):
        return [EnvironmentLink(environment_view)]
    root = environments[0].name
    up = "../" if own == root else "../../"
    doors = [
        EnvironmentLink(environment_view)
        if each.name == own
        else EnvironmentLink(
            get_environment_view_or_default(each),
            f"{up}{'' if each.name == root else each.name + '/'}web/",
        )
        for each in environments
    ]
    return sorted(
        doors,
        key=lambda door: (
            door.environment_view.environment.name != root,
            door.environment_view.link_title,
        ),
    )
