"""The leaderboard as a static site: a page of boards, and a page of comparison for each board."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from openenv_kit.environment import Environment, get_environment
from openenv_kit.results.comparison_page import compared, rendered, write_page
from openenv_kit.results.scored_episodes import Play, Player, play_of
from openenv_kit.results.statistics import Summary, summary
from openenv_kit.results.submission_folder import Card, Submission

INDEX = "index.html"
ATTESTED, SELF_REPORTED = "attested", "self-reported"
"""Labels of rows: whether the server of the sealed split signed that no play was left out."""


@dataclass(frozen=True)
class Board:
    """Submissions whose scores compare: the same tasks under the same rules.

    Attributes:
        page: name of its own page.
        players: in the order of submissions' names.
        entries: the best mean score first; a tie keeps the order of names.
    """

    card: Card
    page: str
    environment: Environment
    players: Sequence[Player]
    entries: Sequence[tuple[Submission, Summary]]

    @property
    def powers(self) -> list[int]:
        """Values of k for which some player has a pass rate."""
        rates = [rate for _, each in self.entries for rate in each.passes]
        return sorted({1, *(k for k, value in rates if value is not None)})


def label_of(submission: Submission) -> str:
    """Return the label of a submission's row."""
    return ATTESTED if submission.attestation else SELF_REPORTED


def boards_of(submissions: Sequence[Submission]) -> list[Board]:
    """The boards of submissions that hold."""
    groups: dict[tuple[object, ...], list[Submission]] = {}
    for each in sorted(submissions, key=lambda one: one.name):
        groups.setdefault(each.card.board, []).append(each)
    return [_board(group, number) for number, group in enumerate(groups.values(), start=1)]


def write_site(boards: Sequence[Board], folder: Path) -> Path:
    """Write the site into a folder; returns its first page."""
    folder.mkdir(parents=True, exist_ok=True)
    index = folder / INDEX
    index.write_text(
        rendered("site.html.jinja", boards=boards, label_of=label_of), encoding="utf-8"
    )
    for board in boards:
        comparison = compared(board.players, board.card.split, board.environment)
        write_page(comparison, folder / board.page, home=INDEX)
    return index


def _board(group: Sequence[Submission], number: int) -> Board:
    card = group[0].card
    environment = get_environment(card.environment)
    players = [
        Player(
            f"{each.card.player} ({each.name})",
            each.name,
            each.card.versions,
            plays_of(each),
            has_independent_plays=each.attestation is not None,
        )
        for each in group
    ]
    entries = zip(group, map(summary, players), strict=True)
    best_first = sorted(entries, key=lambda each: -(each[1].mean or 0.0))
    return Board(card, f"board-{number}.html", environment, players, best_first)


def plays_of(submission: Submission) -> list[Play]:
    """Return the plays of a submission; those that an attested one lacks score 0.

    They are the plays that the player started and did not finish, and those that the server
    offered and the player did not start.
    """
    plays, card = [play_of(run) for run in submission.runs], submission.card
    if submission.attestation is None:
        return plays
    played = Counter(run.reset["index"] for run in submission.runs)
    for index in range(card.first, card.first + card.count):
        task, reset = f"{card.split}-{index}", {"split": card.split, "index": index, **card.reset}
        missing = Play(task=task, reset=reset, score=0.0, tool_calls=0)
        plays += [missing] * (card.tries - played[index])
    return plays
