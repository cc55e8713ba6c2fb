"""The leaderboard as a static site: a page of boards, and a page of comparison for each board."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from openenv_kit.environment import Environment, get_environment
from openenv_kit.results.comparison_page import (
    compare_players,
    render_template,
    write_comparison_page,
)
from openenv_kit.results.scored_episodes import PlayerResults, ScoredEpisode, episode_of_run
from openenv_kit.results.statistics import PlayerSummary, summarize_player
from openenv_kit.results.submission_folder import Submission, SubmissionCard

INDEX_FILENAME = "index.html"
ATTESTED, SELF_REPORTED = "attested", "self-reported"
"""Labels of rows: whether the server of the sealed split signed that no play was left out."""


@dataclass(frozen=True)
class Leaderboard:
    """Submissions whose scores compare: the same tasks under the same rules.

    Attributes:
        page_filename: name of its own page.
        players: in the order of submissions' names.
        entries: the best mean score first; a tie keeps the order of names.
    """

    card: SubmissionCard
    page_filename: str
    environment: Environment
    players: Sequence[PlayerResults]
    entries: Sequence[tuple[Submission, PlayerSummary]]

    @property
    def pass_k_values(self) -> list[int]:
        """Values of k for which some player has a pass rate."""
        rates = [rate for _, each in self.entries for rate in each.pass_rates]
        return sorted({1, *(k for k, value in rates if value is not None)})


def attestation_label(submission: Submission) -> str:
    """Return the label of a submission's row."""
    return ATTESTED if submission.attestation else SELF_REPORTED


def group_into_boards(submissions: Sequence[Submission]) -> list[Leaderboard]:
    """The boards of submissions that hold."""
    groups: dict[tuple[object, ...], list[Submission]] = {}
    for each in sorted(submissions, key=lambda one: one.name):
        groups.setdefault(each.card.board_key, []).append(each)
    return [_build_board(group, number) for number, group in enumerate(groups.values(), start=1)]


def write_site(boards: Sequence[Leaderboard], folder: Path) -> Path:
    """Write the site into a folder; returns its first page."""
    folder.mkdir(parents=True, exist_ok=True)
    index = folder / INDEX_FILENAME
    index.write_text(
        render_template("site.html.jinja", boards=boards, label_of=attestation_label),
        encoding="utf-8",
    )
    for board in boards:
        comparison = compare_players(board.players, board.card.split, board.environment)
        write_comparison_page(comparison, folder / board.page_filename, home_url=INDEX_FILENAME)
    return index


def _build_board(group: Sequence[Submission], number: int) -> Leaderboard:
    card = group[0].card
    environment = get_environment(card.environment)
    players = [
        PlayerResults(
            f"{each.card.player} ({each.name})",
            each.name,
            each.card.versions,
            rollouts_of_submission(each),
            has_independent_rollouts=each.attestation is not None,
        )
        for each in group
    ]
    entries = zip(group, map(summarize_player, players), strict=True)
    best_first = sorted(entries, key=lambda each: -(each[1].mean or 0.0))
    return Leaderboard(card, f"board-{number}.html", environment, players, best_first)


def rollouts_of_submission(submission: Submission) -> list[ScoredEpisode]:
    """Return the plays of a submission; those that an attested one lacks score 0.

    They are the plays that the player started and did not finish, and those that the server
    offered and the player did not start.
    """
    plays, card = [episode_of_run(run) for run in submission.runs], submission.card
    if submission.attestation is None:
        return plays
    played = Counter(run.reset["index"] for run in submission.runs)
    for index in range(card.first, card.first + card.count):
        task, reset = f"{card.split}-{index}", {"split": card.split, "index": index, **card.reset}
        missing = ScoredEpisode(task=task, reset=reset, score=0.0, tool_calls=0)
        plays += [missing] * (card.tries - played[index])
    return plays
