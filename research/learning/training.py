"""Policy gradient on the environment's own score, in plain numpy.

REINFORCE with a leave-one-out baseline. Each update plays several rollouts of each episode in a
batch. The log-probability of a rollout's report changes in proportion to the difference between its
score and the mean score of the episode's other rollouts. The learner uses only scores and tool
results.
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
from research.learning.features import FEATURE_CALLS, Candidates, Floats, read_candidates
from research.learning.policy import RowPolicy

Reset = Mapping[str, Any]
TaskSampler = Callable[[float, np.random.Generator, int], Sequence[Reset]]
"""Returns resets of episodes, given the progress in [0, 1), a random generator and their number."""


@dataclass(frozen=True)
class Settings:
    """Settings of the training.

    Attributes:
        updates: number of gradient steps.
        episodes: different episodes in a batch, at least 2.
        rollouts: rollouts of each episode, at least 2.
        learning_rate: step size of plain gradient ascent. An optimiser that rescales
            gradients would turn the noise of an unlearnable reward into full-sized steps.
        shuffled: whether each episode's rollouts get the scores of another episode. This is the
            control, in which rewards do not depend on reports.
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
    policy: RowPolicy, sample_tasks: TaskSampler, settings: Settings, rng: np.random.Generator
) -> Iterator[int]:
    """Train a policy in place.

    Yields:
        The number of updates so far, after each update.
    """
    sessions = [EpisodeSession() for _ in range(settings.episodes * settings.rollouts)]
    for update in range(settings.updates):
        resets = sample_tasks(update / settings.updates, rng, settings.episodes)
        candidates = _start_rollouts(sessions, resets, settings.rollouts)
        reports = [policy.sample_reports(episode, settings.rollouts, rng) for episode in candidates]
        scores = _submit_reports(sessions, candidates, reports)
        if settings.shuffled:
            scores = _shuffle_between_episodes(scores, rng)
        policy.weights += settings.learning_rate * _gradient(policy, candidates, reports, scores)
        yield update + 1


def _start_rollouts(
    sessions: Sequence[EpisodeSession], resets: Sequence[Reset], rollouts: int
) -> list[Candidates]:
    """Start every session's episode. Return each episode's candidates, read in its first session.

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
                for action in FEATURE_CALLS
            )
        )
        for session in sessions[::rollouts]
    ]


def _submit_reports(
    sessions: Sequence[EpisodeSession],
    candidates: Sequence[Candidates],
    reports: Sequence[NDArray[np.bool_]],
) -> Floats:
    """Submit every rollout's report. Return the scores, shape (episodes, rollouts)."""
    actions = [
        build_submit_action(episode.select_rows(report))
        for episode, episode_reports in zip(candidates, reports, strict=True)
        for report in episode_reports
    ]
    replies = [session.step(action) for session, action in zip(sessions, actions, strict=True)]
    return np.array([reply.reward for reply in replies]).reshape(len(candidates), -1)


def _shuffle_between_episodes(scores: Floats, rng: np.random.Generator) -> Floats:
    """Reassign scores so that no rollout gets a score of its own episode."""
    shifted = np.roll(scores, int(rng.integers(1, len(scores))), axis=0)
    return rng.permuted(shifted, axis=1)


def _gradient(
    policy: RowPolicy,
    candidates: Sequence[Candidates],
    reports: Sequence[NDArray[np.bool_]],
    scores: Floats,
) -> Floats:
    """Return the leave-one-out policy gradient, averaged over rollouts, in the weights' shape."""
    rollouts = scores.shape[1]
    # The rollout's score minus the mean score of the episode's other rollouts.
    advantages = (scores - scores.mean(axis=1, keepdims=True)) * rollouts / (rollouts - 1)
    gradient = np.zeros_like(policy.weights)
    for episode, report, advantage in zip(candidates, reports, advantages, strict=True):
        row_gradient = advantage @ (report - policy.probabilities(episode)) / rollouts
        np.add.at(gradient, episode.entity, row_gradient[:, np.newaxis] * episode.context)
    return gradient / len(candidates)


class Evaluation:
    """Scores policies on a fixed set of episodes, with the same random numbers each time.

    Args:
        resets: resets of the episodes.
        seed: seed of the random numbers for sampled reports.
    """

    def __init__(self, resets: Sequence[Reset], seed: int = 0) -> None:
        self._seed = seed
        self._sessions = [EpisodeSession() for _ in resets]
        self._candidates = _start_rollouts(self._sessions, resets, rollouts=1)
        # Keeping the views avoids generating the episodes for every measurement.
        self._views = [session.view for session in self._sessions if session.view is not None]

    def score_sampled_reports(self, policy: RowPolicy) -> Floats:
        """Return the score of each episode with a sampled report, as in training."""
        rng = np.random.default_rng(self._seed)
        return self._score([policy.sample_reports(episode, 1, rng) for episode in self._candidates])

    def score_decided_reports(self, policy: RowPolicy) -> Floats:
        """Return the score of each episode with all rows of a probability above 0.5."""
        return self._score(
            [policy.probabilities(episode)[np.newaxis] > 0.5 for episode in self._candidates]
        )

    def _score(self, reports: Sequence[NDArray[np.bool_]]) -> Floats:
        for session, view in zip(self._sessions, self._views, strict=True):
            session.start_episode_from_view(session.task_id, view)
        return _submit_reports(self._sessions, self._candidates, reports)[:, 0]
