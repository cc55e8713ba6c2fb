"""Roles of callers, their permissions, and the error messages for requests that are not permitted.

A trainer resets episodes and reads their results. A player plays an episode that a trainer started.
Players may not choose an episode, or read anything about it beyond the replies to their actions.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

WEBSOCKET_METHOD = "websocket"
"""Value of `Route.method` for a WebSocket handshake."""


class Role(StrEnum):
    """Role of a caller. On a server without tokens, every caller is a trainer."""

    TRAINER = "trainer"
    PLAYER = "player"

    @property
    def may_choose_episodes(self) -> bool:
        """Whether the caller may start episodes and name them by their `episode_id`."""
        return self is Role.TRAINER

    def may_use_route(self, method: str, path: str) -> bool:
        """Return whether the caller may send requests to a route.

        Args:
            method: HTTP method, or `WEBSOCKET_METHOD`.
            path: path of the request, excluding the server's path prefix.
        """
        return self is Role.TRAINER or (method, path) in PLAYER_ROUTES


class Route(NamedTuple):
    """An HTTP method, or `WEBSOCKET_METHOD`, and a path."""

    method: str
    path: str


PLAYER_ROUTES = frozenset(
    (
        Route("POST", "/step"),
        Route("POST", "/mcp"),
        Route("GET", "/mcp"),
        Route("DELETE", "/mcp"),
        Route(WEBSOCKET_METHOD, "/ws"),
        Route(WEBSOCKET_METHOD, "/mcp"),
    )
)
"""Routes that callers with the player token may use."""

PLAYER_ROUTE_MESSAGE = (
    "The player token allows only POST /step, /mcp and the WebSocket /ws; this route needs the "
    "trainer's token."
)
PLAYER_EPISODE_ID_MESSAGE = "With the player's token, send a player_id instead of an episode_id."
PLAYER_WEBSOCKET_MESSAGE = (
    "With the player's token, connect to /ws?session_id=<player_id>. The trainer's reset returns "
    "the player_id."
)
PLAYER_RESET_MESSAGE = (
    "Players cannot reset an episode. To play another one, ask the trainer for a new player_id."
)
PLAYER_MCP_MESSAGE = (
    "With the player's token, add ?player_id= to the address. The trainer's reset returns the "
    "player_id. Everything else needs the trainer's token."
)
