"""SIGTERM ends the server, and open sessions are told with a close frame."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_server import await_health, free_port, start_server
from warm_python import Program
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

pytestmark = pytest.mark.slow

STOP_S = 30.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes] | Program, str]]:
    """A server process of its own, and its host:port."""
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        command = ("--host", "127.0.0.1", "--port", str(port))
        process = start_server(*command, stdout=log, stderr=log)
    try:
        await_health(f"http://127.0.0.1:{port}", process)
        yield process, f"127.0.0.1:{port}"
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


async def playing(address: str) -> ClientConnection:
    """A session with a running episode."""
    session = await connect(f"ws://{address}/ws", max_size=None)
    await session.send(json.dumps({"type": "reset", "data": {}}))
    assert json.loads(await session.recv())["type"] == "observation"
    return session


async def goodbye(session: ClientConnection) -> ConnectionClosed:
    """How the other side ended a session that says nothing."""
    with pytest.raises(ConnectionClosed) as closed:
        await asyncio.wait_for(session.recv(), STOP_S)
    return closed.value


async def test_sigterm_closes_every_open_session_with_a_close_frame(
    server: tuple[subprocess.Popen[bytes] | Program, str],
) -> None:
    process, address = server
    sessions = [await playing(address) for _ in range(5)]
    process.send_signal(signal.SIGTERM)
    ends = await asyncio.gather(*(goodbye(session) for session in sessions))
    codes = {end.rcvd.code if end.rcvd else None for end in ends}
    # 1012 tells a client that it may come back; 1001 that the server is going away.
    assert codes <= {CloseCode.SERVICE_RESTART, CloseCode.GOING_AWAY}, codes
    # As process 1 of a container the same stop is exit code 0: see the image's own check.
    assert await asyncio.to_thread(process.wait, STOP_S) in (0, -signal.SIGTERM)


async def test_a_session_that_is_dropped_gets_no_close_frame() -> None:
    async def drop(session: ServerConnection) -> None:
        await session.recv()
        session.transport.abort()

    async with serve(drop, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}") as session:
            await session.send("hello")
            assert (await goodbye(session)).rcvd is None
