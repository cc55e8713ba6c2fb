"""Measures how many repetitions of an episode its feedback takes to reveal the answer.

This is no exploit: the feedback is meant to reveal the answer, and a player that may repeat an
episode can use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.policies.base import RowFields, request_flagged_rows, require_analysis_result
from metric_tracker_rl.policies.upstream_first import STEPS_BEFORE_COUNTS
from openenv_kit.environment import Reply

MAX_PLAYS = 100
"""Maximum repetitions of an episode."""
EPISODES_PER_LEVEL = 50
"""Episodes of each level: the first ones that the audit plays."""

FeedbackPlayer = Callable[["_RepeatedEpisode"], None]


@dataclass(frozen=True)
class RepeatResult:
    """Scores of a player that repeats each episode of a level.

    Attributes:
        uses: part of the feedback that the player reads: `issues`, `counts` or `score`.
        difficulty: level of the episodes.
        episodes: number of episodes.
        first: mean score of the first repetition, which submits all flagged rows.
        second: mean score of the second repetition.
        plays: mean number of repetitions up to the first perfect one.
        solved: share of episodes that were solved within `MAX_PLAYS` repetitions.
    """

    uses: str
    difficulty: str
    episodes: int
    first: float
    second: float
    plays: float
    solved: float


def measure_repeats() -> list[RepeatResult]:
    """Measure every player on every level, in the order of the report."""
    audit, levels = ENVIRONMENT.audit, list(LEVELS)
    resets = {
        level: [audit.build_reset_arguments(level, number) for number in range(EPISODES_PER_LEVEL)]
        for level in levels
    }
    return [
        play_repeatedly(uses, level, resets[level])
        for uses in PLAYERS_BY_FEEDBACK
        for level in levels
    ]


def play_repeatedly(
    feedback_part: str, difficulty: str, resets: Sequence[dict[str, Any]]
) -> RepeatResult:
    """Repeat each episode with the player that reads one part of the feedback.

    Args:
        feedback_part: a key of `PLAYERS_BY_FEEDBACK`.
        difficulty: level of the episodes.
        resets: reset arguments of each episode.
    """
    scores = []
    for reset in resets:
        episode = _RepeatedEpisode(reset)
        PLAYERS_BY_FEEDBACK[feedback_part](episode)
        scores.append(episode.scores)

    def mean(values: Iterable[float]) -> float:
        return sum(values) / len(scores)

    return RepeatResult(
        feedback_part,
        difficulty,
        episodes=len(scores),
        first=mean(episode_scores[0] for episode_scores in scores),
        second=mean(episode_scores[:2][-1] for episode_scores in scores),
        plays=mean(map(len, scores)),
        solved=mean(episode_scores[-1] == 1.0 for episode_scores in scores),
    )


class _RepeatedEpisode:
    """One episode that can be repeated.

    Attributes:
        rows: all flagged rows.
        scores: score of each repetition so far.
    """

    def __init__(self, reset: dict[str, Any]) -> None:
        self._reset = reset
        self._session = EpisodeSession()
        self._session.reset(**reset)
        reply = self._session.step(next(request_flagged_rows()))
        result = require_analysis_result(reply.observation_fields)
        self.rows: list[RowFields] = list(result["generated_rows"])
        self.scores: list[float] = []

    @property
    def is_done(self) -> bool:
        """Whether the last score is perfect or the repetitions are used up."""
        return 1.0 in self.scores[-1:] or len(self.scores) >= MAX_PLAYS

    def submit_report(self, rows: Sequence[RowFields]) -> Reply:
        """Start the episode again and submit a report. Return the reply."""
        self._session.reset(**self._reset)
        reply = self._session.step({"classifications": rows})
        self.scores.append(reply.reward or 0.0)
        return reply


def _learn_from_issues(episode: _RepeatedEpisode) -> None:
    """Submit all rows, then those to which the feedback does not object."""
    reply = episode.submit_report(episode.rows)
    wrong_keys = {issue.row_key for issue in reply.observation_fields["submission_issues"]}
    if not episode.is_done:
        episode.submit_report([row for row in episode.rows if _row_key(row) not in wrong_keys])


def _learn_from_counts(episode: _RepeatedEpisode) -> None:
    """Find the correct rows by bisection with the number of correct rows."""
    reply = episode.submit_report(episode.rows)
    correct_rows: list[RowFields] = []
    correct_count = reply.observation_fields["correct_row_count"]
    _bisect_rows(episode, episode.rows, correct_count, correct_rows)
    if not episode.is_done:
        episode.submit_report(correct_rows)


def _bisect_rows(
    episode: _RepeatedEpisode,
    rows: list[RowFields],
    correct_count: int,
    correct_rows: list[RowFields],
) -> None:
    """Add the correct ones among `rows`, of which there are `correct_count`, to `correct_rows`."""
    if correct_count == len(rows):
        correct_rows.extend(rows)
    if correct_count in (0, len(rows)) or episode.is_done:
        return
    # Upstream rows are correct more often, so sorted halves are soon all correct or all wrong.
    ranked = _sort_upstream_first(rows)
    half, rest = ranked[: len(rows) // 2], ranked[len(rows) // 2 :]
    count_in_half = episode.submit_report(half).observation_fields["correct_row_count"]
    _bisect_rows(episode, half, count_in_half, correct_rows)
    _bisect_rows(episode, rest, correct_count - count_in_half, correct_rows)


def _learn_from_scores(episode: _RepeatedEpisode) -> None:
    """Add the rows one by one, and keep each one that raises the score."""
    episode.submit_report(episode.rows)
    correct_rows: list[RowFields] = []
    best_score = 0.0
    for row in _sort_upstream_first(episode.rows):
        if episode.is_done:
            return
        score = episode.submit_report([*correct_rows, row]).reward or 0.0
        if score > best_score:
            correct_rows.append(row)
            best_score = score


def _sort_upstream_first(rows: Sequence[RowFields]) -> list[RowFields]:
    """Sort rows by how far upstream they are; upstream rows are correct most often."""
    return sorted(rows, key=lambda row: STEPS_BEFORE_COUNTS.index(row["entity_name"]))


def _row_key(row: RowFields) -> str:
    return "|".join(row[name] for name in ("date", "entity_type", "entity_name"))


PLAYERS_BY_FEEDBACK: dict[str, FeedbackPlayer] = {
    "issues": _learn_from_issues,
    "counts": _learn_from_counts,
    "score": _learn_from_scores,
}
"""Players by the part of the feedback that they read."""
