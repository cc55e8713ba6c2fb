"""Requests to a server: WebSocket messages, JSON-RPC over HTTP, and an episode's state."""

from __future__ import annotations

from typing import Any


def send_message(socket: Any, kind: str, data: Any = None) -> Any:
    """Send a message on a WebSocket and return the data of the reply."""
    socket.send_json({"type": kind} if data is None else {"type": kind, "data": data})
    return socket.receive_json()["data"]


def call_mcp(
    client: Any, method: str, headers: Any = None, path: str = "/mcp", **params: Any
) -> Any:
    """Send a JSON-RPC request over HTTP and return the response."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return client.post(path, json=body, headers=headers or {})


def read_episode(client: Any, episode_id: str) -> dict[str, Any]:
    """Return the state of an episode as its trainer reads it."""
    return dict(client.get("/state", params={"episode_id": episode_id}).json())
