"""The debugger at /web: a page on which people play an episode as an agent would.

Nothing here is imported, and so neither Gradio nor plotly by our own code, unless the web
interface is on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

ON = ("true", "1", "yes")
"""Values of `ENABLE_WEB_INTERFACE` that the framework takes as on."""


def is_on(environ: Mapping[str, str] | None = None) -> bool:
    """Whether this server shows the page.

    Args:
        environ: where `ENABLE_WEB_INTERFACE` is looked up; None for the process's own.
    """
    source = os.environ if environ is None else environ
    return source.get("ENABLE_WEB_INTERFACE", "false").lower() in ON
