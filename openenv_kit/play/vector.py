"""Many episodes advanced together, in process, for training runs of millions of steps.

```python
vector = VectorSession(256)
vector.reset([{"seed": seed} for seed in range(256)])
batch = vector.step([{"analysis_method": "list_dates"}] * 256)
batch.rewards, batch.dones  # arrays of shape (256,); the last reward of an episode is its score
```

Every lane is a session, so its replies are what a session of its own would give. What sessions
share is up to the environment: where episodes are immutable, lanes that ask for the same one may
have it made once. One process runs one vector; more cores are more processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openenv_kit.environment import ERROR, Environment, Reply, get_environment
from openenv_kit.errors import InvalidValueError, RefusedResetError, require_integer
from openenv_kit.play.driver import Outcome, play
from openenv_kit.play.policies import Action, Policy

MAX_LANES = 65_536

Reset = Mapping[str, Any]
"""Arguments of one lane's reset."""


@dataclass(frozen=True)
class Batch:
    """What one step of a vector answers.

    Attributes:
        replies: one for each lane, in order; None where the lane was left alone.
        rewards: shape (lanes,); what this step earned: the score on the step that ends an
            episode, 0.0 on every other step and for a lane that was left alone.
        dones: shape (lanes,); whether the lane's episode is over.
    """

    replies: tuple[Reply | None, ...]
    rewards: NDArray[np.float64]
    dones: NDArray[np.bool_]


class VectorSession:
    """N episodes side by side, 1 to 65,536.

    Raises:
        InvalidValueError: `lanes` is not such a number.
    """

    def __init__(self, lanes: int, environment: Environment | None = None) -> None:
        made = environment or get_environment()
        count = require_integer("lanes", lanes, 1, MAX_LANES)
        self.sessions = tuple(made.session() for _ in range(count))

    def __len__(self) -> int:
        return len(self.sessions)

    @property
    def dones(self) -> NDArray[np.bool_]:
        """Which lanes have no running episode, shape (lanes,)."""
        return np.array([each.done or not each.task_id for each in self.sessions])

    def reset(self, resets: Sequence[Reset | None]) -> Batch:
        """Start an episode in every lane that is given arguments; None leaves a lane alone.

        A lane whose arguments are wrong answers with status `error` and keeps what it was
        playing. Raises InvalidValueError where there is not one entry for each lane.
        """
        self._check_length("resets", resets)
        return self._gather(
            None if arguments is None else session.reset(**arguments)
            for session, arguments in zip(self.sessions, resets, strict=True)
        )

    def step(self, actions: Sequence[Action | None]) -> Batch:
        """One step in every lane that is given an action; None leaves it alone."""
        self._check_length("actions", actions)
        return self._gather(
            None if action is None else session.step(action)
            for session, action in zip(self.sessions, actions, strict=True)
        )

    def play(self, policy: Policy, resets: Iterable[Reset]) -> list[Outcome]:
        """Play a policy over any number of episodes, in one lane after the other, each to its end.

        Outcomes are in the order of `resets`. Raises RefusedResetError where a reset is refused.
        """
        outcomes = []
        for session, reset in zip(cycle(self.sessions), resets, strict=False):
            opening = session.reset(**reset)
            if opening.status == ERROR:
                raise RefusedResetError(reset, opening.message)
            outcomes.append(play(session, policy, opening))
        return outcomes

    def _check_length(self, name: str, given: Sequence[Any]) -> None:
        if len(given) != len(self.sessions):
            allowed = f"one entry for each of the {len(self.sessions)} lanes"
            raise InvalidValueError(f"length of {name}", len(given), allowed)

    def _gather(self, answers: Iterable[Reply | None]) -> Batch:
        replies = tuple(answers)
        rewards = np.array([reply.reward or 0.0 if reply else 0.0 for reply in replies])
        return Batch(replies, rewards, self.dones)
