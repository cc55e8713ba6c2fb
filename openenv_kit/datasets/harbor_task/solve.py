"""Sends the reference policy's tool calls to the MCP server of the task."""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any


def send_mcp_request(
    url: str, request_id: int, method: str, params: dict[str, Any]
) -> dict[str, Any]:
    """Send a JSON-RPC request and return its result.

    Raises:
        RuntimeError: the server replied with an error.
    """
    body = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=120) as response:
        reply: dict[str, Any] = json.load(response)
    if "error" in reply:
        raise RuntimeError(reply["error"]["message"])
    result: dict[str, Any] = reply["result"]
    return result


def main() -> None:
    """Send all calls in calls.json to the server whose address is the first argument."""
    calls = json.loads(Path(__file__).with_name("calls.json").read_text(encoding="utf-8"))
    client = {"name": "solution", "version": "1"}
    initialization = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}
    send_mcp_request(sys.argv[1], 0, "initialize", initialization)
    for number, call in enumerate(calls, start=1):
        result = send_mcp_request(sys.argv[1], number, "tools/call", call)
        print(call["name"], result["content"][0]["text"][:200])


if __name__ == "__main__":
    main()
