"""What the trainer reads about an ended episode."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

from support.episode_servers import build_game_app, start_episode
from support.playable_environments import Game, only_the_first
from support.server_requests import read_episode


def test_trainer_reads_the_outcome_only_after_the_end(
    game_client: TestClient,
    game: Game,
) -> None:
    started = start_episode(game_client, game)
    first, last = ({"player_id": started["player_id"], "action": each} for each in game.ending)
    game_client.post("/step", json=first)
    before = read_episode(game_client, started["episode_id"])
    assert (before["status"], before["step_count"]) == ("running", 1)
    hidden = ("score", "reward_breakdown", "config_digest")
    assert [before[name] for name in hidden] == [None, None, None]
    final = game_client.post("/step", json=last).json()
    after = read_episode(game_client, started["episode_id"])
    assert (after["status"], after["step_count"]) == ("completed", 2)
    assert after["score"] == final["reward"]
    assert after["reward_breakdown"] == game.parts(final)


def test_the_outcome_is_the_same_after_a_restart(game: Game, tmp_path: Any) -> None:
    store = str(tmp_path / "s.db")
    reset, actions = game.solved
    with TestClient(build_game_app(game, episode_store=store)) as client:
        episode_id = client.post("/reset", json=reset).json()["episode_id"]
        for action in actions:
            client.post("/step", json={"episode_id": episode_id, "action": action})
        before = read_episode(client, episode_id)
    assert before["score"] == 1.0
    with TestClient(build_game_app(game, episode_store=store)) as client:
        assert read_episode(client, episode_id) == before


@only_the_first
def test_more_steps_than_allowed_are_an_outcome_of_0_without_a_breakdown(
    game_client: TestClient,
    game: Game,
) -> None:
    episode_id = game_client.post("/reset", json={"seed": 3, "max_steps": 1}).json()["episode_id"]
    for _ in range(2):
        game_client.post("/step", json={"episode_id": episode_id, "action": game.look.action})
    found = read_episode(game_client, episode_id)
    assert (found["status"], found["score"], found["reward_breakdown"]) == ("completed", 0.0, None)
