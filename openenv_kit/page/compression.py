"""Answers below /web go out compressed: the page itself, and the stream of answers that fill it.

Gradio compresses its scripts and style sheets only. Its page is 0.2 MB, and what fills the tabs of
a new visitor as much again; both are text that shrinks to a tenth.
"""

from __future__ import annotations

import zlib
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openenv_kit.page import PAGE
from openenv_kit.serving.gate import route_path

COMPRESSIBLE = ("text/", "application/json")
LEVEL = 6
GZIP_HEADER = 16 + zlib.MAX_WBITS


class Compressed:
    """Middleware around the app: gzip for those who take it, for paths under /web.

    Each piece of a stream is flushed, so no answer waits for the next one. Starlette's own gzip
    leaves event streams alone.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, compressed where that helps."""
        takes = scope["type"] == "http" and "gzip" in Headers(scope=scope).get(
            "accept-encoding", ""
        )
        if takes and page_path(scope) and scope["method"] != "HEAD":
            send = _packed(send)
        await self._app(scope, receive, send)


def page_path(scope: Scope) -> str:
    """The path below /web, empty for a request to something else."""
    if scope["type"] != "http":
        return ""
    path = route_path(scope)
    return path.removeprefix(PAGE) if path.startswith(f"{PAGE}/") else ""


def _packed(send: Send) -> Send:
    packer: Any = None

    async def sending(message: Message) -> None:
        nonlocal packer
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            plain = "content-encoding" not in headers and message["status"] == 200
            if plain and headers.get("content-type", "").startswith(COMPRESSIBLE):
                packer = zlib.compressobj(LEVEL, wbits=GZIP_HEADER)
                headers["content-encoding"] = "gzip"
                headers.add_vary_header("Accept-Encoding")
                del headers["content-length"]
        elif packer is not None and message["type"] == "http.response.body":
            ended = not message.get("more_body")
            body = packer.compress(message.get("body", b""))
            body += packer.flush(zlib.Z_FINISH if ended else zlib.Z_SYNC_FLUSH)
            message = {**message, "body": body}
        await send(message)

    return sending
