"""Playing a scripted policy in process, against the same session a server uses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from openenv_kit.environment import Reply, Session
from openenv_kit.play.policies import Action, Observed, Policy


@dataclass(frozen=True)
class Outcome:
    """How a play ended.

    Attributes:
        score: reward of the last step, in [0, 1].
        steps: steps taken.
        status: status of the last reply.
        observation: content of the last reply.
    """

    score: float
    steps: int
    status: str
    observation: Observed


def play(session: Session, policy: Policy, reply: Reply) -> Outcome:
    """Play a policy to its end.

    Args:
        session: a session with a running episode.
        policy: who plays.
        reply: the reply to the reset.
    """
    steps, last = 0, reply
    for _, answer in moves(session, policy, reply):
        steps, last = steps + 1, answer
    return Outcome(last.reward or 0.0, steps, last.status, observed(last))


def moves(session: Session, policy: Policy, reply: Reply) -> Iterator[tuple[Action, Reply]]:
    """Play a policy one step at a time.

    Yields:
        Each action with the session's reply, until the episode or the policy ends.
    """
    player = policy.play(observed(reply))
    try:
        action = next(player)
        while True:
            reply = session.step(action)
            yield action, reply
            if reply.done:
                return
            action = player.send(observed(reply))
    except StopIteration:
        return
    finally:
        player.close()


def observed(reply: Reply) -> dict[str, Any]:
    """What a policy sees of a reply: the same names as on the wire."""
    return {
        **reply.content,
        "status": reply.status,
        "message": reply.message,
        "reward": reply.reward,
        "done": reply.done,
    }
