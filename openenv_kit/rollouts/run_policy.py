"""Playing a scripted policy in process, against the same session a server uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from openenv_kit.environment import ERROR, Environment, Reply, Session
from openenv_kit.errors import RefusedResetError
from openenv_kit.rollouts.policies import Action, Observed, Policy


@dataclass(frozen=True)
class Outcome:
    """How a play ended: the reward of its last step in [0, 1], and what that was answered."""

    score: float
    steps: int
    status: str
    observation: Observed


def begun(environment: Environment, reset: Mapping[str, Any]) -> tuple[Session, Reply]:
    """A new session of an environment with an episode, and the reply to its reset.

    Raises:
        RefusedResetError: these are not arguments of a reset; says why.
    """
    session = environment.session()
    reply = session.reset(**reset)
    if reply.status == ERROR:
        raise RefusedResetError(reset, reply.message)
    return session, reply


def play(session: Session, policy: Policy, reply: Reply) -> Outcome:
    """Play a policy to its end, in a session whose reset was answered with `reply`."""
    steps, last = 0, reply
    for _, answer in moves(session, policy, reply):
        steps, last = steps + 1, answer
    return Outcome(last.reward or 0.0, steps, last.status, observed(last))


def moves(session: Session, policy: Policy, reply: Reply) -> Iterator[tuple[Action, Reply]]:
    """Each action of a policy with the session's reply, until the episode or the policy ends."""
    with closing(policy.play(observed(reply))) as player, suppress(StopIteration):
        action = next(player)
        while True:
            reply = session.step(action)
            yield action, reply
            if reply.done:
                return
            action = player.send(observed(reply))


def observed(reply: Reply) -> dict[str, Any]:
    """What a policy sees of a reply: the same names as on the wire; at the end also `metadata`."""
    return {
        **reply.content,
        **({"metadata": reply.info} if reply.done and reply.info else {}),
        "status": reply.status,
        "message": reply.message,
        "reward": reply.reward,
        "done": reply.done,
    }
