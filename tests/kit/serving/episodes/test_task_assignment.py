"""Tasks of anonymous sessions."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from openenv_kit.environment import get_environment
from openenv_kit.errors import InvalidValueError
from openenv_kit.serving.app import build_app
from openenv_kit.serving.episodes.service import EpisodeService
from openenv_kit.serving.episodes.task_assignment import SplitUsedUpError
from openenv_kit.serving.http.environment_mounts import load_and_validate_other_environments
from openenv_kit.serving.settings import Settings, load_settings
from openenv_kit.serving.store.errors import StoreFullError
from support.episode_servers import (
    build_game_app,
    call_mcp_tool,
    open_mcp_session,
)
from support.playable_environments import Game, only_the_first
from support.server_requests import call_mcp

CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}


def rpc(client: TestClient, method: str, query: str = "", **params: Any) -> httpx.Response:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return client.post(f"/mcp{query}", json=body)


@pytest.mark.slow
def test_anonymous_session_gets_a_task_of_the_sessions_split(
    game: Game, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = build_app(Settings(episode_store=str(tmp_path / "s.db")), game.environment)
    tasks = game.tasks_begun(monkeypatch)
    assert "sessions" not in game.environment.splits.list_playable_split_names()
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
def test_anonymous_session_reads_only_the_score(game: Game, split: str) -> None:
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
def test_sessions_closed_without_an_action_use_no_task() -> None:
    """And the order is the store's own: nobody can look for a task by opening again."""
    firsts = []
    for sessions in (10_000, 8):

        async def play(sessions: int) -> tuple[set[Any], set[Any]]:
            settings = Settings(episode_store="memory")
            episodes = EpisodeService(settings, get_environment("pipe_leak"))
            unplayed, played = set(), set()
            for number in range(sessions):
                started = await episodes.start_next_task_of_mcp_split("mcp")
                player = await episodes.find_access_by_player_id(started.player_id)
                task = (await episodes.get_progress_without_id_for_players(player))["task_id"]
                if number % 2_000 == 3:
                    await episodes.step(player, {"tool": "gauge", "segment": 1})
                    assert task not in played
                    played.add(task)
                else:
                    unplayed.add(task)
                await episodes.close_episode_and_release_unplayed_task(player)
            await episodes.close_store_and_clear_cache()
            return unplayed, played

        unplayed, played = asyncio.run(play(sessions))
        assert len(unplayed) <= len(played) + 1
        firsts.append(frozenset(played))
    assert len(firsts[0]) == 5
    assert firsts[0] != firsts[1]


async def test_session_without_space_returns_its_task(
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
            await episodes.start_next_task_of_mcp_split("mcp")
    await episodes.start_next_task_of_mcp_split("mcp")
    with pytest.raises(SplitUsedUpError):
        await episodes.start_next_task_of_mcp_split("mcp")
    await episodes.close_store_and_clear_cache()


async def test_task_is_not_assigned_again_after_its_episode_expired(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = get_environment("pipe_leak")
    monkeypatch.setattr(type(environment.splits), "size", lambda *_: 1)
    settings = Settings(episode_store="memory")
    episodes = EpisodeService(settings, environment)
    player = await episodes.find_access_by_player_id(
        (await episodes.start_next_task_of_mcp_split("mcp")).player_id
    )
    await episodes.step(player, {"tool": "gauge", "segment": 1})
    later = time.time() + 2 * settings.episode_ttl_s
    monkeypatch.setattr("time.time", lambda: later)
    with pytest.raises(SplitUsedUpError):
        await episodes.start_next_task_of_mcp_split("mcp")
    await episodes.close_store_and_clear_cache()


@pytest.mark.slow
def test_anonymous_sessions_never_get_the_same_task_twice(
    game: Game, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = game.tasks_begun(monkeypatch)
    for _ in range(2):  # what was played outlives the server
        app = build_game_app(game, episode_store=str(tmp_path / "s.db"), mcp_split="validation")
        with TestClient(app) as client:
            for _ in range(2):
                assert call_mcp_tool(client, open_mcp_session(client, ""), game.look)["content"]
            params = call_mcp(client, "openenv/session/create").json()["result"]
            answer = call_mcp(client, "tools/call", **params, **game.look.params)
            assert answer.json()["result"]["content"]
            with client.websocket_connect("/mcp") as socket:
                request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
                socket.send_json({**request, "params": game.look.params})
                assert socket.receive_json()["result"]["content"]
    assert all("validation" in name for name in names)
    assert len(names) == 8


def test_used_up_split_is_not_started_again(
    game_client: TestClient, game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(game.environment.splits), "size", lambda *_: 1)
    open_mcp_session(game_client, "")
    for method in ("initialize", "openenv/session/create"):
        message = call_mcp(game_client, method).json()["error"]["message"]
        assert "OPENENV_KIT_MCP_SPLIT" in message
    with game_client.websocket_connect("/mcp") as socket:
        request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
        socket.send_json({**request, "params": game.look.params})
        assert "were assigned" in socket.receive_json()["error"]["message"]


def test_an_unknown_split_is_refused_at_the_start() -> None:
    chosen = load_settings({"OPENENV_KIT_MCP_SPLIT": "trian"})
    with pytest.raises(InvalidValueError, match=r"OPENENV_KIT_MCP_SPLIT.*train, validation"):
        load_and_validate_other_environments(get_environment("metric_tracker_rl"), chosen)
