"""An episode has one timeline: what was played under an id stays played, whatever comes after."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from openenv_kit.serving.app import build_app
from openenv_kit.serving.episodes.ids import SERVER_EPISODE_ID_PATTERN, new_episode_id
from openenv_kit.serving.settings import Settings
from support.playable_environments import Game, only_the_first
from support.server_requests import ask, record


@pytest.fixture
def workers(game: Game, tmp_path: Path) -> Iterator[list[TestClient]]:
    """Two workers that share a store."""
    apps = [app_of(game, tmp_path) for _ in range(2)]
    with ExitStack() as stack:
        yield [stack.enter_context(TestClient(app)) for app in apps]


def app_of(game: Game, folder: Path, **more: Any) -> Any:
    chosen = Settings(episode_store=str(folder / "s.db"), **more)
    return build_app(chosen, game.environment)


def resume(socket: Any, episode_id: str) -> dict[str, Any]:
    return ask(socket, "reset", {"episode_id": episode_id, "resume": True})["observation"]


def leave(socket: Any) -> None:
    socket.send_json({"type": "close"})
    assert socket.receive()["type"] == "websocket.close"


def await_record(client: TestClient, episode_id: str) -> None:
    """Wait until an episode is stored."""
    for _ in range(200):
        if client.get("/state", params={"episode_id": episode_id}).status_code == 200:
            return
        time.sleep(0.05)
    raise AssertionError("the episode was never stored")


@pytest.mark.parametrize("ending", ["close", "drop"])
def test_an_episode_resumed_and_graded_stays_graded(
    game: Game, workers: list[TestClient], ending: str
) -> None:
    first, second = workers
    episode_id = first.post("/reset", json=game.opening).json()["episode_id"]
    with second.websocket_connect("/ws") as socket:
        assert resume(socket, episode_id)["status"] == game.opened
        final = ask(socket, "step", game.final.action)
        assert final["done"] is True
        if ending == "close":
            leave(socket)
    for worker in workers:
        found = record(worker, episode_id)
        assert (found["status"], found["step_count"]) == ("completed", 1)
        assert found["score"] == final["reward"]
    answer = first.post("/step", json={"episode_id": episode_id, "action": {}})
    if ending == "close":
        assert answer.status_code == 409
    else:
        assert answer.json()["done"] is True
    for worker in workers:
        with worker.websocket_connect("/ws") as socket:
            resume(socket, episode_id)
            parts = game.parts(ask(socket, "step", {}))
            # Over and over the same, or nothing.
            assert parts in (None, game.parts(final))
    assert record(first, episode_id)["step_count"] == 1


def test_a_dropped_websocket_gives_one_submission_however_often_it_is_resumed(
    game: Game,
    workers: list[TestClient],
) -> None:
    with workers[0].websocket_connect("/ws") as socket:
        episode_id = ask(socket, "reset", game.opening)["metadata"]["episode_id"]
        ask(socket, "step", game.look.action)
    graded = []
    for number in range(6):
        with workers[number % 2].websocket_connect("/ws") as socket:
            resume(socket, episode_id)
            graded.append(bool(game.parts(ask(socket, "step", game.final.action))))
            leave(socket)
    assert graded == [True, *[False] * 5]
    assert record(workers[0], episode_id)["step_count"] == 2


@only_the_first
def test_practice_counts_that_were_told_stay_told(game: Game, workers: list[TestClient]) -> None:
    body = {**game.opening, "max_submissions": 2}
    episode_id = workers[0].post("/reset", json=body).json()["episode_id"]
    with workers[1].websocket_connect("/ws") as socket:
        resume(socket, episode_id)
        assert ask(socket, "step", {})["observation"]["status"] == "in_progress"
        leave(socket)
    assert record(workers[0], episode_id)["submissions"] == 1
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
        resume(before, episode_id)
        ask(before, "step", game.look.action)
        assert "resumed at step 1 of" in resume(after, episode_id)["message"]
        error = ask(before, "step", game.final.action)
        assert (error["code"], "resumed by another" in error["message"]) == ("SESSION_ERROR", True)
        assert before.receive()["code"] == 4408
        assert ask(after, "state")["step_count"] == 1
        assert ask(after, "step", game.final.action)["done"] is True


def test_a_connection_that_lost_its_episode_cannot_close_it(
    game: Game, workers: list[TestClient]
) -> None:
    episode_id = workers[0].post("/reset", json=game.opening).json()["episode_id"]
    with (
        workers[0].websocket_connect("/ws") as before,
        workers[1].websocket_connect("/ws") as after,
    ):
        resume(before, episode_id)
        resume(after, episode_id)
        leave(before)
        assert ask(after, "step", game.look.action)["observation"]["status"] == game.looked


def test_http_steps_and_a_resumed_connection_are_one_timeline(
    game: Game, workers: list[TestClient]
) -> None:
    episode_id = workers[0].post("/reset", json=game.opening).json()["episode_id"]
    with workers[1].websocket_connect("/ws") as socket:
        resume(socket, episode_id)
        for number in range(3):
            ask(socket, "step", game.look.action)
            workers[0].post("/step", json={"episode_id": episode_id, "action": game.look.action})
            assert ask(socket, "state")["step_count"] == 2 * number + 2
        workers[0].post("/step", json={"episode_id": episode_id, "action": game.final.action})
        assert ask(socket, "step", game.final.action)["done"] is True


def test_an_episode_started_over_is_lost_to_the_connection_that_played_it(
    game: Game,
    workers: list[TestClient],
) -> None:
    with workers[0].websocket_connect("/ws") as socket:
        ask(socket, "reset", {**game.opening, "episode_id": "mine"})
        ask(socket, "step", game.look.action)
        workers[1].post("/reset", json={**game.opening, "episode_id": "mine"})
        assert "started again" in ask(socket, "step", game.final.action)["message"]
    found = record(workers[0], "mine")
    assert (found["step_count"], found["timeline"]) == (0, 2)


def test_two_connections_that_choose_one_name_play_one_episode(
    game: Game,
    workers: list[TestClient],
) -> None:
    named = {**game.opening, "episode_id": "mine"}
    with ExitStack() as stack:
        first, second, third = (
            stack.enter_context(worker.websocket_connect("/ws"))
            for worker in (workers[0], workers[1], workers[0])
        )
        ask(first, "reset", named)
        ask(first, "step", game.look.action)
        ask(second, "reset", named)
        assert "started again" in ask(first, "step", game.look.action)["message"]
        ask(second, "step", game.look.action)
        ask(third, "reset", named)
        assert "started again" in ask(second, "state")["message"]
        assert ask(third, "state")["step_count"] == 0
    assert record(workers[1], "mine")["timeline"] == 3


@pytest.mark.slow
def test_an_episode_closed_and_started_over_is_played_on_every_worker(
    game: Game,
    workers: list[TestClient],
) -> None:
    named = {**game.opening, "episode_id": "mine"}
    player = workers[0].post("/reset", json=named).json()["player_id"]
    workers[0].delete("/mcp", headers={"mcp-session-id": player})
    assert record(workers[1], "mine")["status"] == "closed"
    workers[0].post("/reset", json=named)
    answer = workers[1].post("/step", json={"episode_id": "mine", "action": game.look.action})
    assert answer.json()["observation"]["status"] == game.looked


def test_a_player_who_is_seated_does_not_play_the_next_timeline(
    game: Game,
    workers: list[TestClient],
) -> None:
    named = {**game.opening, "episode_id": "mine"}
    player = workers[0].post("/reset", json=named).json()["player_id"]
    with workers[0].websocket_connect(f"/ws?session_id={player}") as socket:
        ask(socket, "step", game.look.action)
        workers[1].post("/reset", json=named)
        assert player in ask(socket, "step", game.final.action)["message"]
        assert socket.receive()["code"] == 4408
    assert record(workers[0], "mine")["step_count"] == 0


def test_a_connection_may_start_its_own_episode_over(game: Game, workers: list[TestClient]) -> None:
    named = {**game.opening, "episode_id": "mine"}
    with workers[0].websocket_connect("/ws") as socket:
        for timeline in (1, 2):
            ask(socket, "reset", named)
            assert ask(socket, "step", game.look.action)["observation"]["status"] == game.looked
            found = record(workers[1], "mine")
            assert (found["step_count"], found["timeline"]) == (1, timeline)


def test_a_name_of_the_servers_own_cannot_be_chosen_while_it_may_be_played(
    game: Game,
    workers: list[TestClient],
) -> None:
    with workers[0].websocket_connect("/ws") as socket:
        episode_id = ask(socket, "reset", game.opening)["metadata"]["episode_id"]
        ask(socket, "step", game.look.action)
        body = {**game.opening, "episode_id": episode_id}
        for worker in workers:
            answer = worker.post("/reset", json=body).json()
            assert answer["episode_id"] is None
            assert "generated by the server" in answer["observation"]["message"]
        with workers[1].websocket_connect("/ws") as other:
            assert ask(other, "reset", body)["observation"]["status"] == "error"
        assert ask(socket, "state")["step_count"] == 1
    await_record(workers[1], episode_id)  # it is stored once its connection is gone
    assert record(workers[1], episode_id)["step_count"] == 1
    assert workers[1].post("/reset", json=body).json()["episode_id"] == episode_id
    assert record(workers[0], episode_id)["timeline"] == 2


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


def test_a_resumed_episode_has_room_for_as_much_as_any_stored_one(
    game: Game, tmp_path: Path
) -> None:
    with TestClient(app_of(game, tmp_path, max_episode_bytes=2000)) as client:
        episode_id = client.post("/reset", json=game.opening).json()["episode_id"]
        with client.websocket_connect("/ws") as socket:
            resume(socket, episode_id)
            ask(socket, "step", game.look.action)
            error = ask(socket, "step", {**game.look.action, "note": "x" * 3000})
            assert "2000 bytes" in error["message"]
            assert ask(socket, "step", game.look.action)["observation"]["status"] == game.looked
        assert record(client, episode_id)["step_count"] == 2


def test_a_repeated_request_of_an_episode_that_is_gone_is_not_answered(
    game: Game,
    tmp_path: Path,
) -> None:
    with TestClient(app_of(game, tmp_path)) as client:

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
            resume(socket, episode_id)
            scores.append(ask(socket, "step", game.final.action)["observation"]["reward_breakdown"])
    assert [score is not None for score in scores] == [True, False, False, False]
    found = record(workers[0], episode_id)
    assert found["reward_breakdown"] == scores[0]
    assert "submission_issues" not in json.dumps(found)
