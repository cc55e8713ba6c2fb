"""Web app of the debugger at /web, restricted to the routes that the page needs.

The framework's own web interface is not used. In its Playground, all visitors share one episode,
and the session limit does not apply to its routes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import gradio as gr
from fastapi import FastAPI, Request
from openenv.core.env_server.gradio_theme import OPENENV_GRADIO_THEME
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openenv_kit.environment import Environment
from openenv_kit.episode_clients.in_process import InProcessEpisode
from openenv_kit.episode_clients.protocol import EpisodeClient
from openenv_kit.episode_clients.websocket import WebSocketEpisode
from openenv_kit.page import DEBUGGER_PATH
from openenv_kit.page.environment_view import (
    EnvironmentView,
    get_environment_view_or_default,
    read_page_and_environment_css,
)
from openenv_kit.page.layout import EnvironmentLink, build_page
from openenv_kit.page.runs_app import EnvironmentPage, build_runs_app, parse_runs_folders
from openenv_kit.page.tabs.your_data import OwnDataOptions
from openenv_kit.page.visitor import create_limited_in_process_client
from openenv_kit.page.visitor_limits import VisitorLimits
from openenv_kit.page.your_data.routes import build_own_data_app
from openenv_kit.page.your_data.uploaded_table import UploadedTables
from openenv_kit.serving.http.middleware import get_route_path
from openenv_kit.serving.http.response_headers import SCRIPT_NONCE_KEY
from openenv_kit.serving.settings import Settings, may_import_tables
from openenv_kit.serving.websocket.openenv_protocol import CLIENT_KIND_HEADER, DEBUGGER_CLIENT

PAGE_ROUTES = frozenset(
    (
        *("/config", "/theme.css", "/gradio_api/info", "/gradio_api/startup-events"),
        *("/gradio_api/queue/join", "/gradio_api/queue/data"),
    )
)
ASSETS_PREFIX = "/assets/"
PAGE_ROUTE_PREFIXES = (ASSETS_PREFIX, "/static/", "/gradio_api/heartbeat/")
"""Path prefixes below /web that the page also requests.

Gradio's other routes are blocked: they include usage statistics, a proxy, an editor and run
histories.
"""
IMMUTABLE_CACHE_CONTROL = "public, max-age=31536000, immutable"
POLL_S = 0.02
"""Interval at which the queue is polled, in seconds. Gradio's default is 0.001."""
HEAD = """
<meta charset="utf-8" />
<title>{title}</title>
<meta name="description" content="{card}" />
<meta property="og:title" content="{title}" />
<meta property="og:description" content="{card}" />
"""
ANSWER_SPACE_STATUS_JS = """
<script>
  // In a Space, Gradio asks another host whether the Space runs. It runs: it has sent this page.
  const fetchOfBrowser = window.fetch;
  window.fetch = (target, ...rest) => (String(target).startsWith('https://huggingface.co/api/spaces/')
    ? Promise.resolve(new Response('{"id": "", "runtime": {"stage": "RUNNING"}}'))
    : fetchOfBrowser(target, ...rest));
</script>
"""
SOCIAL_META_TAG = re.compile(rb'<meta\s+(?:property="og:|name="twitter:)[^>]*/>\s*')
SCRIPT_TAG = re.compile(rb"<script(?=[ >])")
MANIFEST = re.compile(rb'<link rel="manifest"[^>]*/>\s*')


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

    def redirect_to_debugger(request: Request) -> RedirectResponse:
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"{request.scope.get('root_path', '')}{DEBUGGER_PATH}/{query}")

    for path in ("/", DEBUGGER_PATH):
        app.add_api_route(path, redirect_to_debugger, include_in_schema=False)
    # Routes are matched in order, so this one comes before the page, which is below /web too.
    pages = {
        link.environment_view.environment.name: EnvironmentPage(
            link.environment_view.link_title, link.href or "./"
        )
        for link in build_environment_links(
            get_environment_view_or_default(environment), environments
        )
    }
    app.mount(
        f"{DEBUGGER_PATH}/runs",
        build_runs_app(
            get_environment_view_or_default(environment), parse_runs_folders(settings.runs), pages
        ),
    )
    # Gradio must not send analytics. It reads this variable while a page is built.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    scenes = get_environment_view_or_default(environment)
    own = scenes.environment.name
    below = "" if not environments or own == environments[0].name else f"/{own}"
    tables = UploadedTables()
    may_import = may_import_tables(settings) and scenes.environment.own_data is not None
    app.mount(
        f"{DEBUGGER_PATH}/own-data",
        build_own_data_app(scenes.environment, tables, may_import=may_import),
    )
    server_address = OwnServerAddress()
    headers = {CLIENT_KIND_HEADER: DEBUGGER_CLIENT}
    if settings.token:
        headers["Authorization"] = f"Bearer {settings.token}"

    def create_episode_client() -> EpisodeClient:
        if not server_address.url:
            return create_limited_in_process_client(scenes.environment, debug=settings.debug)
        return WebSocketEpisode(scenes.environment, f"{server_address.url}{below}", headers)

    def create_client_for_products() -> EpisodeClient:
        return InProcessEpisode(scenes.environment, debug=settings.debug)

    with gr.Blocks(title=scenes.environment.title, analytics_enabled=False) as page:
        build_page(
            scenes,
            page,
            build_environment_links(scenes, environments),
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
                    tags=build_page_tags(scenes),
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


class OwnServerAddress:
    """URL of the server in this process, taken from the first request to the page.

    Attributes:
        url: URL of the root path; empty before the first request and for a Unix socket.
    """

    url = ""

    def set_from_first_request(self, scope: Scope) -> None:
        """Set the URL to that of the server that received a request, unless it is already set."""
        host, port = scope.get("server") or ("", None)
        if not self.url and port and scope.get("client") is not None:
            self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"


class PageRouteFilter:
    """Middleware that blocks routes that the page does not need, and replaces the page's head tags.

    Args:
        app: Gradio's app.
        tags: tags to insert into the page.
        server_address: object that stores the server's address when the first request arrives.
    """

    def __init__(self, app: ASGIApp, tags: PageTags, server_address: OwnServerAddress) -> None:
        self._app = app
        self._tags = tags
        self._server_address = server_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the page and the files it needs; respond with 404 to any other path."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._server_address.set_from_first_request(scope)
        path = get_route_path(scope)
        if path == "/":
            nonce = str(scope.get("state", {}).get(SCRIPT_NONCE_KEY, ""))
            await self._app(scope, receive, self._wrap_send_to_replace_tags(send, nonce))
        elif path in PAGE_ROUTES or path.startswith(PAGE_ROUTE_PREFIXES):
            await self._app(
                scope,
                receive,
                _wrap_send_with_immutable_caching(send) if path.startswith(ASSETS_PREFIX) else send,
            )
        else:
            await PlainTextResponse("Not found", 404)(scope, receive, send)

    def _wrap_send_to_replace_tags(self, send: Send, script_nonce: str) -> Send:
        """Return an ASGI `send` function that buffers the page and sends it with replaced tags."""
        start: Message = {}
        page = b""

        async def send_when_complete(message: Message) -> None:
            nonlocal start, page
            if message["type"] == "http.response.start":
                start = message
                return
            page += message.get("body", b"")
            if message["type"] != "http.response.body" or message.get("more_body"):
                return
            body = replace_page_tags(page, self._tags, script_nonce)
            if page:  # A response to a HEAD request has no body.
                MutableHeaders(scope=start)["content-length"] = str(len(body))
            await send(start)
            await send({"type": "http.response.body", "body": body})

        return send_when_complete


def _wrap_send_with_immutable_caching(send: Send) -> Send:
    """Return an ASGI `send` function that allows browsers to cache a file without a time limit.

    This is safe because the name of each asset contains a digest of its content.
    """

    async def send_with_caching(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            MutableHeaders(scope=message)["cache-control"] = IMMUTABLE_CACHE_CONTROL
        await send(message)

    return send_with_caching


class PageTags(NamedTuple):
    """HTML that is inserted into Gradio's page.

    Attributes:
        head: title and description. They replace Gradio's tags, because crawlers read the first
            tag of a name.
        style: style sheet. It is inserted after Gradio's, so that it takes precedence, and before
            the app, so that the page is never drawn unstyled.
    """

    head: bytes
    style: bytes


def build_page_tags(environment_view: EnvironmentView) -> PageTags:
    """Return the head tags and the style tag of an environment's page."""
    environment = environment_view.environment
    head = HEAD.format(title=escape(environment.title), card=escape(environment.description))
    style = f"<style>{read_page_and_environment_css(environment_view)}</style>"
    return PageTags((head + ANSWER_SPACE_STATUS_JS).encode(), style.encode())


def replace_page_tags(page: bytes, tags: PageTags, script_nonce: str) -> bytes:
    """Return Gradio's page with replaced head tags and an additional style sheet.

    Every script gets the nonce that the response's content security policy allows.
    """
    page = MANIFEST.sub(b"", SOCIAL_META_TAG.sub(b"", page))
    page = page.replace(b"<gradio-app", tags.style + b"<gradio-app", 1)
    page = page.replace(b"<head>", b"<head>" + tags.head, 1)
    return SCRIPT_TAG.sub(f'<script nonce="{script_nonce}"'.encode(), page)
