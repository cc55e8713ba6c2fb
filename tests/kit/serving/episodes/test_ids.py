"""Ids of episodes and players: form, errors and unknown ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from openenv_kit.serving.episodes.ids import (
    SERVER_EPISODE_ID_PATTERN,
    EpisodeAccess,
    EpisodeTooLongError,
    UnknownEpisodeError,
    new_episode_id,
)
from openenv_kit.serving.episodes.service import EpisodeService
from openenv_kit.serving.openenv_adapter import OpenEnvAdapter
from openenv_kit.serving.settings import Settings
from support.episode_servers import await_stored_episode
from support.playable_environments import Game
from support.server_requests import read_episode, send_message

LIST = {"analysis_method": "list_dates"}


def episodes_at(path: Path, **more: Any) -> EpisodeService:
    return EpisodeService(Settings(episode_store=str(path), **more))


def reset_on(socket: Any, data: dict[str, Any]) -> dict[str, Any]:
    socket.send_json({"type": "reset", "data": data})
    return dict(socket.receive_json()["data"])


HALF = "\ud800"


def test_half_of_a_surrogate_pair_is_refused_in_every_id(
    game_client: TestClient, game: Game
) -> None:
    def post(path: str, body: Any, **headers: str) -> httpx.Response:
        given = {"content-type": "application/json", **headers}
        return game_client.post(path, content=json.dumps(body), headers=given)

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
    with game_client.websocket_connect("/ws") as socket:
        for data in ({"episode_id": HALF}, {"episode_id": HALF, "resume": True}):
            socket.send_text(json.dumps({"type": "reset", "data": data}))
            assert socket.receive_json()["data"]["observation"]["status"] == "error"


def test_a_step_names_the_episode_or_the_player_and_not_both(game_client: TestClient) -> None:
    answer = game_client.post("/step", json={"episode_id": "a", "player_id": "b", "action": {}})
    assert answer.status_code == 422
    assert "one of them" in answer.text


def test_id_of_the_players_form_is_rejected_as_episode_id(trainer: TestClient, game: Game) -> None:
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


def test_id_of_the_servers_form_cannot_be_chosen(
    game: Game,
    workers: list[TestClient],
) -> None:
    with workers[0].websocket_connect("/ws") as socket:
        episode_id = send_message(socket, "reset", game.opening)["metadata"]["episode_id"]
        send_message(socket, "step", game.look.action)
        body = {**game.opening, "episode_id": episode_id}
        for worker in workers:
            answer = worker.post("/reset", json=body).json()
            assert answer["episode_id"] is None
            assert "gives out itself" in answer["observation"]["message"]
        with workers[1].websocket_connect("/ws") as other:
            assert send_message(other, "reset", body)["observation"]["status"] == "error"
        assert send_message(socket, "state")["step_count"] == 1
    await_stored_episode(workers[1], episode_id)  # it is stored once its connection is gone
    assert read_episode(workers[1], episode_id)["step_count"] == 1
    assert workers[1].post("/reset", json=body).json()["episode_id"] == episode_id
    assert read_episode(workers[0], episode_id)["timeline"] == 2


def test_ids_of_the_server_are_uuids_that_no_client_would_make() -> None:
    import uuid

    made = {new_episode_id() for _ in range(200)}
    assert len(made) == 200
    for each in made:
        assert SERVER_EPISODE_ID_PATTERN.fullmatch(each)
        assert str(uuid.UUID(each)) == each
        assert uuid.UUID(each).variant == uuid.RFC_4122
    assert not any(
        SERVER_EPISODE_ID_PATTERN.fullmatch(str(make())) for make in (uuid.uuid1, uuid.uuid4)
    )


async def test_an_unknown_id_and_too_long_an_episode_are_refused(tmp_path: Path) -> None:
    episodes = episodes_at(tmp_path / "s.db", max_episode_bytes=2000)
    with pytest.raises(UnknownEpisodeError, match="nobody"):
        await episodes.step(EpisodeAccess("nobody"), LIST)
    episode_id = (await episodes.reset({})).episode_id
    assert episode_id is not None
    with pytest.raises(EpisodeTooLongError, match="2000"):
        await episodes.step(EpisodeAccess(episode_id), {"analysis_method": "x" * 3000})
    assert (await episodes.get_trainer_record(episode_id)).step_count == 0
    await episodes.close()


def test_unknown_episode_is_404_with_a_reason(client: TestClient) -> None:
    for answer in (
        client.post("/step", json={"episode_id": "gone", "action": {}}),
        client.get("/state", params={"episode_id": "gone"}),
    ):
        assert answer.status_code == 404
        assert "'gone'" in answer.json()["detail"]


def test_step_without_an_id_is_an_error_that_names_reset(client: TestClient) -> None:
    answer = client.post("/step", json={"action": LIST})
    assert answer.status_code == 200
    observation = answer.json()["observation"]
    assert observation["status"] == "error"
    assert "episode_id" in observation["message"]
