"""The debugger at /web: a page on which people play an episode as an agent would.

Nothing here is imported, and so neither Gradio nor plotly by our own code, unless the web
interface is on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.responses import FileResponse
from starlette.routing import Mount

if TYPE_CHECKING:
    from fastapi import FastAPI

    from openenv_kit.serving.settings import Settings

PAGE = "/web"
ICON = Path(__file__).with_name("icon.svg")
ON = ("true", "1", "yes")
"""Values of `ENABLE_WEB_INTERFACE` that the framework takes as on."""


def is_on(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this server shows the page, by `ENABLE_WEB_INTERFACE`."""
    return environ.get("ENABLE_WEB_INTERFACE", "false").lower() in ON


def add_icon(app: FastAPI) -> None:
    """Serve the icon where every browser looks for it, with the page or without."""

    @app.get("/favicon.ico", include_in_schema=False)
    def icon() -> FileResponse:
        return FileResponse(ICON, headers={"Cache-Control": "max-age=86400"})


def guard_page(made: FastAPI, chosen: Settings) -> None:
    """Put the visitors' gate in front of the page, and compress it, if the app has one."""
    mounted = (each.app for each in made.routes if isinstance(each, Mount) and each.path == PAGE)
    page: Any = next(mounted, None)
    if page is None:
        return
    from openenv_kit.page.compression import Compressed
    from openenv_kit.page.visitor_gate import VisitorGate

    made.add_middleware(
        VisitorGate,
        holder=page.state_holder,
        max_visitors=chosen.max_visitors,
        grace_s=chosen.visitor_grace_s,
    )
    # Outside the gate, which reads the answers that pass.
    made.add_middleware(Compressed)
