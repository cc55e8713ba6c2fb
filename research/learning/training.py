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

from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.policies.base import build_submit_action, require_analysis_result
from openenv_kit.errors import InvalidValueError, RefusedResetError, require_integer
from openenv_kit.reply import ReplyStatus, observation_from_reply
from research.learning.features import LOOK, Candidates, Floats, read_candidates
from research.learning.policy import RowPolicy

Reset = Mapping[str, Any]
TaskSampler = Callable[[float, np.random.Generator, int], Sequence[Reset]]
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
    policy: RowPolicy, lesson: TaskSampler, settings: Settings, rng: np.random.Generator
) -> Iterator[int]:
    """Train a policy in place.

    Yields:
        The number of updates done, after each one.
    """
    sessions = [EpisodeSession() for _ in range(settings.episodes * settings.rollouts)]
    for update in range(settings.updates):
        chosen = lesson(update / settings.updates, rng, settings.episodes)
        candidates = _start_rollouts(sessions, chosen, settings.rollouts)
        keeps = [policy.draw(each, settings.rollouts, rng) for each in candidates]
        scores = _submit_reports(sessions, candidates, keeps)
        if settings.shuffled:
            scores = _of_others(scores, rng)
        policy.weights += settings.learning_rate * _gradient(policy, candidates, keeps, scores)
        yield update + 1


def _start_rollouts(
    sessions: Sequence[EpisodeSession], resets: Sequence[Reset], rollouts: int
) -> list[Candidates]:
    """Start every session's episode; return each episode's candidates, read in its first session.

    The rollouts of an episode start one after another, so that they share the generated episode.
    """
    for number, session in enumerate(sessions):
        reset = resets[number // rollouts]
        reply = session.reset(**reset)
        if reply.status == ReplyStatus.ERROR:
            raise RefusedResetError(reset, reply.message)
    return [
        read_candidates(
            *(
                require_analysis_result(observation_from_reply(session.step(action)))
                for action in LOOK
            )
        )
        for session in sessions[::rollouts]
    ]


def _submit_reports(
    sessions: Sequence[EpisodeSession],
    candidates: Sequence[Candidates],
    keeps: Sequence[NDArray[np.bool_]],
) -> Floats:
    """Submit every rollout's report; return scores of shape (episodes, rollouts)."""
    reports = [
        build_submit_action(each.chosen(keep))
        for each, rollouts in zip(candidates, keeps, strict=True)
        for keep in rollouts
    ]
    replies = [session.step(report) for session, report in zip(sessions, reports, strict=True)]
    return np.array([reply.reward for reply in replies]).reshape(len(candidates), -1)


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


class Evaluation:
    """Scores policies on a fixed set of episodes, always with the same draws.

    Args:
        resets: the episodes.
        seed: of the coins thrown when a policy explores.
    """

    def __init__(self, resets: Sequence[Reset], seed: int = 0) -> None:
        self._seed = seed
        self._sessions = [EpisodeSession() for _ in resets]
        self._candidates = _start_rollouts(self._sessions, resets, rollouts=1)
        # The views are kept, so that a measurement does not generate the episodes again.
        self._views = [session.view for session in self._sessions if session.view is not None]

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
        for session, view in zip(self._sessions, self._views, strict=True):
            session.start_from_view(session.task_id, view)
        return _submit_reports(self._sessions, self._candidates, keeps)[:, 0]
