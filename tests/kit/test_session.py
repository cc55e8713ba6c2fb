"""Sessions of the kit: rewards after the end, and hidden values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from openenv_kit.environment import (
    Environment,
    Reply,
    Session,
    find_environment_entry_points,
    get_environment,
)
from openenv_kit.rollouts.run_policy import iter_policy_steps, start_session
from openenv_kit.sealed_split import SEALED_SPLIT
from openenv_kit.serving.openenv_adapter import OpenEnvAdapter

ENVIRONMENTS = list(find_environment_entry_points())


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

    def build_episode_over_reply(self) -> Reply:
        return Reply("paid", "Paid again.", 1.0, False)

    def build_step_limit_reply(self) -> Reply:
        return Reply("completed", "Too many steps.", 0.0, False)


def test_kit_removes_rewards_after_the_end() -> None:
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
