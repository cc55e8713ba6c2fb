"""The roles of trainer and player."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
from starlette.testclient import TestClient

from openenv_kit.serving.app import build_app
from openenv_kit.serving.settings import Settings
from support.episode_servers import (
    TOKEN_SETTINGS,
    build_game_app,
    call_mcp_tool,
    client_with_token,
    open_mcp_session,
    start_episode,
    token_header,
)
from support.playable_environments import Game
from support.server_requests import call_mcp, read_episode, send_message

CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}


def rpc(client: TestClient, method: str, query: str = "", **params: Any) -> httpx.Response:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return client.post(f"/mcp{query}", json=body)


def reset_on(socket: Any, data: dict[str, Any]) -> dict[str, Any]:
    socket.send_json({"type": "reset", "data": data})
    return dict(socket.receive_json()["data"])


def test_player_id_does_not_contain_the_episode_id(
    game_client: TestClient,
    game: Game,
) -> None:
    first = start_episode(game_client, game)
    second = start_episode(game_client, game)
    assert (
        len({each[name] for each in (first, second) for name in ("episode_id", "player_id")}) == 4
    )
    assert len(first["player_id"].removeprefix("pl-")) * 4 >= 128
    step = game_client.post(
        "/step", json={"player_id": first["player_id"], "action": game.look.action}
    )
    assert step.json()["observation"]["status"] == game.looked
    assert first["episode_id"] not in step.text
    assert read_episode(game_client, first["episode_id"])["step_count"] == 1
    assert read_episode(game_client, second["episode_id"])["step_count"] == 0
    with game_client.websocket_connect("/ws") as socket:
        names = send_message(socket, "reset", game.opening)["metadata"]
        assert names["player_id"] != names["episode_id"]


def test_player_id_cannot_reset_resume_or_read_the_episode(
    game_client: TestClient,
    game: Game,
) -> None:
    started = start_episode(game_client, game)
    player, episode_id = started["player_id"], started["episode_id"]
    assert game_client.get("/state", params={"episode_id": player}).status_code == 404
    with game_client.websocket_connect("/ws") as socket:
        observation = send_message(socket, "reset", {"episode_id": player, "resume": True})[
            "observation"
        ]
        assert observation["status"] == "error"
    game_client.post("/reset", json={**game.solved[0], "episode_id": player})
    game_client.post("/step", json={"player_id": player, "action": game.look.action})
    assert read_episode(game_client, episode_id)["step_count"] == 1
    with game_client.websocket_connect(f"/ws?session_id={episode_id}") as socket:
        assert socket.receive_json()["data"]["code"] == "SESSION_ERROR"


def test_player_cannot_replace_the_episode(game_client: TestClient, game: Game) -> None:
    started = start_episode(game_client, game)
    session = open_mcp_session(game_client, f"?player_id={started['player_id']}")
    assert session["mcp-session-id"] != started["episode_id"]
    easier = {**game.solved[0], "episode_id": session["mcp-session-id"]}
    own = game_client.post("/reset", json=easier)
    assert own.json()["episode_id"] != started["episode_id"]
    answer = call_mcp_tool(game_client, session, game.final)
    assert answer["_meta"]["reward"] == 0.0
    found = read_episode(game_client, started["episode_id"])
    assert (found["task_id"], found["step_count"]) == (game.opening["task_id"], 1)


def test_a_players_websocket_plays_and_is_refused_a_reset(
    game_client: TestClient, game: Game
) -> None:
    started = start_episode(game_client, game)
    with game_client.websocket_connect(f"/ws?session_id={started['player_id']}") as socket:
        refused = send_message(socket, "reset", game.solved[0])["observation"]
        assert refused["status"] == "error"
        assert "trainer" in refused["message"]
        assert (
            send_message(socket, "step", game.look.action)["observation"]["status"] == game.looked
        )
        request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
        tool = {**request, "params": game.look.params}
        assert send_message(socket, "mcp", tool)["result"]["isError"] is False
        state = send_message(socket, "state")
        assert (state["step_count"], state["episode_id"]) == (2, None)
        assert started["episode_id"] not in json.dumps(state)
        socket.send_json({"type": "close"})
        assert socket.receive()["type"] == "websocket.close"
    assert read_episode(game_client, started["episode_id"])["status"] == "running"


def test_deleted_player_session_ends_the_episode_and_keeps_its_record(
    game_client: TestClient,
    game: Game,
) -> None:
    started = start_episode(game_client, game)
    session = open_mcp_session(game_client, f"?player_id={started['player_id']}")
    call_mcp_tool(game_client, session, game.look)
    with game_client.websocket_connect(f"/ws?session_id={started['player_id']}") as socket:
        assert game_client.delete("/mcp", headers=session).status_code == 204
        assert "closed" in send_message(socket, "step", game.look.action)["message"]
        assert socket.receive()["code"] == 4408
    assert game_client.delete("/mcp", headers=session).status_code == 404
    assert call_mcp(game_client, "tools/list", session).status_code == 404
    for handle in ("episode_id", "player_id"):
        body = {handle: started[handle], "action": game.look.action}
        assert game_client.post("/step", json=body).status_code == 409
    found = read_episode(game_client, started["episode_id"])
    assert (found["status"], found["step_count"], found["score"]) == ("closed", 1, 0.0)


def test_closed_framework_session_keeps_the_record(game_client: TestClient, game: Game) -> None:
    started = start_episode(game_client, game)
    params = {"session_id": started["player_id"]}
    assert (
        call_mcp(game_client, "openenv/session/close", **params).json()["result"]["closed"] is True
    )
    assert "error" in call_mcp(game_client, "openenv/session/close", **params).json()
    assert read_episode(game_client, started["episode_id"])["status"] == "closed"


def test_player_token_allows_player_routes_only(game: Game, tmp_path: Any) -> None:
    tokens = TOKEN_SETTINGS
    app = build_game_app(game, episode_store=str(tmp_path / "s.db"), **tokens)
    with client_with_token(app, "trainer") as trainer, client_with_token(app, "player") as player:
        started = start_episode(trainer, game)
        with player.websocket_connect("/ws") as socket:
            assert "player_id" in socket.receive_json()["data"]["message"]
        with player.websocket_connect(f"/ws?session_id={started['player_id']}") as socket:
            observation = send_message(socket, "step", game.look.action)["observation"]
            assert observation["status"] == game.looked
        for handle, status in (("episode_id", 403), ("player_id", 200)):
            body = {handle: started[handle], "action": game.look.action}
            assert player.post("/step", json=body).status_code == status
        for query in (
            "",
            f"?episode_id={started['episode_id']}",
            f"?task_id={game.opening['task_id']}",
        ):
            assert (
                "trainer's token"
                in call_mcp(player, "initialize", path=f"/mcp{query}").json()["error"]["message"]
            )
            assert "mcp-session-id" in call_mcp(trainer, "initialize", path=f"/mcp{query}").headers
            with player.websocket_connect(f"/mcp{query}") as socket:
                request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
                socket.send_json({**request, "params": game.look.params})
                assert "trainer's token" in socket.receive_json()["error"]["message"]
        assert read_episode(trainer, started["episode_id"])["step_count"] == 2


# What MCP's transport wants.


def test_player_token_starts_no_task_over_any_interface(game: Game, tmp_path: Path) -> None:
    app = build_app(
        Settings(episode_store=str(tmp_path / "s.db"), **TOKEN_SETTINGS), game.environment
    )
    split = game.environment.splits.list_playable_split_names()[0]
    task = game.environment.splits.task(split, 7).reset_arguments()
    with (
        TestClient(app, headers=token_header("trainer")) as trainer,
        TestClient(app, headers=token_header("player")) as player,
    ):
        started = trainer.post("/reset", json=task).json()
        assert player.post("/reset", json=task).status_code == 403
        for query in ("", f"?task_id={split}-7", f"?episode_id={started['episode_id']}"):
            for method in ("initialize", "openenv/session/create"):
                answer = rpc(player, method, query)
                assert "?player_id=" in answer.json()["error"]["message"]
                assert "mcp-session-id" not in answer.headers
            with player.websocket_connect(f"/mcp{query}") as socket:
                socket.send_json({**CALL, "params": game.look.params})
                assert "?player_id=" in socket.receive_json()["error"]["message"]
        with player.websocket_connect("/ws") as socket:
            assert "player_id" in socket.receive_json()["data"]["message"]
        with player.websocket_connect(f"/ws?session_id={started['player_id']}") as socket:
            assert "cannot reset" in str(reset_on(socket, task))
        session = rpc(player, "initialize", f"?player_id={started['player_id']}")
        assert session.headers["mcp-session-id"] == started["player_id"]
        assert "mcp-session-id" in rpc(trainer, "initialize").headers
