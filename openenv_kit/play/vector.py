"""Many episodes advanced together, in process, for people who need millions of steps.

```python
vector = VectorSession(256)
vector.reset([{"seed": seed} for seed in range(256)])
batch = vector.step([{"analysis_method": "list_dates"}] * 256)
batch.rewards, batch.dones  # arrays of shape (256,)
vector.scores  # shape (256,): the score of each lane whose episode is over
```

Every lane is a session, so a lane's replies are what a session of its own would give, by
construction. What sessions share is up to the environment: in Metric Tracker RL the episode,
which is immutable, so lanes that ask for the same configuration, as the rollouts of one group
do, generate it once. One process runs one vector; more cores are more processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from openenv_kit.environment import ERROR, Environment, Reply, get_environment
from openenv_kit.errors import InvalidValueError
from openenv_kit.play.driver import Outcome, observed
from openenv_kit.play.policies import Action, Play, Policy

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
    """N episodes side by side.

    Args:
        lanes: how many, 1 to 65,536.
        environment: what they play; None for the environment that ENVIRONMENT names.

    Raises:
        InvalidValueError: `lanes` is not such a number.
    """

    def __init__(self, lanes: int, environment: Environment | None = None) -> None:
        if type(lanes) is not int or not 1 <= lanes <= MAX_LANES:
            raise InvalidValueError("lanes", lanes, f"an integer from 1 to {MAX_LANES}")
        made = environment or get_environment()
        self._started = [False] * lanes
        self.sessions = tuple(made.session() for _ in range(lanes))
        self._scored = np.zeros(lanes, dtype=bool)
        self._scores = np.zeros(lanes)

    def __len__(self) -> int:
        return len(self.sessions)

    @property
    def dones(self) -> NDArray[np.bool_]:
        """Which lanes have no running episode, shape (lanes,)."""
        return np.array(
            [
                each.done or not started
                for each, started in zip(self.sessions, self._started, strict=True)
            ]
        )

    @property
    def scores(self) -> NDArray[np.float64]:
        """Score of each lane's finished episode, shape (lanes,); 0.0 while it is running.

        It stands until the lane is reset: stepping a lane past its end earns nothing and
        takes nothing away.
        """
        return self._scores.copy()

    def reset(self, resets: Sequence[Reset | None]) -> Batch:
        """Start an episode in every lane that is given arguments; None leaves a lane alone.

        A lane whose arguments are wrong answers with status `error` and keeps what it was
        playing, like a single session.

        Raises:
            InvalidValueError: not one entry for each lane.
        """
        self._check_length("resets", resets)
        replies: list[Reply | None] = [None] * len(resets)
        for lane, arguments in enumerate(resets):
            if arguments is not None:
                reply = replies[lane] = self.sessions[lane].reset(**arguments)
                self._started[lane] |= reply.status != ERROR
        return self._gather(replies)

    def step(self, actions: Sequence[Action | None]) -> Batch:
        """One step in every lane that is given an action; None leaves it alone.

        Raises:
            InvalidValueError: not one entry for each lane.
        """
        self._check_length("actions", actions)
        return self._gather(
            None if action is None else session.step(action)
            for session, action in zip(self.sessions, actions, strict=True)
        )

    def play(self, policy: Policy, resets: Iterable[Reset]) -> list[Outcome]:
        """Play a policy over any number of episodes, refilling lanes as they finish.

        Args:
            policy: who plays, one player for each episode.
            resets: arguments of each episode's reset; may be longer than the vector.

        Returns:
            One outcome for each reset, in the order of `resets`.

        Raises:
            InvalidValueError: a reset was refused; says why.
        """
        return _LanePlay(self, policy, resets).run()

    def _check_length(self, name: str, given: Sequence[Any]) -> None:
        if len(given) != len(self.sessions):
            allowed = f"one entry for each of the {len(self.sessions)} lanes"
            raise InvalidValueError(f"length of {name}", len(given), allowed)

    def _gather(self, answers: Iterable[Reply | None]) -> Batch:
        replies = tuple(answers)
        rewards = np.array([0.0 if reply is None else reply.reward for reply in replies])
        dones = self.dones
        self._scores = np.where(dones, np.where(self._scored, self._scores, rewards), 0.0)
        self._scored = dones
        return Batch(replies, rewards, dones)


class _LanePlay:
    """The bookkeeping of `VectorSession.play`: which episode each lane is playing."""

    def __init__(self, vector: VectorSession, policy: Policy, resets: Iterable[Reset]) -> None:
        self._vector, self._policy = vector, policy
        self._queue = enumerate(resets)
        self._moves: list[Play | None] = [None] * len(vector)
        self._number = [0] * len(vector)
        self._steps = [0] * len(vector)
        self._outcomes: dict[int, Outcome] = {}

    def run(self) -> list[Outcome]:
        actions: list[Action | None] = [None] * len(self._vector)
        try:
            self._refill(actions)
            while any(action is not None for action in actions):
                batch = self._vector.step(actions)
                for lane, reply in enumerate(batch.replies):
                    if reply is not None:
                        actions[lane] = self._answer(lane, reply)
                self._refill(actions)
        finally:
            for moves in self._moves:
                if moves is not None:
                    moves.close()
        return [self._outcomes[number] for number in sorted(self._outcomes)]

    def _refill(self, actions: list[Action | None]) -> None:
        """Give every idle lane the next episode, and all of them one reset together."""
        resets: list[Reset | None] = [None] * len(actions)
        for lane, action in enumerate(actions):
            if action is None:
                self._number[lane], resets[lane] = next(self._queue, (-1, None))
        if not any(reset is not None for reset in resets):
            return
        for lane, reply in enumerate(self._vector.reset(resets).replies):
            if reply is None:
                continue
            if reply.status == ERROR:
                given = dict(resets[lane] or {})
                raise InvalidValueError("reset", given, f"what a reset takes ({reply.message})")
            self._steps[lane] = 0
            self._moves[lane] = self._policy.play(observed(reply))
            actions[lane] = self._advance(lane, reply, next)

    def _answer(self, lane: int, reply: Reply) -> Action | None:
        self._steps[lane] += 1
        if reply.done:
            self._finish(lane, reply)
            return None
        return self._advance(lane, reply, lambda moves: moves.send(observed(reply)))

    def _advance(self, lane: int, reply: Reply, move: Callable[[Play], Action]) -> Action | None:
        """The lane's next action; a policy that has none left ends its play there."""
        moves = self._moves[lane]
        assert moves is not None
        try:
            return move(moves)
        except StopIteration:
            self._finish(lane, reply)
            return None

    def _finish(self, lane: int, reply: Reply) -> None:
        moves, self._moves[lane] = self._moves[lane], None
        if moves is not None:
            moves.close()
        self._outcomes[self._number[lane]] = Outcome(
            reply.reward or 0.0, self._steps[lane], reply.status, observed(reply)
        )
