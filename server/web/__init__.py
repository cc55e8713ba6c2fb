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

    from server.settings import Settings

PAGE = "/web"
TAB_NAME = "Debugger"
WEB_ON = ("true", "1", "yes")
"""What the framework reads as on in `ENABLE_WEB_INTERFACE`."""


def web_options(debug: bool, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Arguments of the framework's `create_app` that put the debugger at /web.

    Args:
        debug: whether the page may show the answers.
        environ: where `ENABLE_WEB_INTERFACE` is looked up; None for the process's own.

    Returns:
        Nothing where the web interface is off.
    """
    source = os.environ if environ is None else environ
    if source.get("ENABLE_WEB_INTERFACE", "false").lower() not in WEB_ON:
        return {}
    # The page asks nobody but its own server; Gradio reads this while a page is built.
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    from server.web.uploads import own_folder

    own_folder()
    from server.web.builder import gradio_builder

    return {
        "gradio_builder": gradio_builder(debug),
        "custom_tab_name": TAB_NAME,
        "custom_tab_primary": True,
        "title_override": "Metric Tracker RL",
    }


def guard_page(made: FastAPI, chosen: Settings) -> None:
    """Put the visitors' gate in front of the page, if the app has one."""
    mounted = (each.app for each in made.routes if isinstance(each, Mount) and each.path == PAGE)
    page: Any = next(mounted, None)
    if page is None:
        return
    from server.web.uploads import Uploads, own_folder
    from server.web.visitor_gate import VisitorGate

    made.add_middleware(
        VisitorGate,
        holder=page.state_holder,
        uploads=Uploads(own_folder()),
        max_visitors=chosen.max_visitors,
        grace_s=chosen.visitor_grace_s,
    )
