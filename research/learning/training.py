"""Policy gradient on the environment's own score, in plain numpy.

REINFORCE with a leave-one-out baseline: each update plays a batch of episodes, several
rollouts of each, and raises the log-probability of what a rollout reported by how much its
score beat the mean of its siblings. The learner sees scores and tool results, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metric_tracker_rl.engine.session import READY, EpisodeSession
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.policies.base import result_of, submit
from openenv_kit.errors import InvalidValueError, require_integer
from openenv_kit.play.driver import observed
from openenv_kit.play.vector import VectorSession
from research.learning.features import LOOK, Candidates, Floats, read_candidates
from research.learning.policy import RowPolicy

Reset = Mapping[str, Any]
Lesson = Callable[[float, np.random.Generator, int], Sequence[Reset]]
"""Which episodes to play: given progress in [0, 1), randomness, and how many."""


@dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes:
        updates: gradient steps.
        episodes: different episodes in a batch, at least 2.
        rollouts: rollouts of each episode, at least 2.
        learning_rate: step size of plain gradient ascent. An optimiser that rescales
            gradients would turn the noise of an unlearnable reward into full-sized steps.
        shuffled: give each episode's rollouts the scores of another episode's: the control,
            in which reports and rewards have nothing to do with each other.
    """

    updates: int = 400
    episodes: int = 16
    rollouts: int = 8
    learning_rate: float = 16.0
    shuffled: bool = False

    def __post_init__(self) -> None:
        require_integer("updates", self.updates, 1, 100_000)
        require_integer("episodes", self.episodes, 2, 4096)
        require_integer("rollouts", self.rollouts, 2, 1024)
        if not 0.0 < self.learning_rate <= 1000.0:
            raise InvalidValueError("learning_rate", self.learning_rate, "above 0, up to 1000")


def train(
    policy: RowPolicy, lesson: Lesson, settings: Settings, rng: np.random.Generator
) -> Iterator[int]:
    """Train a policy in place.

    Yields:
        The number of updates done, after each one.
    """
    vector = VectorSession(settings.episodes * settings.rollouts, ENVIRONMENT)
    for update in range(settings.updates):
        chosen = lesson(update / settings.updates, rng, settings.episodes)
        candidates = _look(vector, chosen, settings.rollouts)
        keeps = [policy.draw(each, settings.rollouts, rng) for each in candidates]
        scores = _scores(vector, candidates, keeps)
        if settings.shuffled:
            scores = _of_others(scores, rng)
        policy.weights += settings.learning_rate * _gradient(policy, candidates, keeps, scores)
        yield update + 1


def _look(vector: VectorSession, resets: Sequence[Reset], rollouts: int) -> list[Candidates]:
    """Start every rollout's episode, and look at each episode once, in its first lane."""
    batch = vector.reset([reset for reset in resets for _ in range(rollouts)])
    for reply in batch.replies:
        if reply is not None and reply.status != READY:
            allowed = f"what a reset takes ({reply.message})"
            raise InvalidValueError("reset", reply.status, allowed)
    first = [lane % rollouts == 0 for lane in range(len(vector))]
    results = []
    for action in LOOK:
        replies = vector.step([action if looks else None for looks in first]).replies
        results.append([result_of(observed(reply)) for reply in replies if reply is not None])
    return [read_candidates(*pair) for pair in zip(*results, strict=True)]


def _scores(
    vector: VectorSession, candidates: Sequence[Candidates], keeps: Sequence[NDArray[np.bool_]]
) -> Floats:
    """Submit every rollout's report; scores of shape (episodes, rollouts)."""
    reports = [
        submit(each.chosen(keep))
        for each, rollouts in zip(candidates, keeps, strict=True)
        for keep in rollouts
    ]
    return vector.step(reports).rewards.reshape(len(candidates), -1)


def _of_others(scores: Floats, rng: np.random.Generator) -> Floats:
    """Scores dealt anew so that no rollout gets one of its own episode."""
    dealt = np.roll(scores, int(rng.integers(1, len(scores))), axis=0)
    return rng.permuted(dealt, axis=1)


def _gradient(
    policy: RowPolicy,
    candidates: Sequence[Candidates],
    keeps: Sequence[NDArray[np.bool_]],
    scores: Floats,
) -> Floats:
    """Leave-one-out policy gradient, averaged over rollouts; shape of the weights."""
    rollouts = scores.shape[1]
    # Own score minus the mean of the others'.
    advantages = (scores - scores.mean(axis=1, keepdims=True)) * rollouts / (rollouts - 1)
    gradient = np.zeros_like(policy.weights)
    for each, kept, advantage in zip(candidates, keeps, advantages, strict=True):
        push = advantage @ (kept - policy.probabilities(each)) / rollouts
        np.add.at(gradient, each.entity, push[:, np.newaxis] * each.context)
    return gradient / len(candidates)


class Examination:
    """Scores policies on a fixed set of episodes, always with the same draws.

    Args:
        resets: the episodes.
        seed: of the coins thrown when a policy explores.
    """

    def __init__(self, resets: Sequence[Reset], seed: int = 0) -> None:
        self._seed = seed
        self._vector = VectorSession(len(resets), ENVIRONMENT)
        self._candidates = _look(self._vector, resets, rollouts=1)
        # Kept, so that no measurement has to make the episodes again.
        self._plays = [
            (session, session.view)
            for session in self._vector.sessions
            if isinstance(session, EpisodeSession) and session.view is not None
        ]

    def exploring(self, policy: RowPolicy) -> Floats:
        """Score of each episode as the policy plays in training, coins included."""
        rng = np.random.default_rng(self._seed)
        return self._score([policy.draw(each, 1, rng) for each in self._candidates])

    def deciding(self, policy: RowPolicy) -> Floats:
        """Score of each episode when every row more likely in than out is reported."""
        return self._score(
            [policy.probabilities(each)[np.newaxis] > 0.5 for each in self._candidates]
        )

    def _score(self, keeps: Sequence[NDArray[np.bool_]]) -> Floats:
        for session, view in self._plays:
            session.open(session.task_id, view)
        return _scores(self._vector, self._candidates, keeps)[:, 0]
