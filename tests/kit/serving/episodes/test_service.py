"""Episodes by id over HTTP: several workers, restarts and concurrent requests."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from metric_tracker_rl.policies import get_policy
from openenv_kit.environment import get_environment
from openenv_kit.serving.app import build_app
from openenv_kit.serving.episodes.ids import (
    EpisodeAccess,
    OutdatedEpisodeError,
    UnknownEpisodeError,
)
from openenv_kit.serving.episodes.service import EpisodeService
from openenv_kit.serving.settings import Settings
from support.server_requests import call_mcp, send_message

LIST = {"analysis_method": "list_dates"}


def episodes_at(path: Path, **more: Any) -> EpisodeService:
    return EpisodeService(Settings(episode_store=str(path), **more))


async def test_episode_continues_on_another_worker_and_after_a_restart(tmp_path: Path) -> None:
    first, second = episodes_at(tmp_path / "s.db"), episodes_at(tmp_path / "s.db")
    opening, trainer, player_id, *_ = await first.reset({"seed": 5})
    assert trainer is not None
    episode_id = trainer.episode_id
    assert opening["metadata"] == {"episode_id": episode_id, "player_id": player_id}
    for worker in (first, second, second, first):
        reply = await worker.step(EpisodeAccess(episode_id), LIST)
        assert reply["observation"]["status"] == "analyzed"
    await first.close_store_and_clear_cache()
    await second.close_store_and_clear_cache()
    third = episodes_at(tmp_path / "s.db")
    assert (await third.get_trainer_record(episode_id)).step_count == 4
    await third.close_store_and_clear_cache()


async def test_writers_on_two_workers_take_turns_and_none_is_lost(tmp_path: Path) -> None:
    workers = [episodes_at(tmp_path / "s.db") for _ in range(2)]
    episode_id = (await workers[0].reset({"max_steps": 100})).episode_id
    assert episode_id is not None
    await asyncio.gather(*(workers[n % 2].step(EpisodeAccess(episode_id), LIST) for n in range(40)))
    for worker in workers:
        assert (await worker.get_trainer_record(episode_id)).step_count == 40
        await worker.close_store_and_clear_cache()


async def test_a_request_sent_twice_is_one_step_and_gets_one_answer(tmp_path: Path) -> None:
    workers = [episodes_at(tmp_path / "s.db") for _ in range(2)]
    episode_id = (await workers[0].reset({"seed": 5})).episode_id
    assert episode_id is not None
    submitted = await workers[0].step(EpisodeAccess(episode_id), {"classifications": []}, "final")
    for worker in workers:
        assert (
            await worker.step(EpisodeAccess(episode_id), {"classifications": []}, "final")
            == submitted
        )
    assert submitted["observation"]["status"] == "evaluated"
    late = await workers[1].step(EpisodeAccess(episode_id), LIST, "another")
    assert late["observation"]["status"] == "completed"
    for worker in workers:
        await worker.close_store_and_clear_cache()


async def test_episode_of_another_engine_version_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    episodes = episodes_at(tmp_path / "s.db")
    episode_id = (await episodes.reset({})).episode_id
    assert episode_id is not None
    monkeypatch.setattr(get_environment(), "versions", {"generator": "other"})
    told = r"other versions: .*generator \d+ \(here other\).* POST /reset, .*rolled back"
    for call in (
        episodes.get_trainer_record,
        episodes.resume_episode,
        lambda id: episodes.step(EpisodeAccess(id), {}),
    ):
        with pytest.raises(OutdatedEpisodeError, match=told):
            await call(episode_id)
    with pytest.raises(UnknownEpisodeError):
        await episodes.get_trainer_record("never heard of")
    await episodes.close_store_and_clear_cache()


def test_episode_of_another_version_says_what_to_do_on_every_transport(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(episode_store=str(tmp_path / "s.db"))
    with TestClient(build_app(settings)) as client:
        made = client.post("/reset", json={}).json()
    with TestClient(build_app(settings)) as client:  # after an upgrade
        now = {**get_environment().versions, "generator": "other"}
        monkeypatch.setattr(get_environment(), "versions", now)
        body = {"episode_id": made["episode_id"], "action": {}}
        answer = client.post("/step", json=body)
        assert answer.status_code == 404
        texts = [answer.json()["detail"]]
        session = {"mcp-session-id": made["player_id"]}
        texts.append(
            call_mcp(client, "tools/call", session, name="list_dates").json()["error"]["message"]
        )
        with client.websocket_connect("/ws") as socket:
            resumed = send_message(
                socket, "reset", {"episode_id": made["episode_id"], "resume": True}
            )
            texts.append(resumed["observation"]["message"])
            assert send_message(socket, "reset", {})["observation"]["status"] == "ready"
    for text in texts:
        assert "other versions: generator" in text
        assert "rolled back" in text


def test_the_reference_policy_plays_an_episode_over_http_to_the_full_score(
    client: TestClient,
) -> None:
    answer = client.post("/reset", json={"task_id": "hard_mixed_multi"}).json()
    episode_id = answer["episode_id"]
    moves = get_policy("reference").generate_actions(answer["observation"])
    action = next(moves)
    while not answer["done"]:
        body = {"episode_id": episode_id, "action": json.loads(json.dumps(dict(action)))}
        response = client.post("/step", json=body)
        assert response.status_code == 200
        answer = response.json()
        if not answer["done"]:
            action = moves.send(answer["observation"])
    assert answer["reward"] == 1.0
    state = client.get("/state", params={"episode_id": episode_id}).json()
    assert state["status"] == "completed"


def test_a_reset_that_fails_has_no_id_and_leaves_the_old_episode(client: TestClient) -> None:
    client.post("/reset", json={"episode_id": "kept", "seed": 1})
    client.post("/step", json={"episode_id": "kept", "action": LIST})
    answer = client.post("/reset", json={"episode_id": "kept", "task_id": "easy_singel_spike"})
    assert answer.json()["episode_id"] is None
    assert "easy_single_spike" in answer.json()["observation"]["message"]
    assert client.get("/state", params={"episode_id": "kept"}).json()["step_count"] == 1


def test_internal_error_response_contains_only_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(EpisodeService, "reset", broken)
    app = build_app(Settings(episode_store="memory"))
    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.post("/reset", json={})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "Internal server error" in answer.json()["detail"]


def test_invalid_body_names_the_field_and_is_not_repeated(client: TestClient) -> None:
    answer = client.post("/step", json={"action": "a secret thing"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "action"]
    assert "a secret thing" not in answer.text


def test_a_body_that_nests_too_deeply_is_refused_before_it_is_stored(client: TestClient) -> None:
    episode_id = client.post("/reset", json={}).json()["episode_id"]
    for depth, status in ((20, 200), (70, 400), (5000, 400)):
        action = '{"a":' * depth + "1" + "}" * depth
        body = f'{{"episode_id":"{episode_id}","action":{action}}}'
        headers = {"content-type": "application/json"}
        assert client.post("/step", content=body, headers=headers).status_code == status
    state = client.get("/state", params={"episode_id": episode_id}).json()
    assert state["step_count"] == 1
