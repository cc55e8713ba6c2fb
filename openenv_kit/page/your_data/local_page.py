"""Serves the debugger on this machine, so that a user can play an investigation in the browser."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from openenv_kit.variables import SERVER_TOKEN_VARIABLE, STORE_VARIABLE

if TYPE_CHECKING:
    from fastapi import FastAPI

    from openenv_kit.environment import Environment
    from openenv_kit.own_data.support import Investigation
    from openenv_kit.serving.settings import Settings

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class OfferedInvestigation:
    """An investigation that the tab "Your data" offers.

    Attributes:
        title: name of the table's file, followed by a description of the window.
        investigation: the episode of the window.
    """

    title: str
    investigation: Investigation


OFFERED_INVESTIGATIONS: dict[str, OfferedInvestigation] = {}
"""Investigations that this process offers, by the key that their button sends."""


@dataclass(frozen=True, eq=False)
class LocalPage:
    """A server on loopback that is ready to be started.

    Attributes:
        address: URL of the page. It contains a token that is valid until the server stops.
        app: app of the server.
        settings: settings of the server.
    """

    address: str
    app: FastAPI
    settings: Settings

    def serve(self) -> None:
        """Serve the page until the process is stopped."""
        from openenv_kit.serving.workers import run_server

        run_server(self.app, self.settings)


def build_local_page(environment: Environment, offered: OfferedInvestigation) -> LocalPage:
    """Set the environment variables of a loopback server, including a new token, and build its app.

    Raises:
        ConfigurationError: a variable of the server has an invalid value.
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
    # Imported here, because the page's modules import this one.
    from openenv_kit.serving.app import build_app
    from openenv_kit.serving.settings import current_settings

    current_settings.cache_clear()  # it may have been read before the variables were set
    settings = current_settings()
    address = f"http://{LOOPBACK}:{port}/web/?tab=your-data&token={token}"
    return LocalPage(address, build_app(settings, environment), settings)


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
