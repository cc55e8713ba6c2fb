"""Where the audit plays: the environment that the server serves, with its state and its wire.

The server's package is imported when it is needed: the engine itself does without.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from openenv_kit.play.policies import Action, Observed, Policy

MAX_AFTER_END = 10
"""Steps that a policy may go on after the episode's end."""


@dataclass(frozen=True)
class Played:
    """What one play came to.

    Attributes:
        score: sum of every reward, whenever it was paid.
        calls: steps taken.
        reply_bytes: bytes of JSON of every reply, the reset's included.
        expected: rows of the right report; None where nobody has looked.
    """

    score: float
    calls: int
    reply_bytes: int
    expected: int | None = None


class Arena:
    """One environment and, for those who ask, a second session beside it."""

    def __init__(self) -> None:
        from openenv_kit.serving.framework import FrameworkEnvironment

        self._make = partial(FrameworkEnvironment, debug=False)
        self.environment = self._make()
        self._second: Any = None
        self._bytes = 0

    def play(self, policy: Policy, reset: Mapping[str, Any]) -> Played:
        """Play a policy to its end, and beyond the episode's if it goes on.

        Raises:
            RuntimeError: the reset was refused.
        """
        self._bytes = 0
        opening = self.environment.reset(**reset)
        if opening.status == "error":
            raise RuntimeError(opening.message)
        player = policy.play(self._seen(opening))
        score, calls, late = 0.0, 0, 0
        try:
            asked = next(player)
            while late < MAX_AFTER_END:
                reply = self._answer(asked)
                if not _special(asked):
                    calls += 1
                    score += reply.get("reward") or 0.0
                    late += bool(reply.get("done"))
                asked = player.send(reply)
        except StopIteration:
            pass
        finally:
            player.close()
        return Played(score, calls, self._bytes)

    def _answer(self, asked: Action) -> Observed:
        if "state" in asked:
            return self.environment.state.model_dump()
        if "elsewhere" in asked:
            return self._elsewhere(asked["elsewhere"])
        return self._seen(self.environment.step(asked))

    def _elsewhere(self, asked: Mapping[str, Any]) -> Observed:
        if "reset" in asked:
            self._second = self._make()
            return dict(self._second.reset(**asked["reset"]).model_dump())
        return dict(self._second.step(asked["action"]).model_dump())

    def _seen(self, observation: Any) -> dict[str, Any]:
        told = observation.model_dump()
        said = {name: value for name, value in told.items() if value}
        self._bytes += len(json.dumps(said, default=str).encode())
        return dict(told)


def _special(asked: Action) -> bool:
    return "state" in asked or "elsewhere" in asked
