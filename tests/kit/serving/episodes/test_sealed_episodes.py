"""Sealed episodes: counted starts, resumption and the signed record."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import fakeredis
import httpx
import pytest
from pydantic_core import to_jsonable_python
from starlette.testclient import TestClient
from typer.testing import CliRunner

from openenv_kit.cli import app
from openenv_kit.environment import (
    Environment,
    Reply,
    Session,
    find_environment_entry_points,
    get_environment,
)
from openenv_kit.errors import ConfigurationError, InvalidValueError
from openenv_kit.page.playback import start_playback_session_unless_sealed
from openenv_kit.reply import observation_from_reply
from openenv_kit.reset_arguments import drop_task_selectors
from openenv_kit.rollouts.run_policy import iter_policy_steps, start_session
from openenv_kit.sealed_split import SEALED_SPLIT
from openenv_kit.serving.app import build_app
from openenv_kit.serving.settings import Settings, load_settings
from openenv_kit.serving.store.interface import NewEpisode
from openenv_kit.serving.store.limits import StoreLimits
from openenv_kit.serving.store.redis import RedisStore
from openenv_kit.serving.store.sealed_records import SealedStartRequest, SealedStartsUsedUpError
from openenv_kit.serving.store.sqlite import SqliteStore
from openenv_kit.trust.attestation import (
    compute_actions_digest,
    read_signing_key,
    verify_attestation,
)
from openenv_kit.variables import SALT_VARIABLE, SIGNING_KEY_VARIABLE
from support.live_server import served
from support.server_requests import send_message

ENVIRONMENTS = list(find_environment_entry_points())


SEALED_ENVIRONMENTS = ["drilldown", "firewatch", "metric_tracker_rl"]


def play_reference(environment: Environment, reset: Mapping[str, Any]) -> tuple[Session, Reply]:
    """Return a session in which the reference has finished an episode, and its last reply."""
    session, reply = start_session(environment, reset)
    for _, answer in iter_policy_steps(session, environment.policies["reference"], reply):
        reply = answer
    return session, reply


SALT = "one salt for tests, of forty characters."
TRAINER = "the trainer's token, long enough"
TOKENS = {"alice": "the token of alice is long enough", "bob": "the token of bob is long enough"}
TASK = {"split": "sealed", "index": 5}


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SALT_VARIABLE, SALT)
    monkeypatch.setenv(SIGNING_KEY_VARIABLE, "a signing secret for tests, long enough")


def serve(folder: Path, name: str = "metric_tracker_rl", **settings: Any) -> TestClient:
    chosen = Settings(episode_store=str(folder / "store.db"), **settings)
    return TestClient(build_app(chosen, get_environment(name)))


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with serve(tmp_path) as client:
        yield client


def reset(client: TestClient, token: str = "", **further: Any) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return dict(client.post("/reset", json={**TASK, **further}, headers=headers).json())


def step(client: TestClient, started: dict[str, Any], action: dict[str, Any]) -> dict[str, Any]:
    body = {"player_id": started["player_id"], "action": action}
    return dict(client.post("/step", json=body).json())


def message(reply: dict[str, Any]) -> str:
    return str(reply["observation"]["message"])


def test_reset_of_an_unfinished_sealed_task_resumes_it_at_its_step(client: TestClient) -> None:
    started = reset(client)
    step(client, started, {"analysis_method": "list_dates"})
    for _ in range(12):
        again = reset(client)
        assert again["episode_id"] == started["episode_id"]
        assert "resumed at step 1 of" in message(again)
    assert (
        client.get("/state", params={"episode_id": started["episode_id"]}).json()["step_count"] == 1
    )


def test_reset_of_a_finished_sealed_task_is_rejected(client: TestClient) -> None:
    assert step(client, reset(client), {})["done"]
    for further in ({}, {"episode_id": "another"}, {"reward": "exact"}):
        again = reset(client, **further)
        assert again["observation"]["status"] == "error"
        assert "once" in message(again)
        assert again["episode_id"] is None


def test_start_over_under_the_same_id_is_rejected_and_keeps_the_outcome(
    client: TestClient,
) -> None:
    started = reset(client, episode_id="mine")
    assert step(client, started, {})["done"]
    assert reset(client, episode_id="mine")["observation"]["status"] == "error"
    found = client.get("/state", params={"episode_id": "mine"}).json()
    assert (found["status"], found["timeline"]) == ("completed", 1)


def test_sealed_plays_setting_allows_so_many_starts(tmp_path: Path) -> None:
    with serve(tmp_path, sealed_plays=3) as client:
        for _ in range(3):
            assert step(client, reset(client), {})["done"]
        assert "allows: 3 times" in message(reset(client))


def test_sealed_starts_are_counted_over_all_transports(client: TestClient) -> None:
    with client.websocket_connect("/ws") as socket:
        opened = send_message(socket, "reset", TASK)
        names = opened["observation"]["metadata"]
        send_message(socket, "step", {"analysis_method": "list_dates"})
    resumed = reset(client)
    assert resumed["episode_id"] == names["episode_id"]
    assert step(client, resumed, {})["done"]
    with client.websocket_connect("/ws") as socket:
        refused = send_message(socket, "reset", TASK)
        assert refused["observation"]["status"] == "error"
        # The connection still plays other tasks.
        assert send_message(socket, "reset", {"split": "test"})["observation"]["status"] == "ready"


def test_sealed_starts_stay_counted_after_a_restart(tmp_path: Path) -> None:
    with serve(tmp_path) as client:
        assert step(client, reset(client), {})["done"]
    with serve(tmp_path) as client:
        assert "as often as" in message(reset(client))


def test_sealed_starts_under_another_secret_are_counted_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(tmp_path) as client:
        assert step(client, reset(client), {})["done"]
    monkeypatch.setenv(SALT_VARIABLE, f"{SALT}!")
    with serve(tmp_path) as client:
        token = client.get("/sealed-record").json()["attestation"]
        assert verify_attestation(token, read_signing_key().public_key()).plays == []
        assert reset(client)["observation"]["status"] == "ready"


def test_unfinished_sealed_task_with_other_arguments_is_not_resumed(client: TestClient) -> None:
    reset(client, reward="exact")
    other = reset(client)
    assert other["observation"]["status"] == "error"
    assert "was started with {'reward': 'exact'}" in message(other)


def test_sealed_starts_are_counted_per_participant(tmp_path: Path) -> None:
    with serve(tmp_path, token=TRAINER, participants=TOKENS) as client:
        started = {name: reset(client, token) for name, token in TOKENS.items()}
        assert len({each["episode_id"] for each in started.values()}) == 2
        headers = {"authorization": f"Bearer {TOKENS['alice']}"}
        body = {"player_id": started["alice"]["player_id"], "action": {}}
        assert client.post("/step", json=body, headers=headers).json()["done"]
        assert "as often as" in message(reset(client, TOKENS["alice"]))
        assert "resumed at step 0" in message(reset(client, TOKENS["bob"]))
        assert reset(client, TRAINER)["observation"]["status"] == "ready"
        assert client.post("/reset", json=TASK).status_code == 401


@pytest.mark.parametrize("store", ["", "memory"])
def test_sealed_reset_without_a_persistent_store_is_rejected(store: str) -> None:
    with TestClient(build_app(Settings(episode_store=store))) as client:
        refused = reset(client)
        assert refused["observation"]["status"] == "error"
        assert "OPENENV_KIT_EPISODE_STORE" in message(refused)
        with client.websocket_connect("/ws") as socket:
            assert send_message(socket, "reset", TASK)["observation"]["status"] == "error"


def test_sealed_reset_beyond_the_offered_tasks_is_rejected(tmp_path: Path) -> None:
    with serve(tmp_path, sealed_tasks=5) as client:
        assert "index is 5; allowed: an integer from 0 to 4" in message(reset(client))


def test_page_does_not_play_sealed_tasks_in_process() -> None:
    with pytest.raises(ConfigurationError, match="Sealed tasks"):
        start_playback_session_unless_sealed(TASK, get_environment())


@pytest.mark.parametrize("name", ["drilldown", "firewatch", "metric_tracker_rl"])
def test_record_lists_every_start_with_its_score(name: str, tmp_path: Path) -> None:
    environment = get_environment(name)
    session, opening = start_session(environment, TASK)
    played = [
        dict(a) for a, _ in iter_policy_steps(session, environment.policies["reference"], opening)
    ]
    with serve(tmp_path, name) as client:
        started = reset(client, reward=None)  # null counts as left out
        for action in played:
            last = step(client, started, action)
        client.post("/reset", json={**TASK, "index": 6})  # and left unfinished
        answered = client.get("/sealed-record").json()
    key = read_signing_key().public_key()
    record = verify_attestation(answered["attestation"], key)
    assert (record.player, record.environment, record.split) == ("anonymous", name, "sealed")
    assert [(p.number, p.index, p.is_finished, p.score) for p in record.plays] == [
        (1, 5, True, last["reward"]),
        (2, 6, False, 0.0),
    ]
    assert record.plays[0].actions_digest == compute_actions_digest(played)
    assert record.plays[0].steps == len(played)
    assert record.plays[0].reset == drop_task_selectors({**TASK, "reward": None}) == {}
    assert last["reward"] > 0.0


def test_record_without_a_signing_key_is_refused_by_name(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SIGNING_KEY_VARIABLE)
    answered = client.get("/sealed-record")
    assert answered.status_code == 409
    assert SIGNING_KEY_VARIABLE in answered.json()["detail"]
    monkeypatch.setenv(SIGNING_KEY_VARIABLE, "a signing secret for tests, long enough")
    assert client.get("/sealed-record", params={"split": "test"}).status_code == 409


@pytest.mark.slow
def test_sealed_record_command_saves_what_the_server_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {
        SALT_VARIABLE: SALT,
        SIGNING_KEY_VARIABLE: "a signing secret for tests, long enough",
        "OPENENV_KIT_TOKEN": TRAINER,
        "OPENENV_KIT_PARTICIPANTS": f"alice={TOKENS['alice']}",
        "OPENENV_KIT_EPISODE_STORE": str(tmp_path / "store.db"),
    }
    out = tmp_path / "attestation.txt"
    run = CliRunner()
    with served(env={**os.environ, **variables}) as url:
        monkeypatch.setenv("OPENENV_KIT_TOKEN", "a wrong token that is long enough")
        refused = run.invoke(app, ["sealed-record", url, "--out", str(out)])
        assert (refused.exit_code, "401" in refused.output) == (2, True)
        monkeypatch.setenv("OPENENV_KIT_TOKEN", TOKENS["alice"])
        headers = {"authorization": f"Bearer {TOKENS['alice']}"}
        httpx.post(f"{url}/reset", json=TASK, headers=headers, timeout=30)
        saved = run.invoke(app, ["sealed-record", url, "--out", str(out)])
    assert "alice: 1." in saved.output
    record = verify_attestation(out.read_text(), read_signing_key().public_key())
    assert [(play.index, play.is_finished) for play in record.plays] == [(5, False)]


def test_player_token_reads_no_record(tmp_path: Path) -> None:
    player = "the player's token, long enough"
    with serve(tmp_path, token=TRAINER, player_token=player) as client:
        headers = {"authorization": f"Bearer {player}"}
        assert client.get("/sealed-record", headers=headers).status_code == 403


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
async def test_store_gives_numbers_without_gaps_and_counts_no_rejected_start(
    kind: str, tmp_path: Path
) -> None:
    limits = StoreLimits()
    store: Any = (
        SqliteStore(str(tmp_path / "s.db"), limits)
        if kind == "sqlite"
        else RedisStore(fakeredis.FakeAsyncRedis(decode_responses=True), limits)
    )

    async def start(index: int, episode_id: str) -> object:
        sealed = SealedStartRequest("alice", "tasks", index, 2)
        new = NewEpisode("http", b'{"reset":{}}', player_id=f"pl-{episode_id}", sealed_start=sealed)
        try:
            return await store.create_or_replace_episode(episode_id, new)
        except SealedStartsUsedUpError as problem:
            return problem

    found = await asyncio.gather(*(start(0, f"e{n}") for n in range(5)))
    assert sum(isinstance(each, SealedStartsUsedUpError) for each in found) == 3
    assert isinstance(await start(1, "f"), str)
    plays = await store.list_sealed_episodes("alice", "tasks")
    assert [(play.number, play.index) for play in plays] == [(1, 0), (2, 0), (3, 1)]
    assert await store.list_sealed_episodes("bob", "tasks") == []
    for rejected in {f"e{n}" for n in range(5)} - {play.episode_id for play in plays}:
        assert await store.load_and_extend_expiry(rejected) is None
    await store.record_first_sealed_result("pl-f", 0.5, 3, "digest")
    await store.record_first_sealed_result("pl-f", 0.9, 4, "later")
    last = (await store.list_sealed_episodes("alice", "tasks"))[-1]
    assert (last.score, last.step_count, last.actions_digest) == (0.5, 3, "digest")
    await store.close()


@pytest.mark.parametrize(
    "given",
    [
        "alice",
        "alice=short",
        "trainer=a token that is long enough",
        "a b=a token that is long enough",
        "alice=a token that is long enough,alice=another token, long enough",
        f"alice={TRAINER}",
    ],
)
def test_wrong_participants_are_rejected_without_their_tokens(given: str) -> None:
    environ = {"OPENENV_KIT_TOKEN": TRAINER, "OPENENV_KIT_PARTICIPANTS": given}
    with pytest.raises(InvalidValueError, match="OPENENV_KIT_PARTICIPANTS is") as raised:
        load_settings(environ)
    assert "long enough" not in str(raised.value)


def test_participants_need_the_trainers_token() -> None:
    with pytest.raises(InvalidValueError, match="empty unless OPENENV_KIT_TOKEN is set"):
        load_settings({"OPENENV_KIT_PARTICIPANTS": f"alice={TOKENS['alice']}"})


def test_repeated_final_actions_over_http_are_rewarded_once() -> None:
    environment = get_environment("firewatch")
    reset = {"task_id": "task_easy_oom_baseline"}
    session, opening = start_session(environment, reset)
    actions = [
        action
        for action, _ in iter_policy_steps(session, environment.policies["reference"], opening)
    ]
    with TestClient(build_app(Settings(episode_store="memory"), environment)) as client:
        episode_id = client.post("/reset", json=reset).json()["episode_id"]
        replies = [
            client.post("/step", json={"episode_id": episode_id, "action": action}).json()
            for action in (*actions, *([actions[-1]] * 15))
        ]
    rewards = [reply["reward"] for reply in replies]
    assert actions[-1]["action_type"] == "declare_resolved"
    assert rewards[len(actions) - 1] > 0.0
    assert all(reply["done"] for reply in replies[len(actions) :])
    assert rewards[len(actions) :] == [0.0] * 15


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_task_id_of_a_seeded_reset_is_the_same_for_every_seed(name: str) -> None:
    environment = get_environment(name)
    found = set()
    for seed in range(5):
        session = environment.create_session()
        assert session.reset(seed=1000 + seed).status != "error"
        found.add(session.task_id)
    assert len(found) == 1


@pytest.mark.parametrize("name", SEALED_ENVIRONMENTS)
def test_end_of_a_sealed_episode_shows_nothing_but_the_score(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SALT_VARIABLE, SALT)
    environment = get_environment(name)
    session, last = play_reference(environment, {"split": SEALED_SPLIT, "index": 3})
    public = play_reference(environment, {"split": "test", "index": 3})[1]
    empty = environment.wire_models.observation().model_dump()
    for reply in (last, session.step({}), session.reset(task_id="no such task")):
        shown = to_jsonable_python(observation_from_reply(reply))
        metadata = shown.pop("metadata", {})
        for key in ("status", "message", "reward", "done"):
            del shown[key]
        informative = {key for key, value in shown.items() if value not in (empty.get(key), None)}
        assert informative <= {"reward_breakdown", "episode_score"}
        assert set(metadata) <= {"error", "action_valid", "action_feedback", "episode_score"}
        breakdown = shown.get("reward_breakdown") or {}
        assert not {k for k, v in breakdown.items() if v} - {"total_score"}
    assert last.reward is not None
    assert last.message == f"The episode is over. Score: {last.reward:.4f}."
    # The same end on a public split contains more.
    assert len(json.dumps(to_jsonable_python(observation_from_reply(public)))) > len(
        json.dumps(to_jsonable_python(observation_from_reply(last)))
    )


@pytest.mark.parametrize("name", SEALED_ENVIRONMENTS)
def test_sealed_task_of_one_secret_is_not_served_under_another(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = get_environment(name)
    openings = []
    for salt in (SALT, f"{SALT}!", SALT):
        monkeypatch.setenv(SALT_VARIABLE, salt)
        reply = start_session(environment, {"split": SEALED_SPLIT, "index": 7})[1]
        openings.append(
            json.dumps(to_jsonable_python(observation_from_reply(reply)), sort_keys=True)
        )
    assert openings[0] == openings[2] != openings[1]
    monkeypatch.delenv(SALT_VARIABLE)
    assert environment.create_session().reset(split=SEALED_SPLIT, index=7).status == "error"
