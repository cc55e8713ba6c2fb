"""Serves the debugger on this machine, with an investigation that a command offers on it."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openenv_kit.variables import SERVER_TOKEN_VARIABLE, STORE_VARIABLE

if TYPE_CHECKING:
    from openenv_kit.environment import Environment
    from openenv_kit.own_data.support import Investigation

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class OfferedInvestigation:
    """An investigation that the tab "Your data" offers.

    Attributes:
        title: name of the table's file, and the window in words.
        investigation: the episode of the window.
    """

    title: str
    investigation: Investigation


OFFERED_INVESTIGATIONS: dict[str, OfferedInvestigation] = {}
"""Investigations of this process, by the key in the value of their button."""


def prepare_local_page(offered: OfferedInvestigation) -> str:
    """Set the variables of a server on loopback with a new token, and return the page's address.

    The address contains the token, which is valid until the server stops.
    """
    token, port = secrets.token_urlsafe(24), _find_free_port()
    OFFERED_INVESTIGATIONS[secrets.token_urlsafe(24)] = offered
    os.environ |= {
        "ENABLE_WEB_INTERFACE": "true",
        "HOST": LOOPBACK,
        "PORT": str(port),
        "WORKERS": "1",
        "OPENENV_KIT_METRICS_PORT": "0",
        "OPENENV_KIT_LOG_LEVEL": "warning",
        "OPENENV_KIT_OWN_DATA": "on",
        STORE_VARIABLE: "memory",
        SERVER_TOKEN_VARIABLE: token,
    }
    return f"http://{LOOPBACK}:{port}/web/?tab=your-data&token={token}"


def serve_local_page(environment: Environment) -> None:
    """Serve the page that `prepare_local_page` prepared until the process is stopped.

    Raises:
        ConfigurationError: a variable of the server has a wrong value.
    """
    from openenv_kit.serving.app import build_app
    from openenv_kit.serving.settings import current_settings
    from openenv_kit.serving.workers import run_server

    current_settings.cache_clear()  # it may have been read before the variables were set
    settings = current_settings()
    run_server(build_app(settings, environment), settings)


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
