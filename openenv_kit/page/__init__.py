"""The debugger at /web: a page on which people play an episode as an agent would.

Nothing here is imported, and so neither Gradio nor plotly by our own code, unless the web
interface is on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from starlette.routing import Mount

if TYPE_CHECKING:
    from fastapi import FastAPI

    from openenv_kit.serving.settings import Settings

PAGE = "/web"
ON = ("true", "1", "yes")
"""Values of `ENABLE_WEB_INTERFACE` that the framework takes as on."""


def is_on(environ: Mapping[str, str] | None = None) -> bool:
    """Whether this server shows the page.

    Args:
        environ: where `ENABLE_WEB_INTERFACE` is looked up; None for the process's own.
    """
    source = os.environ if environ is None else environ
    return source.get("ENABLE_WEB_INTERFACE", "false").lower() in ON


def guard_page(made: FastAPI, chosen: Settings) -> None:
    """Put the visitors' gate in front of the page, if the app has one."""
    mounted = (each.app for each in made.routes if isinstance(each, Mount) and each.path == PAGE)
    page: Any = next(mounted, None)
    if page is None:
        return
    from openenv_kit.page.uploads import Uploads, own_folder
    from openenv_kit.page.visitor_gate import VisitorGate

    made.add_middleware(
        VisitorGate,
        holder=page.state_holder,
        uploads=Uploads(own_folder()),
        max_visitors=chosen.max_visitors,
        grace_s=chosen.visitor_grace_s,
    )
