"""Nothing adds up, nothing blocks: shares, queues, pages and deadlines."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pipe_leak import PipeLeak, PipeSession
from starlette.testclient import TestClient

from kit.serving.http.test_limited_protocols import (
    PATIENCE_S,
    Server,
    is_closed,
    running,
    say,
    shake_hands,
)
from openenv_kit.environment import get_environment
from openenv_kit.serving.app import build_app
from openenv_kit.serving.episodes import worker_threads
from openenv_kit.serving.episodes.ids import UnknownEpisodeError
from openenv_kit.serving.episodes.service import EpisodeService
from openenv_kit.serving.http import client_identity
from openenv_kit.serving.settings import Settings
from openenv_kit.serving.store.errors import BusyError, StoreFullError, StoreUnavailableError
from openenv_kit.serving.store.limits import StoreLimits
from openenv_kit.serving.store.open_store import open_store
from support.blocking_store import sqlite_store

LONG = "x" * 65
MIB = 1 << 20


def test_no_id_is_longer_than_64_characters() -> None:
    with TestClient(build_app(Settings(episode_store="memory"))) as client:
        message = client.post("/reset", json={"episode_id": LONG}).json()["observation"]["message"]
        assert "1 to 64 characters" in message
        assert client.post("/reset", json={"episode_id": LONG[1:]}).json()["episode_id"]
        for name in ("episode_id", "player_id", "request_id"):
            body = {**({} if name != "request_id" else {"episode_id": LONG[1:]}), name: LONG}
            assert client.post("/step", json={**body, "action": {}}).status_code == 422
        assert client.get("/state", params={"episode_id": LONG}).status_code == 422


@pytest.mark.slow
@pytest.mark.parametrize(("start", "action"), [(20, 0), (20, 1100), (1003, 0)])
def test_a_share_is_counted_in_the_pages_that_it_takes(
    tmp_path: Path, start: int, action: int
) -> None:
    """Names in five places, and rows with pages of their own; one client took all of it."""
    store = sqlite_store(tmp_path / "s.db", StoreLimits(3600, max_bytes=4 * MIB))

    def fill(client: str) -> None:
        while True:
            name = secrets.token_hex(32)
            player = f"pl-{secrets.token_hex(16)}"
            made = store.create(
                name, "http", b"x" * start, [], client_address=client, player_id=player
            )
            if action:
                store.append_action(name, made, 0, b"x" * action, "")

    for number in range(3):
        with pytest.raises(StoreFullError) as refused:
            fill(f"203.0.113.{number}")
        assert refused.value.is_client_limit
    store.create("mine", "http", b"x" * start, [], client_address="another")
    store.close()


# Work that waits.


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """An environment with slow tools, whose resets wait until the event is set."""
    go_on, start = threading.Event(), PipeSession.start_episode

    def waiting(self: PipeSession, **arguments: Any) -> Any:
        go_on.wait(PATIENCE_S)
        return start(self, **arguments)

    tools = [replace(tool, is_slow=True) for tool in PipeLeak.tools.tools]
    monkeypatch.setattr(PipeLeak, "tools", replace(PipeLeak.tools, tools=tools))
    monkeypatch.setattr(PipeSession, "start_episode", waiting)
    yield go_on
    go_on.set()


async def test_a_reset_beyond_the_depth_is_refused_with_a_time(slow: threading.Event) -> None:
    episodes = EpisodeService(Settings(episode_store="memory"), get_environment("pipe_leak"))
    waiting = [
        asyncio.create_task(episodes.reset({})) for _ in range(worker_threads.MAX_WAITING_RESETS)
    ]
    await asyncio.sleep(0)
    with pytest.raises(BusyError) as refused:
        await episodes.reset({})
    assert refused.value.retry_after_s == 5
    slow.set()
    assert all(each.access for each in await asyncio.gather(*waiting))
    assert (await episodes.reset({})).access
    await episodes.close()


def test_the_refusal_is_a_503_with_retry_after(
    slow: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_threads, "MAX_WAITING_RESETS", 0)
    app = build_app(Settings(episode_store="memory"), get_environment("pipe_leak"))
    with TestClient(app) as client:
        answer = client.post("/reset", json={})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        with client.websocket_connect("/ws") as socket:
            socket.send_json({"type": "reset", "data": {}})
            assert socket.receive_json()["data"]["retry_after_s"] == 5


async def test_work_for_a_connection_that_is_gone_is_dropped() -> None:
    token = client_identity.IS_CONNECTION_CLOSED.set(lambda: True)
    try:
        with pytest.raises(BusyError, match="gone"):
            await worker_threads.run_queued_reset(
                get_environment("pipe_leak"), lambda: pytest.fail("an episode was made")
            )
    finally:
        client_identity.IS_CONNECTION_CLOSED.reset(token)


# Doors.


def test_a_range_of_tasks_is_told_by_pages() -> None:
    with TestClient(build_app(Settings(episode_store="memory"))) as client:

        def asked(**bounds: int) -> list[Any]:
            body = {"split": "train", **bounds}
            reply = client.post("/metric_tracker_rl/task_range", json=body).json()
            return list(reply if isinstance(reply, list) else reply["tasks"])

        whole, second = asked(), asked(start=100)
        assert [len(whole), len(second)] == [100, 100]
        assert (whole[0]["index"], second[0]["index"]) == (0, 100)
        assert [task["index"] for task in asked(start=150, stop=153)] == [150, 151, 152]


def test_names_of_environments_are_told_behind_the_gate() -> None:
    settings = Settings(episode_store="memory", token="the trainer's own token")
    app = build_app(settings, get_environment("pipe_leak"), [get_environment("firewatch")])
    bearer = {"authorization": f"Bearer {settings.token}"}
    with TestClient(app) as client:
        answer = client.post("/firewach/reset", json={})
        assert answer.status_code == 401
        assert "firewatch" not in answer.text
        answer = client.post("/firewach/reset", json={}, headers=bearer)
        assert answer.status_code == 404
        assert "Did you mean 'firewatch'?" in answer.json()["detail"]


def test_a_redis_that_hangs_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openenv_kit.serving.store.redis_client.REDIS_TIMEOUT_S", 0.05)
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"redis://127.0.0.1:{silent.getsockname()[1]}"

        def use() -> None:
            with contextlib.suppress(StoreUnavailableError):
                asyncio.run(open_store(Settings(episode_store=address)).check_writable())
            ended.set()

        threading.Thread(target=use, daemon=True).start()
        assert ended.wait(30)


# On the wire.


EMPTY_START, EMPTY_REST = b"\x01\x80\0\0\0\0", b"\x00\x80\0\0\0\0"


@pytest.mark.slow
def test_a_message_that_is_never_finished_ends_its_connection(hasty: Server) -> None:
    with hasty.connect() as connection, hasty.connect() as other:
        assert shake_hands(other, "/ws") == 101
        assert shake_hands(connection, "/ws") == 101
        connection.sendall(EMPTY_START)
        assert is_closed(connection)
        assert say(other, {"type": "state"})["type"] == "state"  # it owes nothing


@pytest.mark.slow
def test_empty_frames_without_end_are_cut_off(tmp_path: Path) -> None:
    with running(tmp_path, OPENENV_KIT_REQUEST_TIMEOUT_S="3600") as server:
        with server.connect() as connection:
            assert shake_hands(connection, "/ws") == 101
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(EMPTY_START + EMPTY_REST * 5000)
            assert is_closed(connection)
        with server.connect() as connection:
            assert shake_hands(connection, "/ws") == 101
            pieces = [bytes([0, 0x81, 0, 0, 0, 0, letter]) for letter in b'"type":"state"}']
            connection.sendall(b"\x01\x81\0\0\0\0{" + b"".join(pieces) + b"\x80\x80\0\0\0\0")
            connection.settimeout(PATIENCE_S)
            assert b'"state"' in connection.recv(65536)


@pytest.mark.slow
def test_bad_trailers_leave_no_traceback_in_the_log(tmp_path: Path) -> None:
    head = b" HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with running(tmp_path) as server:
        for path in (b"/step", b"/nowhere", b"/metrics"):
            for trailer in (b"X: " + b"y" * 100_000 + b"\r\n\r\n", b"\x00bad\r\n\r\n"):
                for pause_s in (0.0, 0.2):
                    with server.connect() as connection:
                        connection.sendall(b"POST " + path + head + b"2\r\n{}\r\n0\r\n")
                        time.sleep(pause_s)  # the answer may be on its way, or not
                        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                            connection.sendall(trailer)
                        assert is_closed(connection)
        assert server.ask("GET /health HTTP/1.1\nHost: localhost")[0] == 200
    assert not [line for line in server.lines() if "exception" in line]


async def test_unknown_names_push_no_episode_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openenv_kit.serving.episodes.episode_cache.MAX_CACHED_EPISODES", 2)
    episodes = EpisodeService(Settings(episode_store="memory"))
    started = await episodes.reset({"seed": 1})
    for name in ("one", "another", "a third"):
        with pytest.raises(UnknownEpisodeError):
            await episodes.get_trainer_record(name)
    assert list(episodes._loader.cache) == [started.episode_id]
    await episodes.close()
