"""Digest of an episode's configuration, by which trainers compare episodes."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from metric_tracker_rl.engine.configuration import splits
from openenv_kit.variables import SALT_VARIABLE
from support.playable_environments import Game, only_the_first
from support.server_requests import read_episode

SALT = "one salt for tests, of forty characters."


def digest(client: TestClient, game: Game, **reset: Any) -> str:
    """The digest of an episode, once it is over."""
    episode_id = client.post("/reset", json=reset).json()["episode_id"]
    for _ in range(5):
        client.post("/step", json={"episode_id": episode_id, "action": game.ending[-1]})
    return str(read_episode(client, episode_id)["config_digest"])


@pytest.mark.slow
def test_config_digest_differs_exactly_with_the_configuration(
    game_client: TestClient, game: Game
) -> None:
    same = digest(game_client, game, **game.opening)
    for again in game.same:
        assert digest(game_client, game, **again, episode_id="named") == same
    found = [digest(game_client, game, **{**game.opening, **each}) for each in game.changes]
    assert len({same, *found}) == 1 + len(game.changes)


@only_the_first
def test_config_digest_includes_custom_anomalies(game_client: TestClient, game: Game) -> None:
    anomaly = {
        "method_name": "metric_stddev_shift",
        "metric_name": "app_opens",
        "stddev_factor": 5.0,
    }
    dates = game_client.post("/reset", json=game.opening).json()["observation"]["config"]
    own = {"anomalies": [{**anomaly, "date": dates["start_date"]}]}
    assert digest(game_client, game, **game.opening, **own) != digest(
        game_client, game, **game.opening
    )


@only_the_first
def test_a_sealed_digest_is_keyed_so_that_no_guess_of_a_seed_can_be_tried(
    game_client: TestClient, game: Game, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SALT_VARIABLE, SALT)
    config = splits.SPLITS.task(splits.SEALED_SPLIT, 3).config
    sealed = digest(game_client, game, split=splits.SEALED_SPLIT, index=3)
    open_twin = digest(
        game_client,
        game,
        seed=config.seed,
        scenario_family=config.scenario_family,
        difficulty=config.difficulty,
        anomaly_density=config.anomaly_density,
        anomaly_count=config.anomaly_count,
    )
    assert sealed != open_twin
    assert digest(game_client, game, split=splits.SEALED_SPLIT, index=3) == sealed
