"""Requests that arrive while the server's event loop is busy for longer than the time limit."""

from __future__ import annotations

import asyncio
import socket
import time
from functools import partial
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from openenv_kit.serving.http.limited_protocols import (
    LimitedHttpProtocol,
    LimitedWebSocketProtocol,
)

TIMEOUT_S = 0.1
HTTP = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
WEBSOCKET = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


async def accept(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        await receive()
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize(
    ("request_bytes", "status"), [(HTTP, b"HTTP/1.1 200 "), (WEBSOCKET, b"HTTP/1.1 101 ")]
)
async def test_request_that_arrived_in_time_is_answered_after_a_busy_period(
    request_bytes: bytes, status: bytes
) -> None:
    loop = asyncio.get_running_loop()
    config = Config(accept, lifespan="off", ws=LimitedWebSocketProtocol, log_config=None)
    config.load()
    protocols: list[LimitedHttpProtocol] = []

    def build_protocol() -> LimitedHttpProtocol:
        protocols.append(LimitedHttpProtocol(TIMEOUT_S, config, ServerState(), {}))
        return protocols[-1]

    server = await loop.create_server(build_protocol, "127.0.0.1", 0)
    async with server:
        with socket.create_connection(server.sockets[0].getsockname()) as client:
            client.settimeout(10)
            while not protocols or protocols[0]._timer is None:
                await asyncio.sleep(0)
            client.sendall(request_bytes)
            time.sleep(2 * TIMEOUT_S)  # the event loop is busy
            received = await loop.run_in_executor(None, partial(client.recv, 65_536))
        protocols[0].transport.abort()
    assert received.startswith(status)
