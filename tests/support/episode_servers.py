"""Servers of one environment in this process, and requests about one episode."""

from __future__ import annotations

import time
from typing import Any

from fastapi import FastAPI
from starlette.testclient import TestClient

from openenv_kit.serving.app import build_app
from openenv_kit.serving.settings import Settings
from support.playable_environments import Call, Game
from support.server_requests import call_mcp, send_message

TOKENS = {role: f"the {role}'s token, long enough" for role in ("trainer", "player")}
TOKEN_SETTINGS = {"token": TOKENS["trainer"], "player_token": TOKENS["player"]}
"""Settings of a server that asks for the tokens of both roles."""


def token_header(role: str) -> dict[str, str]:
    """Return the header that shows the token of a role."""
    return {"authorization": f"Bearer {TOKENS[role]}"}


def build_game_app(game: Game, **settings: Any) -> FastAPI:
    """Return a server of the game's environment."""
    return build_app(Settings(**settings), game.environment)


def client_with_token(app: Any, role: str) -> TestClient:
    """Return a client that sends the token of a role."""
    return TestClient(app, headers=token_header(role))


def start_episode(client: TestClient, game: Game) -> dict[str, Any]:
    """Start an episode with practice submissions, which no other client plays."""
    return dict(client.post(game.fresh_reset(), json={**game.opening, **game.practice}).json())


def open_mcp_session(client: TestClient, query: str) -> dict[str, str]:
    """Initialize an MCP session and return the header that names it."""
    response = call_mcp(client, "initialize", path=f"/mcp{query}")
    return {"mcp-session-id": response.headers["mcp-session-id"]}


def call_mcp_tool(client: TestClient, session: dict[str, str], call: Call) -> Any:
    """Call a tool in an MCP session and return the result."""
    return call_mcp(client, "tools/call", session, **call.params).json()["result"]


def resume_episode(socket: Any, episode_id: str) -> dict[str, Any]:
    """Resume an episode on a WebSocket and return the observation."""
    data = {"episode_id": episode_id, "resume": True}
    return dict(send_message(socket, "reset", data)["observation"])


def close_websocket(socket: Any) -> None:
    """Send the framework's closing message and wait until the server closes."""
    socket.send_json({"type": "close"})
    assert socket.receive()["type"] == "websocket.close"


def await_stored_episode(client: TestClient, episode_id: str) -> None:
    """Wait until an episode is in the store."""
    for _ in range(200):
        if client.get("/state", params={"episode_id": episode_id}).status_code == 200:
            return
        time.sleep(0.05)
    raise AssertionError("the episode was never stored")
