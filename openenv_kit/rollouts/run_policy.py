"""Playing a scripted policy in process, against the same session a server uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from openenv_kit.environment import Environment, Reply, Session
from openenv_kit.errors import RefusedResetError
from openenv_kit.reply import ReplyStatus, observation_from_reply
from openenv_kit.rollouts.policies import Action, ObservationJson, Policy


@dataclass(frozen=True)
class RolloutResult:
    """How a play ended: the reward of its last step in [0, 1], and what that was answered."""

    score: float
    step_count: int
    status: str
    last_observation: ObservationJson


def start_session(
    environment: Environment, reset_arguments: Mapping[str, Any]
) -> tuple[Session, Reply]:
    """A new session of an environment with an episode, and the reply to its reset.

    Raises:
        RefusedResetError: these are not arguments of a reset; says why.
    """
    session = environment.create_session()
    reply = session.reset(**reset_arguments)
    if reply.status == ReplyStatus.ERROR:
        raise RefusedResetError(reset_arguments, reply.message)
    return session, reply


def run_policy(session: Session, policy: Policy, reset_reply: Reply) -> RolloutResult:
    """Play a policy to its end, in a session whose reset was answered with `reply`."""
    steps, last = 0, reset_reply
    for _, answer in iter_policy_steps(session, policy, reset_reply):
        steps, last = steps + 1, answer
    return RolloutResult(last.reward or 0.0, steps, last.status, observation_from_reply(last))


def iter_policy_steps(
    session: Session, policy: Policy, reset_reply: Reply
) -> Iterator[tuple[Action, Reply]]:
    """Each action of a policy with the session's reply, until the episode or the policy ends."""
    with (
        closing(policy.generate_actions(observation_from_reply(reset_reply))) as player,
        suppress(StopIteration),
    ):
        action = next(player)
        while True:
            reset_reply = session.step(action)
            yield action, reset_reply
            if reset_reply.done:
                return
            action = player.send(observation_from_reply(reset_reply))
