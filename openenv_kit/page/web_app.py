"""The web app of the debugger at /web, with the routes that the page needs and no others.

The framework's own web interface is not used: its Playground plays one episode that all visitors
share, through routes that no session limit counts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr
from fastapi import FastAPI, Request
from openenv.core.env_server.gradio_theme import OPENENV_GRADIO_THEME
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openenv_kit.environment import Environment
from openenv_kit.episode_clients.protocol import EpisodeClient
from openenv_kit.episode_clients.websocket import WebSocketEpisode
from openenv_kit.page import DEBUGGER_PATH
from openenv_kit.page.environment_view import EnvironmentView, environment_view_of, page_stylesheet
from openenv_kit.page.layout import EnvironmentLink, build_page
from openenv_kit.page.visitor import open_in_process_episode
from openenv_kit.page.visitor_limits import VisitorLimits
from openenv_kit.serving.http.middleware import get_route_path
from openenv_kit.serving.settings import Settings
from openenv_kit.serving.websocket.openenv_protocol import CLIENT_KIND_HEADER, DEBUGGER_CLIENT

PAGE_ROUTES = frozenset(
    (
        *("/config", "/theme.css", "/gradio_api/info", "/gradio_api/startup-events"),
        *("/gradio_api/queue/join", "/gradio_api/queue/data"),
    )
)
ASSETS_PREFIX = "/assets/"
PAGE_ROUTE_PREFIXES = (ASSETS_PREFIX, "/static/", "/gradio_api/heartbeat/")
"""Prefixes of further paths that the page requests below /web.

Gradio's other routes expose figures about all visitors, a proxy, an editor and run histories.
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
SOCIAL_META_TAG = re.compile(rb'<meta\s+(?:property="og:|name="twitter:)[^>]*/>\s*')
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
        environment: environment of the page; None for the one that ENVIRONMENT names.
        environments: all environments of the server, which the page links to; the one at the root
            first.
    """

    def lead(request: Request) -> RedirectResponse:
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"{request.scope.get('root_path', '')}{DEBUGGER_PATH}/{query}")

    for path in ("/", DEBUGGER_PATH):
        app.add_api_route(path, lead, include_in_schema=False)
    # Gradio must not send analytics. It reads this variable while a page is built.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    scenes = environment_view_of(environment)
    own = scenes.environment.name
    below = "" if not environments or own == environments[0].name else f"/{own}"
    where = OwnServerAddress()
    headers = {CLIENT_KIND_HEADER: DEBUGGER_CLIENT}
    if settings.token:
        headers["Authorization"] = f"Bearer {settings.token}"

    def connect() -> EpisodeClient:
        if not where.url:
            return open_in_process_episode(scenes.environment, debug=settings.debug)
        return WebSocketEpisode(scenes.environment, f"{where.url}{below}", headers)

    with gr.Blocks(title=scenes.environment.title, analytics_enabled=False) as page:
        build_page(scenes, page, environment_links(scenes, environments), connect)
    # An event that is handled while its session is removed creates a new state.
    page.state_session_capacity = 2 * settings.max_visitors
    gr.mount_gradio_app(
        app,
        page,
        path=DEBUGGER_PATH,
        theme=local_theme(),
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        app_kwargs={
            "middleware": [
                Middleware(GZipMiddleware),
                Middleware(PageRouteFilter, own=head_and_style_tags(scenes), where=where),
                Middleware(
                    VisitorLimits,
                    blocks=page,
                    max_visitors=settings.max_visitors,
                    grace_s=settings.visitor_grace_s,
                ),
            ]
        },
    )
    # A private attribute that some versions of Gradio lack. With it, an idle server uses 1 % of a
    # core instead of 5 %.
    queue: Any = page._queue
    if hasattr(queue, "sleep_when_free"):
        queue.sleep_when_free = queue.progress_update_sleep_when_free = POLL_S


def local_theme() -> gr.themes.ThemeClass:
    """Return the framework's theme without web fonts, which would load from another host."""
    theirs = OPENENV_GRADIO_THEME.to_dict()["theme"]
    fonts = {"font": "system-ui, sans-serif", "font_mono": "ui-monospace, monospace"}
    kept = {name: value for name, value in theirs.items() if not name.startswith("_")}
    return gr.themes.ThemeClass.from_dict({"theme": kept | fonts})


def environment_links(
    environment_view: EnvironmentView, environments: Sequence[Environment]
) -> list[EnvironmentLink]:
    """Return the links of a page to the environments of the server, as relative addresses."""
    own = environment_view.environment.name
    if not any(each.name == own for each in environments):
        return [EnvironmentLink(environment_view)]
    root = environments[0].name
    up = "../" if own == root else "../../"
    doors = [
        EnvironmentLink(environment_view)
        if each.name == own
        else EnvironmentLink(
            environment_view_of(each), f"{up}{'' if each.name == root else each.name + '/'}web/"
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
    """Address of this process's server, taken from the first request to the page.

    Attributes:
        url: URL of the root; empty before the first request and for a Unix socket.
    """

    url = ""

    def learn_from_request(self, scope: Scope) -> None:
        """Set the address from a request."""
        host, port = scope.get("server") or ("", None)
        if not self.url and port and scope.get("client") is not None:
            self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"


class PageRouteFilter:
    """Middleware that serves only the routes that the page needs, with its own head tags.

    Args:
        app: Gradio's app.
        own: see `replace_head_tags`.
        where: address of the server, which is taken from requests.
    """

    def __init__(self, app: ASGIApp, own: tuple[bytes, bytes], where: OwnServerAddress) -> None:
        self._app = app
        self._own = own
        self._where = where

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the page and the files it needs; answer 404 for any other path."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._where.learn_from_request(scope)
        path = get_route_path(scope)
        if path == "/":
            await self._app(scope, receive, self._replace_tags_in_response(send))
        elif path in PAGE_ROUTES or path.startswith(PAGE_ROUTE_PREFIXES):
            await self._app(
                scope,
                receive,
                _with_immutable_caching(send) if path.startswith(ASSETS_PREFIX) else send,
            )
        else:
            await PlainTextResponse("Not found", 404)(scope, receive, send)

    def _replace_tags_in_response(self, send: Send) -> Send:
        """Buffer the page, and send it with its own head tags."""
        start: Message = {}
        page = b""

        async def sending(message: Message) -> None:
            nonlocal start, page
            if message["type"] == "http.response.start":
                start = message
                return
            page += message.get("body", b"")
            if message["type"] != "http.response.body" or message.get("more_body"):
                return
            body = replace_head_tags(page, *self._own)
            if page:  # the response to HEAD has a length and no body
                MutableHeaders(scope=start)["content-length"] = str(len(body))
            await send(start)
            await send({"type": "http.response.body", "body": body})

        return sending


def _with_immutable_caching(send: Send) -> Send:
    """Let browsers cache a file without a time limit, because its name contains its digest."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            MutableHeaders(scope=message)["cache-control"] = IMMUTABLE_CACHE_CONTROL
        await send(message)

    return sending


def head_and_style_tags(environment_view: EnvironmentView) -> tuple[bytes, bytes]:
    """Return the head tags and the style tag of an environment's page."""
    environment = environment_view.environment
    head = HEAD.format(title=escape(environment.title), card=escape(environment.description))
    return head.encode(), f"<style>{page_stylesheet(environment_view)}</style>".encode()


def replace_head_tags(page: bytes, head: bytes, style: bytes) -> bytes:
    """Return the page with its own head tags in place of Gradio's.

    Args:
        page: HTML of Gradio.
        head: title and description. They replace Gradio's tags, because crawlers read the first
            tag of a name.
        style: style sheet. It follows Gradio's, so that it takes precedence, and precedes the
            app, so that the page is never drawn without it.
    """
    page = MANIFEST.sub(b"", SOCIAL_META_TAG.sub(b"", page))
    page = page.replace(b"<gradio-app", style + b"<gradio-app", 1)
    return page.replace(b"<head>", b"<head>" + head, 1)
