"""The leaderboard's file: what is written, what is read, and what the page shows of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from openenv_kit.environment import get_environment
from openenv_kit.errors import ConfigurationError
from openenv_kit.page.tabs.leaderboard import leaderboard_html
from openenv_kit.results.board_file import (
    PACKAGED_BOARD,
    Board,
    BoardEntry,
    read_board_file,
    write_board_file,
)
from openenv_kit.results.leaderboard_site import group_into_boards
from openenv_kit.results.submissions import read_submission
from support.paths import ROOT

FUNNEL = get_environment("metric_tracker_rl")
MODEL = BoardEntry(
    player="org/<b>model</b>",
    by="Somebody",
    is_scripted=False,
    evidence="attested",
    mean=0.5,
    ci_low=0.4,
    ci_high=0.6,
    levels={"hard": 0.25, "easy": 0.75},
    pass_rates={1: 0.5, 4: 0.25},
    episodes=96,
    tokens=8120.4,
    date="2026-01-02",
)


def board_of(*entries: BoardEntry) -> Board:
    return Board(
        environment="metric_tracker_rl", split="validation", first=0, count=96, entries=[*entries]
    )


def test_written_board_contains_means_intervals_and_levels(tmp_path: Path) -> None:
    boards = group_into_boards([read_submission(ROOT / "submissions" / "firewatch-null")])
    write_board_file(boards, tmp_path / "board.json")
    (board,) = read_board_file(tmp_path / "board.json").boards
    (entry,) = board.entries
    assert (board.environment, board.split, board.count) == ("firewatch", "validation", 60)
    assert (entry.recorded_player, entry.is_scripted) == ("null", True)
    assert set(entry.levels) == {"easy", "medium", "hard"}
    assert entry.episodes == 60


def test_packaged_board_lists_the_submissions_of_the_repository() -> None:
    boards = read_board_file(PACKAGED_BOARD).boards
    listed = sorted(entry.notes for board in boards for entry in board.entries)
    cards = [
        read_submission(card.parent).card for card in (ROOT / "submissions").glob("*/card.yaml")
    ]
    assert listed == sorted(card.notes for card in cards), "run submissions/remake"
    versions = {board.environment: board.versions for board in boards}
    for name, recorded in versions.items():
        assert recorded == dict(get_environment(name).versions), "run submissions/remake"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("nonsense", "is not a leaderboard"),
        ('{"format": "other/1", "boards": []}', "has the format 'other/1'"),
        ('{"format": "leaderboard/1", "boards": [{}]}', "boards.0.environment"),
    ],
)
def test_malformed_board_is_refused_with_the_reason(
    tmp_path: Path, content: str, expected: str
) -> None:
    path = tmp_path / "board.json"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=expected):
        read_board_file(path)


def test_missing_board_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_board_file(tmp_path / "none.json")


def test_page_shows_the_figures_and_leads_to_the_rollouts() -> None:
    html = leaderboard_html(FUNNEL, [board_of(MODEL)])
    for text in ("attested", "0.400 to 0.600", "8,120", "2026-01-02", "pass^4", "0.250"):
        assert text in html
    assert "<b>model</b>" not in html
    assert "?tab=runs&amp;player=org%2F%3Cb%3Emodel" in html
    assert html.index(">easy<") < html.index(">hard<")
    assert "No language model" not in html


@pytest.mark.parametrize(
    ("boards", "state"),
    [
        ([], "There are no entries yet."),
        ([board_of()], "There are no entries yet."),
        ([board_of(MODEL.model_copy(update={"is_scripted": True}))], "No language model is listed"),
    ],
)
def test_board_without_models_shows_the_commands_that_make_an_entry(
    boards: list[Board], state: str
) -> None:
    html = leaderboard_html(FUNNEL, boards)
    assert state in html
    assert "metric-tracker submit" in html
    assert "--environment metric_tracker_rl" in html


def test_commands_that_make_an_entry_play_the_tasks_of_the_board() -> None:
    board = board_of(MODEL).model_copy(update={"split": "validation", "first": 8, "count": 40})
    html = leaderboard_html(FUNNEL, [board])
    assert "--tasks validation:8-47 " in html


def test_unreadable_board_is_reported_without_its_path() -> None:
    html = leaderboard_html(FUNNEL, [], "The leaderboard's file cannot be read.")
    assert "cannot be read" in html
