"""SIGTERM drains and ends the server, and closes open sessions with a close frame."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from openenv_kit.serving.settings import Settings
from support.forked_python import Program
from support.live_server import await_health, free_port, start_server
from support.paths import ROOT

pytestmark = pytest.mark.slow

EXIT_S = 10
"""Seconds that closing connections may take once the drain is over."""

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


@contextlib.contextmanager
def draining_server(
    folder: Path, drain_s: int, *options: str
) -> Iterator[tuple[subprocess.Popen[bytes] | Program, str]]:
    """A server that lets running episodes go on for so long, and its host:port."""
    port = free_port()
    env = {
        **os.environ,
        "OPENENV_KIT_DRAIN_S": str(drain_s),
        "OPENENV_KIT_EPISODE_STORE": str(folder / "s.db"),
    }
    with (folder / "log").open("wb") as log:
        process = start_server(
            *("--host", "127.0.0.1", "--port", str(port), *options), env=env, stdout=log, stderr=log
        )
    try:
        await_health(f"http://127.0.0.1:{port}", process)
        yield process, f"127.0.0.1:{port}"
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


async def say(session: ClientConnection, kind: str, data: dict[str, object]) -> dict[str, Any]:
    """The reply to one message."""
    await session.send(json.dumps({"type": kind, "data": data}))
    return dict(json.loads(await session.recv()))


async def draining(address: str) -> None:
    """Wait until the server says that it is about to stop."""
    async with httpx.AsyncClient() as client:
        while (await client.get(f"http://{address}/ready")).status_code == 200:
            await asyncio.sleep(0.01)


LIST = {"analysis_method": "list_dates"}


async def test_sigterm_running_episodes_go_on_and_new_ones_are_refused(tmp_path: Path) -> None:
    with draining_server(tmp_path, 3) as (process, address), httpx.Client() as client:
        url = f"http://{address}"
        finishing, left = [await playing(address) for _ in range(2)]
        stored = client.post(f"{url}/reset", json={}).json()["episode_id"]
        process.send_signal(signal.SIGTERM)
        while (ready := client.get(f"{url}/ready")).status_code == 200:
            await asyncio.sleep(0.01)
        assert (ready.status_code, ready.json()["status"]) == (503, "stopping")
        assert ready.headers["retry-after"]
        assert client.get(f"{url}/health").status_code == 200
        refused = client.post(f"{url}/reset", json={})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        assert "is stopping" in refused.json()["detail"]
        tools = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}
        assert client.post(f"{url}/mcp", json=tools).status_code == 503
        assert (await say(left, "step", LIST))["type"] == "observation"
        assert (await say(finishing, "step", {}))["data"]["done"] is True
        again = await say(finishing, "reset", {})
        assert (again["type"], again["data"]["retry_after_s"]) == ("error", 5)
        body = {"episode_id": stored, "action": LIST}
        assert client.post(f"{url}/step", json=body).status_code == 200
        ends = await asyncio.gather(goodbye(finishing), goodbye(left))
        assert [end.rcvd and end.rcvd.code for end in ends] == [CloseCode.SERVICE_RESTART] * 2
        assert await asyncio.to_thread(process.wait, STOP_S) in (0, -signal.SIGTERM)


async def test_sigterm_last_episode_ends_stops_without_waiting_longer(tmp_path: Path) -> None:
    with draining_server(tmp_path, 3600) as (process, address):
        session = await playing(address)
        process.send_signal(signal.SIGTERM)
        await draining(address)
        assert (await say(session, "step", {}))["data"]["done"] is True
        end = await goodbye(session)
        assert end.rcvd is not None
        assert end.rcvd.code == CloseCode.SERVICE_RESTART
        assert await asyncio.to_thread(process.wait, STOP_S) in (0, -signal.SIGTERM)


async def test_second_sigterm_of_two_workers_stops_them_at_once(tmp_path: Path) -> None:
    with draining_server(tmp_path, 3600, "--workers", "2") as (process, address):
        session = await playing(address)
        process.send_signal(signal.SIGTERM)
        await draining(address)
        process.send_signal(signal.SIGTERM)
        assert (await goodbye(session)).rcvd is not None
        assert await asyncio.to_thread(process.wait, STOP_S) in (0, -signal.SIGTERM)


def test_manifest_grace_period_covers_prestop_and_drain() -> None:
    text = (ROOT / "deploy" / "kubernetes" / "metric-tracker.yaml").read_text()
    (deployment,) = (each for each in yaml.safe_load_all(text) if each["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    command, pre_stop_s = container["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"
    variables = {each["name"]: each.get("value") for each in container["env"]}
    drain_s = int(variables["OPENENV_KIT_DRAIN_S"])
    assert drain_s == Settings().drain_s
    assert int(pre_stop_s) + drain_s + EXIT_S <= pod["terminationGracePeriodSeconds"]
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    grace = compose["services"]["server"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) >= drain_s + EXIT_S


async def test_a_session_that_is_dropped_gets_no_close_frame() -> None:
    async def drop(session: ServerConnection) -> None:
        await session.recv()
        session.transport.abort()

    async with serve(drop, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}") as session:
            await session.send("hello")
            assert (await goodbye(session)).rcvd is None
