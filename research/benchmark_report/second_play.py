"""Playing one episode again and again: what the end of each play gives away for the next.

Not an exploit, because nothing is broken: anyone who may repeat an episode learns its answer from
the feedback. These players measure how soon.
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
EPISODES_PER_LEVEL = 50
"""Of each level, the first that the audit plays."""

FeedbackPlayer = Callable[["_RepeatedEpisode"], None]


@dataclass(frozen=True)
class RepeatResult:
    """What playing each episode several times came to.

    Attributes:
        uses: what the player reads of an end: `issues`, `counts` or `score`.
        first: mean score of the first play, which submits everything flagged.
        second: mean score of the second play.
        plays: mean number of plays up to the first perfect one.
        solved: share of episodes that were solved within `MOST_PLAYS` plays.
    """

    uses: str
    difficulty: str
    episodes: int
    first: float
    second: float
    plays: float
    solved: float


def measure_repeats() -> list[RepeatResult]:
    """Every player on every level, in the order of the card."""
    audit, levels = ENVIRONMENT.audit, list(LEVELS)
    resets = {
        each: [audit.reset_arguments(each, n) for n in range(EPISODES_PER_LEVEL)] for each in levels
    }
    return [
        play_repeatedly(uses, level, resets[level])
        for uses in PLAYERS_BY_FEEDBACK
        for level in levels
    ]


def play_repeatedly(
    feedback_part: str, difficulty: str, resets: Sequence[dict[str, Any]]
) -> RepeatResult:
    """Play the episodes of some resets repeatedly, reading one part of the feedback.

    Raises:
        KeyError: `uses` names no part of the feedback.
    """
    scores = []
    for reset in resets:
        table = _RepeatedEpisode(reset)
        PLAYERS_BY_FEEDBACK[feedback_part](table)
        scores.append(table.scores)

    def mean(values: Iterable[float]) -> float:
        return sum(values) / len(scores)

    return RepeatResult(
        feedback_part,
        difficulty,
        episodes=len(scores),
        first=mean(each[0] for each in scores),
        second=mean(each[:2][-1] for each in scores),
        plays=mean(map(len, scores)),
        solved=mean(each[-1] == 1.0 for each in scores),
    )


class _RepeatedEpisode:
    """One episode, played as often as wanted; remembers every score."""

    def __init__(self, reset: dict[str, Any]) -> None:
        self._reset = reset
        self._session = EpisodeSession()
        self._session.reset(**reset)
        found = self._session.step(next(request_flagged_rows()))
        self.rows: list[RowFields] = list(
            require_analysis_result(found.observation_fields)["generated_rows"]
        )
        self.scores: list[float] = []

    @property
    def is_done(self) -> bool:
        """Whether the answer is found, or too much was spent on it."""
        return 1.0 in self.scores[-1:] or len(self.scores) >= MAX_PLAYS

    def submit_report(self, rows: Sequence[RowFields]) -> Reply:
        """One play: the report, and how it ended."""
        self._session.reset(**self._reset)
        reply = self._session.step({"classifications": rows})
        self.scores.append(reply.reward or 0.0)
        return reply


def _learn_from_issues(episode: _RepeatedEpisode) -> None:
    """Leaves out what the first play's remarks call too much."""
    reply = episode.submit_report(episode.rows)
    extra = {each.row_key for each in reply.observation_fields["submission_issues"]}
    if not episode.is_done:
        episode.submit_report([row for row in episode.rows if _row_key(row) not in extra])


def _learn_from_counts(episode: _RepeatedEpisode) -> None:
    """Halves the rows until every count of matches is known."""
    found = episode.submit_report(episode.rows).observation_fields["correct_row_count"]
    right: list[RowFields] = []
    _bisect_rows(episode, episode.rows, found, right)
    if not episode.is_done:
        episode.submit_report(right)


def _bisect_rows(
    episode: _RepeatedEpisode, rows: list[RowFields], matches: int, right: list[RowFields]
) -> None:
    if matches == len(rows):
        right.extend(rows)
    if matches in (0, len(rows)) or episode.is_done:
        return
    ranked = _sort_upstream_first(rows)  # so that a half is soon all right or all wrong
    half, rest = ranked[: len(rows) // 2], ranked[len(rows) // 2 :]
    found = episode.submit_report(half).observation_fields["correct_row_count"]
    _bisect_rows(episode, half, found, right)
    _bisect_rows(episode, rest, matches - found, right)


def _learn_from_scores(episode: _RepeatedEpisode) -> None:
    """Tries the rows one by one: a score above 0 is a match."""
    episode.submit_report(episode.rows)
    right: list[RowFields] = []
    best = 0.0
    for row in _sort_upstream_first(episode.rows):
        if episode.is_done:
            return
        score = episode.submit_report([*right, row]).reward or 0.0
        if score > best:
            right, best = [*right, row], score


def _sort_upstream_first(rows: Sequence[RowFields]) -> list[RowFields]:
    """The most upstream rows first: they are right most often."""
    return sorted(rows, key=lambda row: STEPS_BEFORE_COUNTS.index(row["entity_name"]))


def _row_key(row: RowFields) -> str:
    return "|".join(row[name] for name in ("date", "entity_type", "entity_name"))


PLAYERS_BY_FEEDBACK: dict[str, FeedbackPlayer] = {
    "issues": _learn_from_issues,
    "counts": _learn_from_counts,
    "score": _learn_from_scores,
}
"""Players by what they read of the end of a play."""
