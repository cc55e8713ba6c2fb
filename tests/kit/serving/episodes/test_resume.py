"""Resumed episodes keep their actions, counts and limits."""

from __future__ import annotations

import json
import sqlite3
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from openenv_kit.serving.episodes.ids import EpisodeAccess, EpisodeClosedError
from openenv_kit.serving.episodes.live_episode import LiveEpisode
from openenv_kit.serving.episodes.service import EpisodeService
from openenv_kit.serving.settings import Settings
from support.episode_servers import (
    build_game_app,
    close_websocket,
    resume_episode,
)
from support.playable_environments import Game, only_the_first
from support.server_requests import read_episode, send_message

LIST = {"analysis_method": "list_dates"}


def episodes_at(path: Path, **more: Any) -> EpisodeService:
    return EpisodeService(Settings(episode_store=str(path), **more))


@pytest.mark.parametrize("ending", ["close", "drop"])
def test_an_episode_resumed_and_graded_stays_graded(
    game: Game, workers: list[TestClient], ending: str
) -> None:
    first, second = workers
    episode_id = first.post("/reset", json=game.opening).json()["episode_id"]
    with second.websocket_connect("/ws") as socket:
        assert resume_episode(socket, episode_id)["status"] == game.opened
        final = send_message(socket, "step", game.final.action)
        assert final["done"] is True
        if ending == "close":
            close_websocket(socket)
    for worker in workers:
        found = read_episode(worker, episode_id)
        assert (found["status"], found["step_count"]) == ("completed", 1)
        assert found["score"] == final["reward"]
    answer = first.post("/step", json={"episode_id": episode_id, "action": {}})
    if ending == "close":
        assert answer.status_code == 409
    else:
        assert answer.json()["done"] is True
    for worker in workers:
        with worker.websocket_connect("/ws") as socket:
            resume_episode(socket, episode_id)
            parts = game.parts(send_message(socket, "step", {}))
            # Over and over the same, or nothing.
            assert parts in (None, game.parts(final))
    assert read_episode(first, episode_id)["step_count"] == 1


def test_a_dropped_websocket_gives_one_submission_however_often_it_is_resumed(
    game: Game,
    workers: list[TestClient],
) -> None:
    with workers[0].websocket_connect("/ws") as socket:
        episode_id = send_message(socket, "reset", game.opening)["metadata"]["episode_id"]
        send_message(socket, "step", game.look.action)
    graded = []
    for number in range(6):
        with workers[number % 2].websocket_connect("/ws") as socket:
            resume_episode(socket, episode_id)
            graded.append(bool(game.parts(send_message(socket, "step", game.final.action))))
            close_websocket(socket)
    assert graded == [True, *[False] * 5]
    assert read_episode(workers[0], episode_id)["step_count"] == 2


@only_the_first
def test_resumed_episode_keeps_its_practice_submissions(
    game: Game, workers: list[TestClient]
) -> None:
    body = {**game.opening, "max_submissions": 2}
    episode_id = workers[0].post("/reset", json=body).json()["episode_id"]
    with workers[1].websocket_connect("/ws") as socket:
        resume_episode(socket, episode_id)
        assert send_message(socket, "step", {})["observation"]["status"] == "in_progress"
        close_websocket(socket)
    assert read_episode(workers[0], episode_id)["submissions"] == 1
    assert (
        workers[0].post("/step", json={"episode_id": episode_id, "action": {}}).status_code == 409
    )


def test_a_resume_takes_the_episode_from_a_connection_of_another_worker(
    game: Game,
    workers: list[TestClient],
) -> None:
    episode_id = workers[0].post("/reset", json=game.opening).json()["episode_id"]
    with (
        workers[0].websocket_connect("/ws") as before,
        workers[1].websocket_connect("/ws") as after,
    ):
        resume_episode(before, episode_id)
        send_message(before, "step", game.look.action)
        assert "resumed at step 1 of" in resume_episode(after, episode_id)["message"]
        error = send_message(before, "step", game.final.action)
        assert (error["code"], "resumed by another" in error["message"]) == ("SESSION_ERROR", True)
        assert before.receive()["code"] == 4408
        assert send_message(after, "state")["step_count"] == 1
        assert send_message(after, "step", game.final.action)["done"] is True


def test_a_connection_that_lost_its_episode_cannot_close_it(
    game: Game, workers: list[TestClient]
) -> None:
    episode_id = workers[0].post("/reset", json=game.opening).json()["episode_id"]
    with (
        workers[0].websocket_connect("/ws") as before,
        workers[1].websocket_connect("/ws") as after,
    ):
        resume_episode(before, episode_id)
        resume_episode(after, episode_id)
        close_websocket(before)
        assert send_message(after, "step", game.look.action)["observation"]["status"] == game.looked


def test_http_steps_and_a_resumed_connection_are_one_timeline(
    game: Game, workers: list[TestClient]
) -> None:
    episode_id = workers[0].post("/reset", json=game.opening).json()["episode_id"]
    with workers[1].websocket_connect("/ws") as socket:
        resume_episode(socket, episode_id)
        for number in range(3):
            send_message(socket, "step", game.look.action)
            workers[0].post("/step", json={"episode_id": episode_id, "action": game.look.action})
            assert send_message(socket, "state")["step_count"] == 2 * number + 2
        workers[0].post("/step", json={"episode_id": episode_id, "action": game.final.action})
        assert send_message(socket, "step", game.final.action)["done"] is True


def test_two_connections_with_one_id_play_one_episode(
    game: Game,
    workers: list[TestClient],
) -> None:
    named = {**game.opening, "episode_id": "mine"}
    with ExitStack() as stack:
        first, second, third = (
            stack.enter_context(worker.websocket_connect("/ws"))
            for worker in (workers[0], workers[1], workers[0])
        )
        send_message(first, "reset", named)
        send_message(first, "step", game.look.action)
        send_message(second, "reset", named)
        assert "started again" in send_message(first, "step", game.look.action)["message"]
        send_message(second, "step", game.look.action)
        send_message(third, "reset", named)
        assert "started again" in send_message(second, "state")["message"]
        assert send_message(third, "state")["step_count"] == 0
    assert read_episode(workers[1], "mine")["timeline"] == 3


def test_rejected_step_over_the_size_limit_leaves_a_resumed_episode_playable(
    game: Game, tmp_path: Path
) -> None:
    with TestClient(
        build_game_app(game, episode_store=str(tmp_path / "s.db"), max_episode_bytes=2000)
    ) as client:
        episode_id = client.post("/reset", json=game.opening).json()["episode_id"]
        with client.websocket_connect("/ws") as socket:
            resume_episode(socket, episode_id)
            send_message(socket, "step", game.look.action)
            error = send_message(socket, "step", {**game.look.action, "note": "x" * 3000})
            assert "2000 bytes" in error["message"]
            assert (
                send_message(socket, "step", game.look.action)["observation"]["status"]
                == game.looked
            )
        assert read_episode(client, episode_id)["step_count"] == 2


def test_a_repeated_request_of_an_episode_that_is_gone_is_not_answered(
    game: Game,
    tmp_path: Path,
) -> None:
    with TestClient(build_game_app(game, episode_store=str(tmp_path / "s.db"))) as client:

        def again(episode_id: str, **more: Any) -> int:
            body = {
                "episode_id": episode_id,
                "action": game.final.action,
                "request_id": "final",
                **more,
            }
            return client.post("/step", json=body).status_code

        resets = (client.post(game.fresh_reset(), json=game.opening) for _ in range(2))
        expired, closed = (each.json() for each in resets)
        for each in (expired, closed):
            assert [again(each["episode_id"]) for _ in range(2)] == [200, 200]
        with sqlite3.connect(tmp_path / "s.db") as store:
            stored = f"{game.name}/{expired['episode_id']}"
            store.execute("UPDATE episodes SET expires_s = 0 WHERE episode_id = ?", (stored,))
        store.close()
        assert again(expired["episode_id"]) == 404
        assert again(expired["episode_id"], request_id="another") == 404
        headers = {"mcp-session-id": closed["player_id"]}
        assert client.delete("/mcp", headers=headers).status_code == 204
        assert again(closed["episode_id"]) == 409


@only_the_first
def test_a_sealed_episode_is_graded_once(
    game: Game, workers: list[TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENENV_KIT_SEALED_SALT", "one salt for tests, of forty characters.")
    body = {"split": "sealed", "index": 5}
    episode_id = workers[0].post("/reset", json=body).json()["episode_id"]
    scores = []
    for worker in (*workers, *workers):
        with worker.websocket_connect("/ws") as socket:
            resume_episode(socket, episode_id)
            scores.append(
                send_message(socket, "step", game.final.action)["observation"]["reward_breakdown"]
            )
    assert [score is not None for score in scores] == [True, False, False, False]
    found = read_episode(workers[0], episode_id)
    assert found["reward_breakdown"] == scores[0]
    assert "submission_issues" not in json.dumps(found)


async def test_a_dropped_session_never_replaces_an_episode_that_is_stored(
    tmp_path: Path,
) -> None:
    episodes = episodes_at(tmp_path / "s.db")
    play = LiveEpisode()
    play.reset({"seed": 1, "episode_id": "shared"})
    assert await episodes.try_to_store_disconnected_episode(play)
    await episodes.step(EpisodeAccess("shared"), LIST)
    assert not await episodes.try_to_store_disconnected_episode(play)
    play.step(LIST)
    play.step(LIST)
    assert not await episodes.try_to_store_disconnected_episode(play)
    assert (await episodes.get_trainer_record("shared")).step_count == 1
    await episodes.close_store_and_clear_cache()


def test_episode_over_the_size_limit_cannot_be_resumed() -> None:
    play = LiveEpisode(max_record_bytes=100)
    play.reset({"seed": 1})
    play.step(LIST)
    assert play.is_resumable
    play.step({"analysis_method": "x" * 200})
    assert not play.is_resumable
    assert play.record.actions == []
    play.reset({"seed": 1})
    assert play.is_resumable


async def test_resume_of_a_closed_episode_is_rejected_and_leaves_its_id_valid(
    tmp_path: Path,
) -> None:
    episodes = episodes_at(tmp_path / "s.db")
    started = await episodes.reset({"seed": 5})
    assert started.access is not None
    await episodes.close_episode_and_release_unplayed_task(started.access)
    with pytest.raises(EpisodeClosedError):
        await episodes.resume_episode(started.access.episode_id)
    with pytest.raises(EpisodeClosedError):  # and not that another connection has it now
        await episodes.step(started.access, LIST)
    await episodes.close_store_and_clear_cache()
