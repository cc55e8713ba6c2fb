"""The page mounted at /web: its own title and share card, and no route that it does not need.

The framework's own web interface is left out on purpose: its Playground plays one episode that
all visitors share, through routes that no session limit counts.
"""

from __future__ import annotations

import os
import re

import gradio as gr
from fastapi import FastAPI, Request
from openenv.core.env_server.gradio_theme import OPENENV_GRADIO_THEME
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openenv_kit.page import PAGE
from openenv_kit.page.builder import TITLE, build_page, use_local_fonts
from openenv_kit.page.uploads import own_folder

DESCRIPTION = (
    "Investigate a product funnel, report its anomalies, and see how each row is graded: "
    "an OpenEnv environment to play in the browser."
)
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
HEAD = f'''
<meta charset="utf-8" />
<title>{TITLE}</title>
<meta name="description" content="{DESCRIPTION}" />
<meta property="og:type" content="website" />
<meta property="og:site_name" content="{TITLE}" />
<meta property="og:title" content="{TITLE}" />
<meta property="og:description" content="{DESCRIPTION}" />
<meta name="twitter:card" content="summary" />
'''
CARD = re.compile(rb'<meta\s+(?:property="og:|name="twitter:)[^>]*/>\s*')
MANIFEST = re.compile(rb'<link rel="manifest"[^>]*/>\s*')


def add_page(app: FastAPI, debug: bool) -> None:
    """Mount the debugger, and lead there from / and from /web.

    Args:
        app: the server's app.
        debug: whether the page may show the answers.
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
    gr.mount_gradio_app(
        app,
        build_page(debug),
        path=PAGE,
        theme=OPENENV_GRADIO_THEME,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        app_kwargs={"middleware": [Middleware(PageOnly)]},
    )


class PageOnly:
    """Middleware inside the mounted app: serves what the page needs, under its own name.

    Args:
        app: Gradio's app.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the page, what it asks for, and nothing else."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path == "/":
            await self._app(scope, receive, _OwnHead(send).send)
        elif path in SERVED or path.startswith(SERVED_BELOW):
            await self._app(scope, receive, send)
        else:
            await PlainTextResponse("Not found", 404)(scope, receive, send)


class _OwnHead:
    """Puts the project's title and share card in the place of Gradio's.

    Crawlers read the first tag of a name, and Gradio's template brings its own.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message = {}
        self._body = b""

    async def send(self, message: Message) -> None:
        """Hold the page back until it is whole."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        body = own_head(self._body)
        headers = MutableHeaders(raw=list(self._start["headers"]))
        if self._body:  # the answer to HEAD has a length and no body
            headers["content-length"] = str(len(body))
        await self._send({**self._start, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": body})


def own_head(page: bytes) -> bytes:
    """The page with this project's title, description and share card."""
    page = MANIFEST.sub(b"", CARD.sub(b"", page))
    return page.replace(b"<head>", b"<head>" + HEAD.encode(), 1)
