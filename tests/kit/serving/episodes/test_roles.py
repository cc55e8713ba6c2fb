"""Two roles: the trainer starts and reads an episode, the player can only play it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from metric_tracker_rl.engine.configuration import splits
from openenv_kit.environment import get_environment
from openenv_kit.errors import InvalidValueError
from openenv_kit.sealed_split import SALT_VARIABLE
from openenv_kit.serving.app import build_app
from openenv_kit.serving.http.environment_mounts import resolve_mounted_environments
from openenv_kit.serving.settings import Settings, load_settings
from support.playable_environments import Call, Game, only_the_first
from support.server_requests import ask, record, rpc

SALT = "one salt for tests, of forty characters."


@pytest.fixture
def client(game: Game) -> Iterator[TestClient]:
    with TestClient(app_of(game, episode_store="memory")) as client:
        yield client


def app_of(game: Game, **settings: Any) -> Any:
    return build_app(Settings(**settings), game.environment)


def start(client: TestClient, game: Game) -> dict[str, Any]:
    """An episode that no other client has, with room for practice."""
    return dict(client.post(game.fresh_reset(), json={**game.opening, **game.practice}).json())


def attached(client: TestClient, query: str) -> dict[str, str]:
    return {
        "mcp-session-id": rpc(client, "initialize", path=f"/mcp{query}").headers["mcp-session-id"]
    }


def call(client: TestClient, session: dict[str, str], made: Call) -> Any:
    response = rpc(client, "tools/call", session, **made.params)
    return response.json()["result"]


TOKENS = {role: f"the {role}'s token, long enough" for role in ("trainer", "player")}


def holder(app: Any, role: str) -> TestClient:
    """A client that shows a role's token."""
    return TestClient(app, headers={"authorization": f"Bearer {TOKENS[role]}"})


def test_a_reset_gives_the_player_a_handle_that_does_not_tell_the_trainers(
    client: TestClient,
    game: Game,
) -> None:
    first = start(client, game)
    second = start(client, game)
    assert (
        len({each[name] for each in (first, second) for name in ("episode_id", "player_id")}) == 4
    )
    assert len(first["player_id"].removeprefix("pl-")) * 4 >= 128
    step = client.post("/step", json={"player_id": first["player_id"], "action": game.look.action})
    assert step.json()["observation"]["status"] == game.looked
    assert first["episode_id"] not in step.text
    assert record(client, first["episode_id"])["step_count"] == 1
    assert record(client, second["episode_id"])["step_count"] == 0
    with client.websocket_connect("/ws") as socket:
        names = ask(socket, "reset", game.opening)["metadata"]
        assert names["player_id"] != names["episode_id"]


def test_a_players_handle_neither_resets_nor_resumes_nor_reads_the_record(
    client: TestClient,
    game: Game,
) -> None:
    started = start(client, game)
    player, episode_id = started["player_id"], started["episode_id"]
    assert client.get("/state", params={"episode_id": player}).status_code == 404
    with client.websocket_connect("/ws") as socket:
        observation = ask(socket, "reset", {"episode_id": player, "resume": True})["observation"]
        assert observation["status"] == "error"
    client.post("/reset", json={**game.solved[0], "episode_id": player})
    client.post("/step", json={"player_id": player, "action": game.look.action})
    assert record(client, episode_id)["step_count"] == 1
    with client.websocket_connect(f"/ws?session_id={episode_id}") as socket:
        assert socket.receive_json()["data"]["code"] == "SESSION_ERROR"


def test_an_agent_cannot_replace_the_episode_by_an_easier_one(
    client: TestClient, game: Game
) -> None:
    started = start(client, game)
    session = attached(client, f"?player_id={started['player_id']}")
    assert session["mcp-session-id"] != started["episode_id"]
    easier = {**game.solved[0], "episode_id": session["mcp-session-id"]}
    own = client.post("/reset", json=easier)
    assert own.json()["episode_id"] != started["episode_id"]
    answer = call(client, session, game.final)
    assert answer["_meta"]["reward"] == 0.0
    found = record(client, started["episode_id"])
    assert (found["task_id"], found["step_count"]) == (game.opening["task_id"], 1)


def test_a_players_websocket_plays_and_is_refused_a_reset(client: TestClient, game: Game) -> None:
    started = start(client, game)
    with client.websocket_connect(f"/ws?session_id={started['player_id']}") as socket:
        refused = ask(socket, "reset", game.solved[0])["observation"]
        assert refused["status"] == "error"
        assert "trainer" in refused["message"]
        assert ask(socket, "step", game.look.action)["observation"]["status"] == game.looked
        request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
        tool = {**request, "params": game.look.params}
        assert ask(socket, "mcp", tool)["result"]["isError"] is False
        state = ask(socket, "state")
        assert (state["step_count"], state["episode_id"]) == (2, None)
        assert started["episode_id"] not in json.dumps(state)
        socket.send_json({"type": "close"})
        assert socket.receive()["type"] == "websocket.close"
    assert record(client, started["episode_id"])["status"] == "running"


def test_deleting_a_players_session_ends_the_playing_and_keeps_the_record(
    client: TestClient,
    game: Game,
) -> None:
    started = start(client, game)
    session = attached(client, f"?player_id={started['player_id']}")
    call(client, session, game.look)
    with client.websocket_connect(f"/ws?session_id={started['player_id']}") as socket:
        assert client.delete("/mcp", headers=session).status_code == 204
        assert "closed" in ask(socket, "step", game.look.action)["message"]
        assert socket.receive()["code"] == 4408
    assert client.delete("/mcp", headers=session).status_code == 404
    assert rpc(client, "tools/list", session).status_code == 404
    for handle in ("episode_id", "player_id"):
        body = {handle: started[handle], "action": game.look.action}
        assert client.post("/step", json=body).status_code == 409
    found = record(client, started["episode_id"])
    assert (found["status"], found["step_count"], found["score"]) == ("closed", 1, 0.0)


def test_closing_in_the_frameworks_dialect_keeps_the_record_too(
    client: TestClient, game: Game
) -> None:
    started = start(client, game)
    params = {"session_id": started["player_id"]}
    assert rpc(client, "openenv/session/close", **params).json()["result"]["closed"] is True
    assert "error" in rpc(client, "openenv/session/close", **params).json()
    assert record(client, started["episode_id"])["status"] == "closed"


def test_the_trainer_reads_the_outcome_after_the_end_and_nothing_of_it_before(
    client: TestClient,
    game: Game,
) -> None:
    started = start(client, game)
    first, last = ({"player_id": started["player_id"], "action": each} for each in game.ending)
    client.post("/step", json=first)
    before = record(client, started["episode_id"])
    assert (before["status"], before["step_count"]) == ("running", 1)
    hidden = ("score", "reward_breakdown", "config_digest")
    assert [before[name] for name in hidden] == [None, None, None]
    final = client.post("/step", json=last).json()
    after = record(client, started["episode_id"])
    assert (after["status"], after["step_count"]) == ("completed", 2)
    assert after["score"] == final["reward"]
    assert after["reward_breakdown"] == game.parts(final)


def test_the_outcome_is_the_same_after_a_restart(game: Game, tmp_path: Any) -> None:
    store = str(tmp_path / "s.db")
    reset, actions = game.solved
    with TestClient(app_of(game, episode_store=store)) as client:
        episode_id = client.post("/reset", json=reset).json()["episode_id"]
        for action in actions:
            client.post("/step", json={"episode_id": episode_id, "action": action})
        before = record(client, episode_id)
    assert before["score"] == 1.0
    with TestClient(app_of(game, episode_store=store)) as client:
        assert record(client, episode_id) == before


@only_the_first
def test_more_steps_than_allowed_are_an_outcome_of_0_without_a_breakdown(
    client: TestClient,
    game: Game,
) -> None:
    episode_id = client.post("/reset", json={"seed": 3, "max_steps": 1}).json()["episode_id"]
    for _ in range(2):
        client.post("/step", json={"episode_id": episode_id, "action": game.look.action})
    found = record(client, episode_id)
    assert (found["status"], found["score"], found["reward_breakdown"]) == ("completed", 0.0, None)


def digest(client: TestClient, game: Game, **reset: Any) -> str:
    """The digest of an episode, once it is over."""
    episode_id = client.post("/reset", json=reset).json()["episode_id"]
    for _ in range(5):
        client.post("/step", json={"episode_id": episode_id, "action": game.ending[-1]})
    return str(record(client, episode_id)["config_digest"])


@pytest.mark.slow
def test_the_configurations_digest_tells_equal_from_different(
    client: TestClient, game: Game
) -> None:
    same = digest(client, game, **game.opening)
    for again in game.same:
        assert digest(client, game, **again, episode_id="named") == same
    found = [digest(client, game, **{**game.opening, **each}) for each in game.changes]
    assert len({same, *found}) == 1 + len(game.changes)


@only_the_first
def test_an_anomaly_of_ones_own_is_in_the_digest(client: TestClient, game: Game) -> None:
    anomaly = {
        "method_name": "metric_stddev_shift",
        "metric_name": "app_opens",
        "stddev_factor": 5.0,
    }
    dates = client.post("/reset", json=game.opening).json()["observation"]["config"]
    own = {"anomalies": [{**anomaly, "date": dates["start_date"]}]}
    assert digest(client, game, **game.opening, **own) != digest(client, game, **game.opening)


@only_the_first
def test_a_sealed_digest_is_keyed_so_that_no_guess_of_a_seed_can_be_tried(
    client: TestClient, game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SALT_VARIABLE, SALT)
    config = splits.SPLITS.task(splits.SEALED_SPLIT, 3).config
    sealed = digest(client, game, split=splits.SEALED_SPLIT, index=3)
    open_twin = digest(
        client,
        game,
        seed=config.seed,
        scenario_family=config.scenario_family,
        difficulty=config.difficulty,
        anomaly_density=config.anomaly_density,
        anomaly_count=config.anomaly_count,
    )
    assert sealed != open_twin
    assert digest(client, game, split=splits.SEALED_SPLIT, index=3) == sealed


def test_starting_over_is_a_new_timeline_with_another_player_and_shows(
    client: TestClient, game: Game
) -> None:
    first = client.post("/reset", json={**game.opening, "episode_id": "mine"}).json()
    client.post("/step", json={"player_id": first["player_id"], "action": game.look.action})
    assert record(client, "mine")["timeline"] == 1
    second = client.post("/reset", json={**game.opening, "episode_id": "mine"}).json()
    assert second["player_id"] != first["player_id"]
    body = {"player_id": first["player_id"], "action": game.look.action}
    assert client.post("/step", json=body).status_code == 404
    found = record(client, "mine")
    assert (found["timeline"], found["step_count"]) == (2, 0)


@pytest.mark.slow
def test_sessions_without_an_episode_never_get_the_same_task_twice(
    game: Game, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = game.tasks_begun(monkeypatch)
    for _ in range(2):  # what was played outlives the server
        app = app_of(game, episode_store=str(tmp_path / "s.db"), mcp_split="validation")
        with TestClient(app) as client:
            for _ in range(2):
                assert call(client, attached(client, ""), game.look)["content"]
            params = rpc(client, "openenv/session/create").json()["result"]
            answer = rpc(client, "tools/call", **params, **game.look.params)
            assert answer.json()["result"]["content"]
            with client.websocket_connect("/mcp") as socket:
                request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
                socket.send_json({**request, "params": game.look.params})
                assert socket.receive_json()["result"]["content"]
    assert all("validation" in name for name in names)
    assert len(names) == 8


def test_a_split_that_is_used_up_is_not_started_again(
    client: TestClient, game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(game.environment.splits), "size", lambda *_: 1)
    attached(client, "")
    for method in ("initialize", "openenv/session/create"):
        message = rpc(client, method).json()["error"]["message"]
        assert "OPENENV_KIT_MCP_SPLIT" in message
    with client.websocket_connect("/mcp") as socket:
        request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
        socket.send_json({**request, "params": game.look.params})
        assert "were assigned" in socket.receive_json()["error"]["message"]


def test_an_unknown_split_is_refused_at_the_start() -> None:
    chosen = load_settings({"OPENENV_KIT_MCP_SPLIT": "trian"})
    with pytest.raises(InvalidValueError, match=r"OPENENV_KIT_MCP_SPLIT.*train, validation"):
        resolve_mounted_environments(get_environment("metric_tracker_rl"), chosen)


def test_the_players_token_opens_only_what_a_player_may_do(game: Game, tmp_path: Any) -> None:
    tokens = {"token": TOKENS["trainer"], "player_token": TOKENS["player"]}
    app = app_of(game, episode_store=str(tmp_path / "s.db"), **tokens)
    with holder(app, "trainer") as trainer, holder(app, "player") as player:
        started = start(trainer, game)
        with player.websocket_connect("/ws") as socket:
            assert "player_id" in socket.receive_json()["data"]["message"]
        with player.websocket_connect(f"/ws?session_id={started['player_id']}") as socket:
            observation = ask(socket, "step", game.look.action)["observation"]
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
                in rpc(player, "initialize", path=f"/mcp{query}").json()["error"]["message"]
            )
            assert "mcp-session-id" in rpc(trainer, "initialize", path=f"/mcp{query}").headers
            with player.websocket_connect(f"/mcp{query}") as socket:
                request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
                socket.send_json({**request, "params": game.look.params})
                assert "trainer's token" in socket.receive_json()["error"]["message"]
        assert record(trainer, started["episode_id"])["step_count"] == 2


HALF = "\ud800"


def test_half_of_a_surrogate_pair_is_refused_in_every_id(client: TestClient, game: Game) -> None:
    def post(path: str, body: Any, **headers: str) -> httpx.Response:
        given = {"content-type": "application/json", **headers}
        return client.post(path, content=json.dumps(body), headers=given)

    answer = post("/reset", {"episode_id": HALF})
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", "episode_id"])
    for name in ("episode_id", "player_id", "request_id"):
        body = {"episode_id": "x", **({} if name != "player_id" else {"episode_id": None})}
        answer = post("/step", {**body, name: HALF, "action": {}})
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", name])
    message = {"jsonrpc": "2.0", "id": HALF, "method": "ping"}
    assert "well-formed" in post("/mcp", message).json()["error"]["message"]
    for method in ("tools/call", "openenv/session/close"):
        params = {"session_id": HALF, **game.look.params}
        reply = post("/mcp", {**message, "id": 1, "method": method, "params": params}).json()
        assert reply["error"]["code"] == -32602
    with client.websocket_connect("/ws") as socket:
        for data in ({"episode_id": HALF}, {"episode_id": HALF, "resume": True}):
            socket.send_text(json.dumps({"type": "reset", "data": data}))
            assert socket.receive_json()["data"]["observation"]["status"] == "error"


def test_a_step_names_the_episode_or_the_player_and_not_both(client: TestClient) -> None:
    answer = client.post("/step", json={"episode_id": "a", "player_id": "b", "action": {}})
    assert answer.status_code == 422
    assert "one of them" in answer.text


# What MCP's transport wants.


def test_a_batch_is_refused_and_nothing_of_it_is_played(client: TestClient, game: Game) -> None:
    session = attached(client, "")
    request = {"jsonrpc": "2.0", "method": "tools/call", "params": game.look.params}
    for version in ("2025-03-26", "2025-11-25"):
        headers = {"mcp-protocol-version": version, **session}
        answer = client.post(
            "/mcp", json=[{**request, "id": 1}, {**request, "id": 2}], headers=headers
        )
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (200, -32600)
        assert "one object" in error["message"]
    with client.websocket_connect(f"/ws?session_id={session['mcp-session-id']}") as socket:
        socket.send_json({"type": "state"})
        assert socket.receive_json()["data"]["step_count"] == 0


def test_a_clients_response_is_taken_without_a_word(client: TestClient) -> None:
    for outcome in ({"result": {}}, {"error": {"code": 1, "message": "no"}}):
        answer = client.post("/mcp", json={"jsonrpc": "2.0", "id": 5, **outcome})
        assert (answer.status_code, answer.content) == (202, b"")
    with client.websocket_connect("/mcp") as socket:
        socket.send_json({"jsonrpc": "2.0", "id": 5, "result": {}})
        socket.send_json({"jsonrpc": "2.0", "id": 6, "method": "ping"})
        assert socket.receive_json()["id"] == 6
