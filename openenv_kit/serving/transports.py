"""Transports through which episodes are started, as named in the log, metrics and store."""

from __future__ import annotations

from enum import StrEnum


class Transport(StrEnum):
    """Transport of an episode. The page is the debugger, which uses a WebSocket too."""

    HTTP = "http"
    WEBSOCKET = "ws"
    MCP = "mcp"
    PAGE = "page"
