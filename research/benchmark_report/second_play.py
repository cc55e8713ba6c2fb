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
from metric_tracker_rl.policies.base import Row, flagged_rows, result_of
from metric_tracker_rl.policies.upstream_first import STEPS_FIRST
from openenv_kit.environment import Reply

MOST_PLAYS = 100
EPISODES = 50
"""Of each level, the first that the audit plays."""

Player = Callable[["_Again"], None]


@dataclass(frozen=True)
class Repeated:
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


def measured() -> list[Repeated]:
    """Every player on every level, in the order of the card."""
    audit, levels = ENVIRONMENT.audit, list(LEVELS)
    resets = {each: [audit.reset_arguments(each, n) for n in range(EPISODES)] for each in levels}
    return [play_again(uses, level, resets[level]) for uses in PLAYERS for level in levels]


def play_again(uses: str, difficulty: str, resets: Sequence[dict[str, Any]]) -> Repeated:
    """Play the episodes of some resets repeatedly, reading one part of the feedback.

    Raises:
        KeyError: `uses` names no part of the feedback.
    """
    scores = []
    for reset in resets:
        table = _Again(reset)
        PLAYERS[uses](table)
        scores.append(table.scores)

    def mean(values: Iterable[float]) -> float:
        return sum(values) / len(scores)

    return Repeated(
        uses,
        difficulty,
        episodes=len(scores),
        first=mean(each[0] for each in scores),
        second=mean(each[:2][-1] for each in scores),
        plays=mean(map(len, scores)),
        solved=mean(each[-1] == 1.0 for each in scores),
    )


class _Again:
    """One episode, played as often as wanted; remembers every score."""

    def __init__(self, reset: dict[str, Any]) -> None:
        self._reset = reset
        self._session = EpisodeSession()
        self._session.reset(**reset)
        found = self._session.step(next(flagged_rows()))
        self.rows: list[Row] = list(result_of(found.content)["generated_rows"])
        self.scores: list[float] = []

    @property
    def over(self) -> bool:
        """Whether the answer is found, or too much was spent on it."""
        return 1.0 in self.scores[-1:] or len(self.scores) >= MOST_PLAYS

    def submit(self, rows: Sequence[Row]) -> Reply:
        """One play: the report, and how it ended."""
        self._session.reset(**self._reset)
        reply = self._session.step({"classifications": rows})
        self.scores.append(reply.reward or 0.0)
        return reply


def _by_issues(table: _Again) -> None:
    """Leaves out what the first play's remarks call too much."""
    reply = table.submit(table.rows)
    extra = {each.row_key for each in reply.content["submission_issues"]}
    if not table.over:
        table.submit([row for row in table.rows if _key(row) not in extra])


def _by_counts(table: _Again) -> None:
    """Halves the rows until every count of matches is known."""
    found = table.submit(table.rows).content["correct_row_count"]
    right: list[Row] = []
    _halve(table, table.rows, found, right)
    if not table.over:
        table.submit(right)


def _halve(table: _Again, rows: list[Row], matches: int, right: list[Row]) -> None:
    if matches == len(rows):
        right.extend(rows)
    if matches in (0, len(rows)) or table.over:
        return
    ranked = _upstream_first(rows)  # so that a half is soon all right or all wrong
    half, rest = ranked[: len(rows) // 2], ranked[len(rows) // 2 :]
    found = table.submit(half).content["correct_row_count"]
    _halve(table, half, found, right)
    _halve(table, rest, matches - found, right)


def _by_score(table: _Again) -> None:
    """Tries the rows one by one: a score above 0 is a match."""
    table.submit(table.rows)
    right: list[Row] = []
    best = 0.0
    for row in _upstream_first(table.rows):
        if table.over:
            return
        score = table.submit([*right, row]).reward or 0.0
        if score > best:
            right, best = [*right, row], score


def _upstream_first(rows: Sequence[Row]) -> list[Row]:
    """The most upstream rows first: they are right most often."""
    return sorted(rows, key=lambda row: STEPS_FIRST.index(row["entity_name"]))


def _key(row: Row) -> str:
    return "|".join(row[name] for name in ("date", "entity_type", "entity_name"))


PLAYERS: dict[str, Player] = {"issues": _by_issues, "counts": _by_counts, "score": _by_score}
"""Players by what they read of the end of a play."""
