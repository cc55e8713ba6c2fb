"""Limits of ids, queues and abandoned work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pipe_leak import PipeLeak, PipeSession
from starlette.testclient import TestClient

from openenv_kit.environment import get_environment
from openenv_kit.serving.app import build_app
from openenv_kit.serving.episodes import worker_threads
from openenv_kit.serving.episodes.ids import UnknownEpisodeError
from openenv_kit.serving.episodes.service import EpisodeService
from openenv_kit.serving.http import client_identity
from openenv_kit.serving.settings import Settings
from openenv_kit.serving.store.errors import BusyError
from support.raw_connections import (
    PATIENCE_S,
)

LONG = "x" * 65


def test_no_id_is_longer_than_64_characters() -> None:
    with TestClient(build_app(Settings(episode_store="memory"))) as client:
        message = client.post("/reset", json={"episode_id": LONG}).json()["observation"]["message"]
        assert "1 to 64 characters" in message
        assert client.post("/reset", json={"episode_id": LONG[1:]}).json()["episode_id"]
        for name in ("episode_id", "player_id", "request_id"):
            body = {**({} if name != "request_id" else {"episode_id": LONG[1:]}), name: LONG}
            assert client.post("/step", json={**body, "action": {}}).status_code == 422
        assert client.get("/state", params={"episode_id": LONG}).status_code == 422


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
    await episodes.close_store_and_clear_cache()


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
            await worker_threads.run_reset_in_thread_if_slow_or_raise_busy(
                get_environment("pipe_leak"), lambda: pytest.fail("an episode was made")
            )
    finally:
        client_identity.IS_CONNECTION_CLOSED.reset(token)


# Doors.


# On the wire.


async def test_unknown_ids_do_not_evict_cached_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openenv_kit.serving.episodes.episode_cache.MAX_CACHED_EPISODES", 2)
    episodes = EpisodeService(Settings(episode_store="memory"))
    started = await episodes.reset({"seed": 1})
    for name in ("one", "another", "a third"):
        with pytest.raises(UnknownEpisodeError):
            await episodes.get_trainer_record(name)
    assert list(episodes._loader.cache) == [started.episode_id]
    await episodes.close_store_and_clear_cache()
