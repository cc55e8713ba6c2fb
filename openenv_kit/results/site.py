"""The leaderboard as a static site: a page of boards, and a page of comparison for each board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from openenv_kit.environment import Environment, get_environment
from openenv_kit.results.page import compared, rendered, write_page
from openenv_kit.results.plays import Player, play_of
from openenv_kit.results.statistics import Summary, summary
from openenv_kit.results.submissions import Card, Submission

INDEX = "index.html"


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
    index.write_text(rendered("site.html.jinja", boards=boards), encoding="utf-8")
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
            [play_of(run) for run in each.runs],
        )
        for each in group
    ]
    entries = zip(group, map(summary, players), strict=True)
    best_first = sorted(entries, key=lambda each: -(each[1].mean or 0.0))
    return Board(card, f"board-{number}.html", environment, players, best_first)
