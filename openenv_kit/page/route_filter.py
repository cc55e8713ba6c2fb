"""Restricts Gradio's app to the routes that the page needs, and replaces the page's head tags."""

from __future__ import annotations

import re
from html import escape
from typing import NamedTuple

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openenv_kit.page.environment_view import EnvironmentView, read_page_and_environment_css
from openenv_kit.serving.http.middleware import get_route_path
from openenv_kit.serving.http.response_headers import SCRIPT_NONCE_KEY

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
