"""A player has one door: the handle it was given. Whatever else it tries, it learns nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from openenv_kit.environment import get_environment
from openenv_kit.serving.app import build_app
from openenv_kit.serving.episodes.service import EpisodeService
from openenv_kit.serving.episodes.task_assignment import SplitUsedUpError
from openenv_kit.serving.openenv_adapter import OpenEnvAdapter
from openenv_kit.serving.settings import Settings
from openenv_kit.serving.store.errors import StoreFullError
from support.playable_environments import Game, only_the_first

TOKENS = {"token": "the trainer's own token", "player_token": "the token of all players"}
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}


@pytest.fixture(params=["open", "tokens"])
def trainer(request: pytest.FixtureRequest, game: Game, tmp_path: Path) -> Iterator[TestClient]:
    tokens = TOKENS if request.param == "tokens" else {}
    app = build_app(Settings(episode_store=str(tmp_path / "s.db"), **tokens), game.environment)
    with TestClient(app, headers=bearer("token")) as client:
        yield client


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {TOKENS[name]}"}


def rpc(client: TestClient, method: str, query: str = "", **params: Any) -> httpx.Response:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return client.post(f"/mcp{query}", json=body)


def reset_on(socket: Any, data: dict[str, Any]) -> dict[str, Any]:
    socket.send_json({"type": "reset", "data": data})
    return dict(socket.receive_json()["data"])


def test_what_looks_like_a_handle_is_never_a_name(trainer: TestClient, game: Game) -> None:
    started = trainer.post("/reset", json=game.short).json()
    handle = started["player_id"]
    for name in (handle, handle.upper(), f" {handle}", f"pl-{'0' * 32}", "pl-mine"):
        refused = trainer.post("/reset", json={**game.short, "episode_id": name}).json()
        assert refused["episode_id"] is None
        assert refused["player_id"] is None
        with trainer.websocket_connect("/ws") as socket:
            said = str(reset_on(socket, {**game.short, "episode_id": name}))
            assert "pl-" in said
            assert "begin" in said
            said = str(reset_on(socket, {"episode_id": name, "resume": True}))
            assert "unknown" in said
        framework = OpenEnvAdapter(game.environment)
        assert "begin" in str(framework.reset(episode_id=name, **game.short))
        assert trainer.get("/state", params={"episode_id": name}).status_code == 404
        step = {"episode_id": name, "action": game.final.action}
        assert trainer.post("/step", json=step).status_code == 404
    # The handle still plays what it was given for.
    step = {"player_id": handle, "action": game.look.action}
    assert trainer.post("/step", json=step).json()["done"] is False


def test_a_players_token_opens_no_task_by_any_door(game: Game, tmp_path: Path) -> None:
    app = build_app(Settings(episode_store=str(tmp_path / "s.db"), **TOKENS), game.environment)
    split = game.environment.splits.names()[0]
    task = game.environment.splits.task(split, 7).reset_arguments()
    with (
        TestClient(app, headers=bearer("token")) as trainer,
        TestClient(app, headers=bearer("player_token")) as player,
    ):
        started = trainer.post("/reset", json=task).json()
        assert player.post("/reset", json=task).status_code == 403
        for query in ("", f"?task_id={split}-7", f"?episode_id={started['episode_id']}"):
            for method in ("initialize", "openenv/session/create"):
                answer = rpc(player, method, query)
                assert "handed to it" in answer.json()["error"]["message"]
                assert "mcp-session-id" not in answer.headers
            with player.websocket_connect(f"/mcp{query}") as socket:
                socket.send_json({**CALL, "params": game.look.params})
                assert "handed to it" in socket.receive_json()["error"]["message"]
        with player.websocket_connect("/ws") as socket:
            assert "player_id" in socket.receive_json()["data"]["message"]
        with player.websocket_connect(f"/ws?session_id={started['player_id']}") as socket:
            assert "cannot reset" in str(reset_on(socket, task))
        session = rpc(player, "initialize", f"?player_id={started['player_id']}")
        assert session.headers["mcp-session-id"] == started["player_id"]
        assert "mcp-session-id" in rpc(trainer, "initialize").headers


@pytest.mark.slow
def test_sessions_without_an_episode_play_what_no_trainer_resets(
    game: Game, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = build_app(Settings(episode_store=str(tmp_path / "s.db")), game.environment)
    tasks = game.tasks_begun(monkeypatch)
    assert "sessions" not in game.environment.splits.names()
    with TestClient(app) as client:
        for _ in range(5):
            session = {"session_id": rpc(client, "initialize").headers["mcp-session-id"]}
            result = rpc(client, "tools/call", **session, **game.look.params).json()["result"]
            assert result["content"]
        with client.websocket_connect("/mcp") as socket:
            socket.send_json({**CALL, "params": game.look.params})
            assert socket.receive_json()["result"]["content"]
        assert all(task.startswith("sessions") for task in tasks)
        assert len(tasks) == 6


@only_the_first
@pytest.mark.parametrize("split", ["sessions", "train"])
def test_a_session_without_an_episode_is_told_the_score_only(game: Game, split: str) -> None:
    app = build_app(Settings(episode_store="memory", mcp_split=split), game.environment)
    rows = [{"date": "2022-05-13", "entity_type": "event_count", "entity_name": "app_opens"}]
    with TestClient(app) as client:
        session = {"session_id": rpc(client, "initialize").headers["mcp-session-id"]}
        call = {"name": "submit_solution", "arguments": {"rows": rows}}
        final = rpc(client, "tools/call", **session, **call).json()["result"]
        with client.websocket_connect("/mcp") as socket:
            socket.send_json({**CALL, "params": call})
            again = socket.receive_json()["result"]
    for result in (final, again):
        content = result["structuredContent"]
        assert result["_meta"]["done"] is True
        assert not result["_meta"].get("info")
        assert content["message"].startswith("Score 0.")
        assert "submission_issues" not in content
        assert "submitted_rows" not in content
        assert "expected_row_count" not in content
        assert set(content["reward_breakdown"].values()) <= {0, None}


@pytest.mark.slow
def test_ten_thousand_sessions_opened_and_closed_use_up_nothing() -> None:
    """And the order is the store's own: nobody can look for a task by opening again."""
    firsts = []
    for sessions in (10_000, 8):

        async def play(sessions: int) -> tuple[set[Any], set[Any]]:
            settings = Settings(episode_store="memory")
            episodes = EpisodeService(settings, get_environment("pipe_leak"))
            unplayed, played = set(), set()
            for number in range(sessions):
                started = await episodes.start_assigned_task("mcp")
                player = await episodes.find_player_access(started.player_id)
                task = (await episodes.get_state(player))["task_id"]
                if number % 2_000 == 3:
                    await episodes.step(player, {"tool": "gauge", "segment": 1})
                    assert task not in played
                    played.add(task)
                else:
                    unplayed.add(task)
                await episodes.close_episode(player)
            await episodes.close()
            return unplayed, played

        unplayed, played = asyncio.run(play(sessions))
        assert len(unplayed) <= len(played) + 1
        firsts.append(frozenset(played))
    assert len(firsts[0]) == 5
    assert firsts[0] != firsts[1]


async def test_a_session_that_found_no_room_gives_its_task_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = get_environment("pipe_leak")
    monkeypatch.setattr(type(environment.splits), "size", lambda *_: 1)
    episodes = EpisodeService(Settings(episode_store="memory"), environment)

    async def full(*_: Any, **__: Any) -> str:
        raise StoreFullError("full", 5)

    with monkeypatch.context() as patched:
        patched.setattr(episodes._loader, "store_new_episode", full)
        with pytest.raises(StoreFullError):
            await episodes.start_assigned_task("mcp")
    await episodes.start_assigned_task("mcp")
    with pytest.raises(SplitUsedUpError):
        await episodes.start_assigned_task("mcp")
    await episodes.close()


async def test_a_played_task_is_not_given_out_again_after_its_episode_expired(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = get_environment("pipe_leak")
    monkeypatch.setattr(type(environment.splits), "size", lambda *_: 1)
    settings = Settings(episode_store="memory")
    episodes = EpisodeService(settings, environment)
    player = await episodes.find_player_access(
        (await episodes.start_assigned_task("mcp")).player_id
    )
    await episodes.step(player, {"tool": "gauge", "segment": 1})
    later = time.time() + 2 * settings.episode_ttl_s
    monkeypatch.setattr("time.time", lambda: later)
    with pytest.raises(SplitUsedUpError):
        await episodes.start_assigned_task("mcp")
    await episodes.close()
