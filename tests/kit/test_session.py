"""The kit pays no score twice, shows no seed in an id, and of a sealed episode only the score."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic_core import to_jsonable_python
from starlette.testclient import TestClient

from openenv_kit.environment import (
    Environment,
    Reply,
    Session,
    find_environment_entry_points,
    get_environment,
)
from openenv_kit.reply import observation_from_reply
from openenv_kit.rollouts.run_policy import iter_policy_steps, start_session
from openenv_kit.sealed_split import SALT_VARIABLE, SEALED_SPLIT
from openenv_kit.serving.app import build_app
from openenv_kit.serving.openenv_adapter import OpenEnvAdapter
from openenv_kit.serving.settings import Settings

SALT = "one salt for tests, of forty characters."
ENVIRONMENTS = list(find_environment_entry_points())
SEALED_ENVIRONMENTS = ["drilldown", "firewatch", "metric_tracker_rl"]


def play_reference(environment: Environment, reset: Mapping[str, Any]) -> tuple[Session, Reply]:
    """Return a session in which the reference has finished an episode, and its last reply."""
    session, reply = start_session(environment, reset)
    for _, answer in iter_policy_steps(session, environment.policies["reference"], reply):
        reply = answer
    return session, reply


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_step_after_the_end_has_reward_zero_and_is_done(name: str) -> None:
    environment = get_environment(name)
    session, reply = start_session(environment, {"split": "test", "index": 0})
    played = list(iter_policy_steps(session, environment.policies["reference"], reply))
    last_action, last = played[-1]
    assert last.done
    assert last.reward
    for action in ({}, last_action):
        late = session.step(action)
        assert (late.status, late.reward, late.done) == ("completed", 0.0, True)


def test_late_firewatch_reply_keeps_the_observation_and_an_error() -> None:
    session, last = play_reference(get_environment("firewatch"), {"split": "test", "index": 0})
    late = session.step({"action_type": "declare_resolved"})
    assert late.observation_fields["services"] == last.observation_fields["services"]
    assert late.observation_fields["episode_score"] == last.reward
    assert late.info is not None
    assert "over" in late.info["error"]


class GenerousSession(Session):
    """Pays after the end and denies that it is over, as no environment should."""

    def start_episode(self, **arguments: Any) -> Reply:
        self.task_id, self.max_steps = "generous", 2
        return Reply("ready", "Ready.")

    def execute_action(self, action: Mapping[str, Any]) -> Reply:
        return Reply("paid", "Paid.", 1.0, True, {"labels": [1]}, {"labels": [1]})

    def episode_over_reply(self) -> Reply:
        return Reply("paid", "Paid again.", 1.0, False)

    def step_limit_reply(self) -> Reply:
        return Reply("completed", "Too many steps.", 0.0, False)


def test_kit_overrides_a_session_that_pays_after_the_end() -> None:
    session = GenerousSession()
    session.reset()
    assert session.step({}).reward == 1.0
    late = [session.step({}) for _ in range(16)]
    assert {(reply.reward, reply.done) for reply in late} == {(0.0, True)}


def test_kit_reduces_the_end_of_a_sealed_episode_to_its_score() -> None:
    session = GenerousSession()
    session.reset(split=SEALED_SPLIT, index=0)
    last = session.step({})
    assert last == Reply("paid", "The episode is over. Score: 1.0000.", 1.0, True)


def test_framework_interface_grades_no_late_step_again() -> None:
    for name in ENVIRONMENTS:
        environment = get_environment(name)
        served = OpenEnvAdapter(environment)
        opening = served.reset(split="test", index=0)
        policy = environment.policies["reference"].generate_actions(opening.model_dump())
        action = next(policy)
        while True:
            reply = served.step(action)
            if reply.done:
                break
            action = policy.send({**reply.model_dump(), "metadata": {}})
        assert reply.reward
        late = served.step(action)
        assert (late.reward, late.done) == (0.0, True)


def test_repeated_declarations_over_http_are_paid_once() -> None:
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
    for reply in (last, session.step({})):
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
