"""Starting an episode over: its start count rises, and earlier players can no longer act."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from openenv_kit.reply import observation_from_reply
from openenv_kit.serving.episodes.ids import EpisodeAccess, UnknownEpisodeError
from openenv_kit.serving.episodes.service import EpisodeService
from openenv_kit.serving.settings import Settings
from support.playable_environments import Game
from support.server_requests import read_episode, send_message

LIST = {"analysis_method": "list_dates"}


def episodes_at(path: Path, **more: Any) -> EpisodeService:
    return EpisodeService(Settings(episode_store=str(path), **more))


def test_start_over_raises_the_start_count_and_changes_the_player_id(
    game_client: TestClient, game: Game
) -> None:
    first = game_client.post("/reset", json={**game.opening, "episode_id": "mine"}).json()
    game_client.post("/step", json={"player_id": first["player_id"], "action": game.look.action})
    assert read_episode(game_client, "mine")["timeline"] == 1
    second = game_client.post("/reset", json={**game.opening, "episode_id": "mine"}).json()
    assert second["player_id"] != first["player_id"]
    body = {"player_id": first["player_id"], "action": game.look.action}
    assert game_client.post("/step", json=body).status_code == 404
    found = read_episode(game_client, "mine")
    assert (found["timeline"], found["step_count"]) == (2, 0)


def test_episode_started_over_rejects_its_earlier_connection(
    game: Game,
    workers: list[TestClient],
) -> None:
    with workers[0].websocket_connect("/ws") as socket:
        send_message(socket, "reset", {**game.opening, "episode_id": "mine"})
        send_message(socket, "step", game.look.action)
        workers[1].post("/reset", json={**game.opening, "episode_id": "mine"})
        assert "started again" in send_message(socket, "step", game.final.action)["message"]
    found = read_episode(workers[0], "mine")
    assert (found["step_count"], found["timeline"]) == (0, 2)


@pytest.mark.slow
def test_episode_started_over_after_close_is_playable_on_every_worker(
    game: Game,
    workers: list[TestClient],
) -> None:
    named = {**game.opening, "episode_id": "mine"}
    player = workers[0].post("/reset", json=named).json()["player_id"]
    workers[0].delete("/mcp", headers={"mcp-session-id": player})
    assert read_episode(workers[1], "mine")["status"] == "closed"
    workers[0].post("/reset", json=named)
    answer = workers[1].post("/step", json={"episode_id": "mine", "action": game.look.action})
    assert answer.json()["observation"]["status"] == game.looked


def test_player_connection_is_closed_when_the_trainer_starts_over(
    game: Game,
    workers: list[TestClient],
) -> None:
    named = {**game.opening, "episode_id": "mine"}
    player = workers[0].post("/reset", json=named).json()["player_id"]
    with workers[0].websocket_connect(f"/ws?session_id={player}") as socket:
        send_message(socket, "step", game.look.action)
        workers[1].post("/reset", json=named)
        assert player in send_message(socket, "step", game.final.action)["message"]
        assert socket.receive()["code"] == 4408
    assert read_episode(workers[0], "mine")["step_count"] == 0


def test_connection_can_start_its_own_episode_over(game: Game, workers: list[TestClient]) -> None:
    named = {**game.opening, "episode_id": "mine"}
    with workers[0].websocket_connect("/ws") as socket:
        for timeline in (1, 2):
            send_message(socket, "reset", named)
            assert (
                send_message(socket, "step", game.look.action)["observation"]["status"]
                == game.looked
            )
            found = read_episode(workers[1], "mine")
            assert (found["step_count"], found["timeline"]) == (1, timeline)


async def test_episode_started_over_by_another_worker_rejects_old_steps(
    tmp_path: Path,
) -> None:
    first, second = episodes_at(tmp_path / "s.db"), episodes_at(tmp_path / "s.db")
    await first.reset({"episode_id": "mine", "seed": 1})
    await first.step(EpisodeAccess("mine"), {"classifications": []})
    await second.reset({"episode_id": "mine", "seed": 2})
    reply = await first.step(EpisodeAccess("mine"), LIST)
    session = EpisodeSession()
    session.reset(seed=2)
    expected = observation_from_reply(session.step(LIST))
    assert reply["observation"]["analysis_result"] == expected["analysis_result"]
    await first.close_store_and_clear_cache()
    await second.close_store_and_clear_cache()


async def test_player_id_of_an_earlier_start_cannot_step(tmp_path: Path) -> None:
    episodes = episodes_at(tmp_path / "s.db")
    first = await episodes.reset({"seed": 5, "episode_id": "mine"})
    old = await episodes.find_access_by_player_id(first.player_id)
    again = await episodes.reset({"seed": 6, "episode_id": "mine"})
    new = await episodes.find_access_by_player_id(again.player_id)
    with pytest.raises(UnknownEpisodeError):
        await episodes.step(old, LIST)
    assert (await episodes.get_progress_without_id_for_players(new))["step_count"] == 0
    await episodes.close_store_and_clear_cache()
