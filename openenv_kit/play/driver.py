"""Playing a scripted policy in process, against the same session a server uses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from openenv_kit.environment import Environment, Reply, Session
from openenv_kit.play.policies import Action, Observed, Policy

Reset = TypeVar("Reset", Mapping[str, Any], Mapping[str, Any] | None)
AHEAD = 64
"""Episodes that are made together before the first of them is played."""


@dataclass(frozen=True)
class Outcome:
    """How a play ended: the reward of its last step in [0, 1], and what that was answered."""

    score: float
    steps: int
    status: str
    observation: Observed

    @classmethod
    def of(cls, last: Reply, steps: int) -> Outcome:
        """The outcome of a play that ended with this reply."""
        return cls(last.reward or 0.0, steps, last.status, observed(last))


def play(session: Session, policy: Policy, reply: Reply) -> Outcome:
    """Play a policy to its end, in a session whose reset was answered with `reply`."""
    steps, last = 0, reply
    for _, answer in moves(session, policy, reply):
        steps, last = steps + 1, answer
    return Outcome.of(last, steps)


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


def made_ahead(environment: Environment, resets: Iterable[Reset]) -> Iterator[Reset]:
    """Arguments of resets, read `AHEAD` at a time, whose episodes are made together first.

    None among them stands for no reset, and stays where it is.
    """
    remaining = iter(resets)
    while chunk := list(islice(remaining, AHEAD)):
        environment.make_ahead([reset for reset in chunk if reset is not None])
        yield from chunk


def observed(reply: Reply) -> dict[str, Any]:
    """What a policy sees of a reply: the same names as on the wire."""
    return {
        **reply.content,
        "status": reply.status,
        "message": reply.message,
        "reward": reply.reward,
        "done": reply.done,
    }
