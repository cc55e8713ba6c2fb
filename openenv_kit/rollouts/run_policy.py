"""Runs scripted policies in this process, in the same sessions that a server uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from openenv_kit.environment import Environment, Session
from openenv_kit.errors import RefusedResetError
from openenv_kit.reply import Reply, ReplyStatus, observation_from_reply
from openenv_kit.rollouts.policies import Action, ObservationJson, Policy


@dataclass(frozen=True)
class RolloutResult:
    """Result of a rollout.

    Attributes:
        score: reward of the last step, in [0, 1].
        step_count: number of steps.
        status: status of the last reply.
        last_observation: observation of the last reply.
    """

    score: float
    step_count: int
    status: str
    last_observation: ObservationJson


class StartedSession(NamedTuple):
    """A session in which an episode was started.

    Attributes:
        session: the session.
        reset_reply: the reply to the reset.
    """

    session: Session
    reset_reply: Reply


class PolicyStep(NamedTuple):
    """An action of a policy and the reply to it."""

    action: Action
    reply: Reply


def start_session(environment: Environment, reset_arguments: Mapping[str, Any]) -> StartedSession:
    """Create a session of an environment and start an episode in it.

    Raises:
        RefusedResetError: the reset was rejected.
    """
    session = environment.create_session()
    reply = session.reset(**reset_arguments)
    if reply.status == ReplyStatus.ERROR:
        raise RefusedResetError(reset_arguments, reply.message)
    return StartedSession(session, reply)


def run_policy(session: Session, policy: Policy, reset_reply: Reply) -> RolloutResult:
    """Run a policy until the episode or the policy ends.

    Args:
        session: a session in which an episode was started.
        policy: the policy.
        reset_reply: the reply to the reset that started the episode.
    """
    step_count, last_reply = 0, reset_reply
    for _, reply in iter_policy_steps(session, policy, reset_reply):
        step_count, last_reply = step_count + 1, reply
    return RolloutResult(
        last_reply.reward or 0.0,
        step_count,
        last_reply.status,
        observation_from_reply(last_reply),
    )


def iter_policy_steps(session: Session, policy: Policy, reset_reply: Reply) -> Iterator[PolicyStep]:
    """Run a policy and yield each step, until the episode or the policy ends.

    The arguments are those of `run_policy`.
    """
    with (
        closing(policy.generate_actions(observation_from_reply(reset_reply))) as policy_steps,
        suppress(StopIteration),
    ):
        action = next(policy_steps)
        while True:
            reply = session.step(action)
            yield PolicyStep(action, reply)
            if reply.done:
                return
            action = policy_steps.send(observation_from_reply(reply))
