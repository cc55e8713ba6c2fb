"""Writes the leaderboard as a static site: an index page, and a comparison page for each board."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from openenv_kit.environment import Environment, get_environment
from openenv_kit.results.comparison_page import (
    compare_players,
    render_html_template,
    write_comparison_page,
)
from openenv_kit.results.player_summary import PlayerSummary, summarize_player
from openenv_kit.results.scored_episodes import (
    PlayerResults,
    ScoredEpisode,
    scored_episode_from_run,
)
from openenv_kit.results.submission_folder import (
    BoardKey,
    EvidenceLabel,
    Submission,
    SubmissionCard,
)

INDEX_FILENAME = "index.html"


class LeaderboardEntry(NamedTuple):
    """One row of a leaderboard: a submission and its scores."""

    submission: Submission
    summary: PlayerSummary

    @property
    def evidence_label(self) -> EvidenceLabel:
        """Whether the row is attested or self-reported."""
        return self.submission.evidence_label


@dataclass(frozen=True)
class Leaderboard:
    """Submissions with comparable scores: the same tasks and the same reset arguments.

    Attributes:
        card: card of the first submission. All submissions have the same split, tasks and reset
            arguments.
        page_filename: filename of the board's comparison page.
        environment: the environment that was played.
        players: the players, sorted by the name of their submission.
        entries: the rows, with the highest mean score first; ties are sorted by submission name.
    """

    card: SubmissionCard
    page_filename: str
    environment: Environment
    players: Sequence[PlayerResults]
    entries: Sequence[LeaderboardEntry]

    @property
    def pass_k_values(self) -> list[int]:
        """Values of k for which at least one player has a pass rate; 1 is always included."""
        rates = [rate for entry in self.entries for rate in entry.summary.pass_rates]
        return sorted({1, *(rate.k for rate in rates if rate.probability is not None)})


def group_into_boards(submissions: Sequence[Submission]) -> list[Leaderboard]:
    """Group valid submissions with comparable scores, and return a board for each group."""
    groups: defaultdict[BoardKey, list[Submission]] = defaultdict(list)
    for submission in sorted(submissions, key=lambda submission: submission.name):
        groups[submission.card.board_key].append(submission)
    return [_build_board(group, number) for number, group in enumerate(groups.values(), start=1)]


def write_leaderboard_site(boards: Sequence[Leaderboard], folder: Path) -> Path:
    """Write the leaderboard's site into a folder and return the path of its index page."""
    folder.mkdir(parents=True, exist_ok=True)
    index = folder / INDEX_FILENAME
    index.write_text(render_html_template("site.html.jinja", boards=boards), encoding="utf-8")
    for board in boards:
        comparison = compare_players(board.players, board.card.split, board.environment)
        write_comparison_page(comparison, folder / board.page_filename, home_url=INDEX_FILENAME)
    return index


def list_rollouts_with_zero_for_missing_attested(submission: Submission) -> list[ScoredEpisode]:
    """Return the rollouts of a submission.

    For an attested submission, the list also contains a rollout with score 0 for each rollout that
    the server offered and the player did not start or did not finish.
    """
    rollouts = [scored_episode_from_run(run) for run in submission.runs]
    if submission.attestation is None:
        return rollouts
    card = submission.card
    run_counts = Counter(run.reset["index"] for run in submission.runs)
    for index in range(card.first, card.first + card.count):
        missing = ScoredEpisode(
            task=f"{card.split}-{index}",
            reset={"split": card.split, "index": index, **card.reset},
            score=0.0,
            tool_calls=0,
        )
        rollouts += [missing] * (card.tries - run_counts[index])
    return rollouts


def _build_board(submissions: Sequence[Submission], board_number: int) -> Leaderboard:
    card = submissions[0].card
    players = [
        PlayerResults(
            name=f"{submission.card.player} ({submission.name})",
            source=submission.name,
            versions=submission.card.versions,
            rollouts=list_rollouts_with_zero_for_missing_attested(submission),
            has_independent_rollouts=submission.attestation is not None,
        )
        for submission in submissions
    ]
    entries = [
        LeaderboardEntry(submission, summarize_player(player))
        for submission, player in zip(submissions, players, strict=True)
    ]
    return Leaderboard(
        card=card,
        page_filename=f"board-{board_number}.html",
        environment=get_environment(card.environment),
        players=players,
        entries=sorted(entries, key=lambda entry: -(entry.summary.mean or 0.0)),
    )
