"""Transports through which episodes are started, named as in the log, metrics and store."""

from __future__ import annotations

from enum import StrEnum


class Transport(StrEnum):
    """Transport of an episode. PAGE is the debugger, which also uses a WebSocket."""

    HTTP = "http"
    WEBSOCKET = "ws"
    MCP = "mcp"
    PAGE = "page"
