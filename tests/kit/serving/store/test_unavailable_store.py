"""Responses while the episode store is full, read-only or missing."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from openenv_kit.environment import get_environment
from openenv_kit.serving.app import build_app
from openenv_kit.serving.episodes.ids import EpisodeAccess, UnknownEpisodeError
from openenv_kit.serving.episodes.live_episode import LiveEpisode
from openenv_kit.serving.episodes.service import EpisodeService
from openenv_kit.serving.settings import Settings
from openenv_kit.serving.store.errors import StoreUnavailableError
from openenv_kit.serving.store.interface import NewEpisode
from openenv_kit.serving.store.limits import StoreLimits
from openenv_kit.serving.store.sqlite import SqliteStore
from openenv_kit.serving.store.sqlite_database import SqliteDatabase
from support.small_disk import Disk

pytestmark = pytest.mark.slow

MIB = 1 << 20
LIST = {"analysis_method": "list_dates"}
BIG = {"analysis_method": "x" * 1_000_000}
INITIALIZE = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}


@pytest.fixture(autouse=True)
def always_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer of /ready is given a second time."""
    monkeypatch.setattr("openenv_kit.serving.http.readiness.READY_CACHE_S", 0.0)


def client_at(store: Path | str, address: str = "203.0.113.7", **more: Any) -> TestClient:
    app = build_app(Settings(episode_store=str(store), **more))
    return TestClient(app, client=(address, 4711), raise_server_exceptions=False)


def test_a_disk_that_fills_up_is_503_with_a_time_to_retry_and_passes(disk: Disk) -> None:
    with client_at(disk.path / "s.db") as client:
        running = client.post("/reset", json={"seed": 1}).json()["episode_id"]
        assert client.get("/ready").json()["status"] == "ready"
        disk.fill()
        refused = 0
        while refused == 0:
            answer = client.post("/reset", json={"seed": 1})
            refused += answer.status_code == 503
            assert answer.status_code in (200, 503), answer.text
            disk.fill()
        assert answer.headers["retry-after"] == "5"
        assert "disk" in answer.json()["detail"]
        ready = client.get("/ready")
        assert (ready.status_code, ready.headers["retry-after"]) == (503, "5")
        assert ready.json()["status"] == "unavailable"
        assert client.get("/health").status_code == 200
        step = client.post("/step", json={"episode_id": running, "action": BIG})
        assert step.status_code == 503
        while (session := client.post("/mcp", json=INITIALIZE)).status_code == 200:
            disk.fill()  # each refused write before has made a little room
        assert (session.status_code, session.headers["retry-after"]) == (503, "5")
        assert session.json()["error"]["data"] == {"retry_after_s": 5}
        disk.free()
        assert client.get("/ready").status_code == 200
        assert client.post("/reset", json={"seed": 2}).status_code == 200
        assert client.post("/mcp", json=INITIALIZE).status_code == 200
        step = client.post("/step", json={"episode_id": running, "action": LIST})
        assert step.json()["observation"]["status"] == "analyzed"
        state = client.get("/state", params={"episode_id": running}).json()
        assert state["step_count"] == 1  # the refused step was not taken


def test_large_requests_do_not_fill_the_store_for_good(disk: Disk) -> None:
    """64 requests of 1 MB used to fill the volume, and each later reset was a 500."""
    statuses = []
    settings = {"max_store_bytes": 12 * MIB, "client_store_percent": 50}
    with client_at(disk.path / "s.db", **settings) as stranger:
        for _ in range(64):
            answer = stranger.post("/reset", json={})
            if answer.status_code == 200:
                body = {"episode_id": answer.json()["episode_id"], "action": BIG}
                answer = stranger.post("/step", json=body)
            statuses.append(answer.status_code)
        assert statuses == sorted(statuses)
        assert set(statuses) == {200, 429}
        assert int(answer.headers["retry-after"]) > 600
        assert "your share" in answer.json()["detail"]
    with client_at(disk.path / "s.db", "198.51.100.1", **settings) as other:
        assert other.get("/ready").status_code == 200
        assert other.post("/reset", json={}).status_code == 200


def test_client_share_does_not_limit_token_holders(tmp_path: Path) -> None:
    limits: dict[str, Any] = {"max_stored_episodes": 10, "client_store_percent": 20}
    token = "a-token-long-enough"
    headers = {"authorization": f"Bearer {token}"}
    with client_at(tmp_path / "a.db", **limits) as client:
        assert [client.post("/reset", json={}).status_code for _ in range(3)] == [200, 200, 429]
    with client_at(tmp_path / "b.db", token=token, **limits) as client:
        statuses = [client.post("/reset", json={}, headers=headers).status_code for _ in range(11)]
        assert statuses == [200] * 10 + [503]
        assert client.get("/ready").status_code == 200  # those that run go on
        assert client.post("/reset", json={}).status_code == 401


def test_a_finished_episode_makes_room_for_its_client_s_next(tmp_path: Path) -> None:
    limits: dict[str, Any] = {"max_stored_episodes": 10, "client_store_percent": 20}
    with client_at(tmp_path / "s.db", **limits) as client:
        for _ in range(5):
            episode_id = client.post("/reset", json={}).json()["episode_id"]
            body = {"episode_id": episode_id, "action": {"classifications": []}}
            assert client.post("/step", json=body).json()["done"]
            state = client.get("/state", params={"episode_id": episode_id}).json()
            assert state["status"] == "evaluated" or state["status"] == "completed"


def test_websocket_reports_an_unavailable_store_and_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise StoreUnavailableError("The episode store is gone.")

    with client_at(tmp_path / "s.db") as client:
        player_id = client.post("/reset", json={}).json()["player_id"]
        step = {"type": "step", "data": LIST}
        with client.websocket_connect(f"/ws?session_id={player_id}") as socket:
            socket.send_json(step)  # the connection has found its episode by the time it answers
            assert socket.receive_json()["type"] == "observation"
            with monkeypatch.context() as patched:
                patched.setattr(SqliteDatabase, "run_transaction", broken)
                socket.send_json(step)
                error = socket.receive_json()
                assert error["type"] == "error"
                assert error["data"]["retry_after_s"] == 5
                assert client.get("/ready").status_code == 503
                # Whoever comes now, or leaves with an episode to keep, is served all the same.
                with client.websocket_connect(f"/ws?session_id={player_id}") as late:
                    assert "store" in late.receive_json()["data"]["message"]
                with client.websocket_connect("/ws") as playing:
                    playing.send_json({"type": "reset"})
                    assert playing.receive_json()["type"] == "observation"
            assert client.get("/ready").status_code == 200
            socket.send_json(step)
            assert socket.receive_json()["type"] == "observation"


def test_a_readiness_answer_is_kept_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def check(_: SqliteStore) -> None:
        asked.append("check")

    monkeypatch.setattr("openenv_kit.serving.http.readiness.READY_CACHE_S", 3600.0)
    monkeypatch.setattr(SqliteStore, "require_store_is_writable", check)
    with client_at(tmp_path / "s.db", token="a-token-long-enough") as client:
        for _ in range(5):
            assert client.get("/ready").status_code == 200  # without the token
    assert asked == ["check"]


async def test_a_repeated_request_of_an_episode_that_is_gone_is_unknown(tmp_path: Path) -> None:
    workers = [EpisodeService(Settings(episode_store=str(tmp_path / "s.db"))) for _ in range(2)]
    handle = (await workers[0].reset({"seed": 5, "episode_id": "mine"})).access
    assert handle is not None
    plain = EpisodeAccess(handle.episode_id)
    first = await workers[0].step(plain, LIST, "one")
    assert await workers[0].step(plain, LIST, "one") == first
    with sqlite3.connect(tmp_path / "s.db") as db:
        db.execute("DELETE FROM episodes")
    db.close()
    with pytest.raises(UnknownEpisodeError):
        await workers[0].step(plain, LIST, "one")
    # Started over elsewhere, it has never heard of that request.
    await workers[1].reset({"seed": 6, "episode_id": "mine"})
    assert (await workers[0].step(plain, LIST, "one")) != first
    assert (await workers[1].get_progress_without_id_for_players(plain))["step_count"] == 1
    for worker in workers:
        await worker.close_store_and_clear_cache()


async def test_dropped_session_that_cannot_be_stored_is_discarded(tmp_path: Path) -> None:
    chosen = Settings(episode_store=str(tmp_path / "s.db"), max_stored_episodes=1)
    episodes = EpisodeService(chosen)
    await episodes.reset({"seed": 1})
    play = LiveEpisode()
    play.reset({"seed": 2})
    assert not await episodes.try_to_store_disconnected_episode(play)
    await episodes.close_store_and_clear_cache()


async def test_store_closes_after_running_calls() -> None:
    store, held = SqliteStore("memory", StoreLimits()), threading.Event()
    store._thread.submit(held.wait)
    making = asyncio.create_task(store.create_or_replace_episode("mine", NewEpisode("http", b"{}")))
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    held.set()
    await closing
    assert await making
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        store._database.connection.execute("SELECT 1")


def test_a_caller_without_an_id_has_one_episode_on_all_workers_of_a_store(tmp_path: Path) -> None:
    def begun(store: str, caller: str = "", **host: Any) -> str:
        settings = Settings(episode_store=str(tmp_path / store))
        with TestClient(build_app(settings, get_environment("firewatch")), **host) as client:
            body = {"task_id": "task_easy_oom_baseline"}
            return str(client.post(f"{caller}/reset", json=body).json()["episode_id"])

    def steps(store: str) -> int:
        settings = Settings(episode_store=str(tmp_path / store))
        with TestClient(build_app(settings, get_environment("firewatch"))) as client:
            client.post("/as/a/step", json={"action": {"action_type": "escalate"}})
            return int(client.get("/as/a/state").json()["step_count"])

    here = begun("s.db", "/as/a")
    assert begun("s.db", "/as/a") == here  # by another worker, or after a restart
    assert steps("s.db") == 1
    assert steps("s.db") == 2
    others = {
        "named otherwise": begun("s.db", "/as/b"),
        "without a name": begun("s.db"),
        "of another address": begun("s.db", client=("10.0.0.9", 1)),
        "in another store": begun("t.db", "/as/a"),
    }
    assert len({*others.values(), here}) == 5, (here, others)
