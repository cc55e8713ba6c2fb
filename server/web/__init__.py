"""The debugger at /web: a page on which people play an episode as an agent would.

Nothing here is imported, and so neither Gradio nor plotly by our own code, unless the web
interface is on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

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
    from server.web.builder import gradio_builder

    return {
        "gradio_builder": gradio_builder(debug),
        "custom_tab_name": TAB_NAME,
        "custom_tab_primary": True,
        "title_override": "Metric Tracker RL",
    }
