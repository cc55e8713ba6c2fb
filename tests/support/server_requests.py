"""What tests ask a server: messages on a WebSocket, JSON-RPC over HTTP, an episode's record."""

from __future__ import annotations

from typing import Any


def send_message(socket: Any, kind: str, data: Any = None) -> Any:
    """The data of the reply to one message."""
    socket.send_json({"type": kind} if data is None else {"type": kind, "data": data})
    return socket.receive_json()["data"]


def call_mcp(
    client: Any, method: str, headers: Any = None, path: str = "/mcp", **params: Any
) -> Any:
    """The response to a JSON-RPC request."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return client.post(path, json=body, headers=headers or {})


def read_episode(client: Any, episode_id: str) -> dict[str, Any]:
    """An episode as its trainer sees it."""
    return dict(client.get("/state", params={"episode_id": episode_id}).json())
