"""The page mounted at /web: under the environment's title, with no route that it does not need.

The framework's own web interface is left out on purpose: its Playground plays one episode that
all visitors share, through routes that no session limit counts.
"""

from __future__ import annotations

import os
import re
from html import escape

import gradio as gr
from fastapi import FastAPI, Request
from openenv.core.env_server.gradio_theme import OPENENV_GRADIO_THEME
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openenv_kit.environment import Environment
from openenv_kit.page import PAGE
from openenv_kit.page.builder import build_page, use_local_fonts
from openenv_kit.page.scenes import Scenes, scenes_of
from openenv_kit.page.uploads import own_folder

SERVED = frozenset(
    (
        *("/config", "/theme.css", "/gradio_api/info", "/gradio_api/startup-events"),
        *("/gradio_api/queue/join", "/gradio_api/queue/data"),
        *("/gradio_api/upload", "/gradio_api/upload_progress"),
    )
)
SERVED_BELOW = ("/assets/", "/static/", "/gradio_api/heartbeat/")
"""What the page itself asks for below /web.

Gradio has more: figures about all visitors, a proxy, an editor for the page, histories of runs.
"""
HEAD = """
<meta charset="utf-8" />
<title>{title}</title>
<meta name="description" content="{card}" />
<meta property="og:type" content="website" />
<meta property="og:site_name" content="{title}" />
<meta property="og:title" content="{title}" />
<meta property="og:description" content="{card}" />
<meta name="twitter:card" content="summary" />
"""
CARD = re.compile(rb'<meta\s+(?:property="og:|name="twitter:)[^>]*/>\s*')
MANIFEST = re.compile(rb'<link rel="manifest"[^>]*/>\s*')


def add_page(app: FastAPI, debug: bool, environment: Environment | None = None) -> None:
    """Mount the debugger, and redirect to it from / and from /web.

    Args:
        app: the server's app.
        debug: whether the page may show the answers.
        environment: what is shown; None for the one that ENVIRONMENT names.
    """

    def lead(request: Request) -> RedirectResponse:
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"{request.scope.get('root_path', '')}{PAGE}/{query}")

    for path in ("/", PAGE):
        app.add_api_route(path, lead, include_in_schema=False)
    # The page asks no server but its own; Gradio reads this while a page is built.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    own_folder()
    use_local_fonts()
    scenes = scenes_of(environment)
    gr.mount_gradio_app(
        app,
        build_page(scenes, debug),
        path=PAGE,
        theme=OPENENV_GRADIO_THEME,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        app_kwargs={"middleware": [Middleware(PageOnly, head=head_of(scenes))]},
    )


class PageOnly:
    """Middleware inside the mounted app: serves what the page needs, under its own name.

    Args:
        app: Gradio's app.
        head: tags that take the place of Gradio's.
    """

    def __init__(self, app: ASGIApp, head: bytes) -> None:
        self._app = app
        self._head = head

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the page, what it asks for, and nothing else."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path == "/":
            await self._app(scope, receive, _OwnHead(send, self._head).send)
        elif path in SERVED or path.startswith(SERVED_BELOW):
            await self._app(scope, receive, send)
        else:
            await PlainTextResponse("Not found", 404)(scope, receive, send)


class _OwnHead:
    """Replaces Gradio's title and share card.

    Crawlers read the first tag of a name, and Gradio's template brings its own.
    """

    def __init__(self, send: Send, head: bytes) -> None:
        self._send = send
        self._head = head
        self._start: Message = {}
        self._body = b""

    async def send(self, message: Message) -> None:
        """Hold the page back until it is complete."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        body = own_head(self._body, self._head)
        headers = MutableHeaders(raw=list(self._start["headers"]))
        if self._body:  # the answer to HEAD has a length and no body
            headers["content-length"] = str(len(body))
        await self._send({**self._start, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": body})


def head_of(scenes: Scenes) -> bytes:
    """Title, description and share card of an environment."""
    return HEAD.format(title=escape(scenes.environment.title), card=escape(scenes.card)).encode()


def own_head(page: bytes, head: bytes) -> bytes:
    """The page with `head` in place of its own title, description and share card."""
    page = MANIFEST.sub(b"", CARD.sub(b"", page))
    return page.replace(b"<head>", b"<head>" + head, 1)
