"""The debugger at /web: a web page for playing episodes with the same tools that models use.

This module must not import Gradio or Plotly, because servers load it even if the debugger is
disabled.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import FileResponse, HTMLResponse

if TYPE_CHECKING:
    from fastapi import FastAPI

DEBUGGER_PATH = "/web"
ICON = Path(__file__).with_name("static") / "icon.svg"
ON = ("true", "1", "yes")
"""Values of `ENABLE_WEB_INTERFACE` that enable the debugger; the same as in the framework."""
ROUTES = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<title>{title}: routes</title><body><main><h1>{title}: routes</h1>
<p>The same for programs: <a href="openapi.json">openapi.json</a></p><ul>{lines}</ul></main>
"""


def is_debugger_enabled(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether the variable ENABLE_WEB_INTERFACE enables the debugger."""
    return environ.get("ENABLE_WEB_INTERFACE", "false").lower() in ON


def add_favicon_route(app: FastAPI) -> None:
    """Add the route /favicon.ico, which serves the icon even if the debugger is disabled."""

    @app.get("/favicon.ico", include_in_schema=False)
    def serve_favicon() -> FileResponse:
        return FileResponse(ICON, headers={"Cache-Control": "max-age=86400"})


def add_route_list_page(app: FastAPI) -> None:
    """Add a page at /docs that lists the routes.

    It replaces FastAPI's own page, which loads scripts from another host.
    """

    @app.get("/docs", include_in_schema=False)
    def serve_route_list() -> HTMLResponse:
        lines = "".join(
            f"<li><code>{method.upper()} {escape(path)}</code> {escape(route.get('summary', ''))}"
            f"<p>{escape(route.get('description', ''))}</p></li>"
            for path, methods in app.openapi()["paths"].items()
            for method, route in methods.items()
        )
        return HTMLResponse(ROUTES.format(title=escape(app.title), lines=lines))
