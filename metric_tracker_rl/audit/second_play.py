"""Playing one episode again and again: what the end of each play sells for the next.

No exploit, because nothing is broken: whoever may play an episode as often as he likes learns
its answer from the feedback. These players measure how soon.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from metric_tracker_rl.audit.runner import reset_arguments
from metric_tracker_rl.policies.flagged import Row, flagged_rows
from metric_tracker_rl.policies.registry import result_of
from metric_tracker_rl.policies.upstream_first import STEPS_FIRST
from metric_tracker_rl.session import Call, EpisodeSession, Reply

MOST_PLAYS = 100

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

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def play_again(uses: str, difficulty: str, episodes: int) -> Repeated:
    """Play audited episodes repeatedly, reading one part of the feedback.

    Raises:
        KeyError: `uses` names no part of the feedback.
    """
    scores = []
    for number in range(episodes):
        table = _Again(reset_arguments(difficulty, number))
        PLAYERS[uses](table)
        scores.append(table.scores)
    solved = [each for each in scores if each[-1] == 1.0]
    return Repeated(
        uses,
        difficulty,
        episodes,
        first=sum(each[0] for each in scores) / episodes,
        second=sum(each[min(1, len(each) - 1)] for each in scores) / episodes,
        plays=sum(map(len, scores)) / episodes,
        solved=len(solved) / episodes,
    )


class _Again:
    """One episode, played as often as wanted; remembers every score."""

    def __init__(self, reset: dict[str, Any]) -> None:
        self._reset = reset
        self._session = EpisodeSession()
        self.scores: list[float] = []
        session = EpisodeSession()
        session.reset(**reset)
        asking = flagged_rows()
        found = session.step(Call(**next(asking)))
        self.rows: list[Row] = list(result_of(found.content)["generated_rows"])

    @property
    def over(self) -> bool:
        """Whether the answer is found, or too much was spent on it."""
        return 1.0 in self.scores[-1:] or len(self.scores) >= MOST_PLAYS

    def submit(self, rows: Sequence[Row]) -> Reply:
        """One play: the report, and how it ended."""
        self._session.reset(**self._reset)
        reply = self._session.step(Call(classifications=rows))
        self.scores.append(reply.reward)
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
    # The most upstream rows are most often right, so that a half is soon all right or all wrong.
    ranked = sorted(rows, key=lambda row: STEPS_FIRST.index(row["entity_name"]))
    half, rest = ranked[: len(rows) // 2], ranked[len(rows) // 2 :]
    found = table.submit(half).content["correct_row_count"]
    _halve(table, half, found, right)
    _halve(table, rest, matches - found, right)


def _by_score(table: _Again) -> None:
    """Tries the rows one by one: a score above 0 is a match."""
    table.submit(table.rows)
    ranked = sorted(table.rows, key=lambda row: STEPS_FIRST.index(row["entity_name"]))
    right: list[Row] = []
    best = 0.0
    for row in ranked:
        if table.over:
            return
        score = table.submit([*right, row]).reward
        if score > best:
            right, best = [*right, row], score


def _key(row: Row) -> str:
    return "|".join(row[name] for name in ("date", "entity_type", "entity_name"))


PLAYERS: dict[str, Player] = {"issues": _by_issues, "counts": _by_counts, "score": _by_score}
"""Players by what they read of the end of a play."""
