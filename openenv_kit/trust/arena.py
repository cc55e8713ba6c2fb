"""Where the audit plays: a session of the environment, its state, and what clients are told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from openenv_kit.environment import ERROR, Environment, Reply, Session
from openenv_kit.play.policies import Action, Policy
from openenv_kit.play.recording import plain

MAX_AFTER_END = 10
"""Most steps that a policy may take after the end of its episode."""


@dataclass(frozen=True)
class Played:
    """What one play came to.

    Attributes:
        score: sum of every reward, whenever it was paid.
        reply_bytes: bytes of JSON of every reply, the reset's included.
        expected: size of the right answer; None where it is not known.
    """

    score: float
    calls: int
    reply_bytes: int
    expected: int | None = None


class Arena:
    """One session and, for policies that ask for it, a second one beside it."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._session = environment.session()
        self._second = environment.session()

    def play(self, policy: Policy, reset: Mapping[str, Any]) -> Played:
        """Play a policy to its end, even if that comes after the episode's.

        Raises:
            RuntimeError: the reset was refused.
        """
        opening = self._session.reset(**reset)
        if opening.status == ERROR:
            raise RuntimeError(opening.message)
        told = self._told(self._session, opening)
        score, calls, late, size = 0.0, 0, 0, _size(told)
        with closing(policy.play(told)) as player, suppress(StopIteration):
            asked = next(player)
            while late < MAX_AFTER_END:
                if "state" in asked:
                    told = self._session.state().model_dump()
                elif "elsewhere" in asked:
                    told = self._elsewhere(asked["elsewhere"])
                else:
                    told = self._told(self._session, self._session.step(asked))
                    calls, size = calls + 1, size + _size(told)
                    score += told["reward"] or 0.0
                    late += bool(told["done"])
                asked = player.send(told)
        return Played(score, calls, size)

    def _elsewhere(self, asked: Mapping[str, Action]) -> dict[str, Any]:
        if "reset" in asked:
            return self._told(self._second, self._second.reset(**asked["reset"]))
        return self._told(self._second, self._second.step(asked["action"]))

    def _told(self, session: Session, reply: Reply) -> dict[str, Any]:
        """A reply with every field of the observation, as a client gets it."""
        fields = self._environment.observation(reply, session.task_id)
        told = {name: plain(value) for name, value in fields.items()}
        return {"done": reply.done, "reward": reply.reward, **told}


def _size(told: Mapping[str, Any]) -> int:
    """Bytes of JSON of what an observation says; empty fields say nothing."""
    said = {name: value for name, value in told.items() if value}
    return len(json.dumps(said, default=str).encode())
