"""Builds the Leaderboard tab of the debugger from `board.json`, without replaying rollouts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import urlencode

from openenv_kit.environment import Environment
from openenv_kit.errors import ConfigurationError
from openenv_kit.page.components.elements import heading_html
from openenv_kit.page.events import unstyled_html_component
from openenv_kit.recordings.rollout_catalogue import list_levels_in_order
from openenv_kit.results.board_file import PACKAGED_BOARD, Board, BoardEntry, read_board_file

SCRIPT = Path(__file__).parents[1] / "static" / "leaderboard.js"
SUBTITLE = (
    "Scores are computed by replaying the submitted rollouts. The column “Completeness” says who "
    "states that no rollout was left out."
)
ENTRY_COMMANDS = (
    "uv run python inference.py --environment {name} --tasks {split}:{first}-{last} "
    "--record my-model\n"
    "uv run metric-tracker submit my-model --environment {name} --out submissions/my-model"
)
TASKS_OF_FIRST_ENTRY = 24
"""Number of tasks in the commands of an environment that has no leaderboard."""
EXPLANATION = (
    "Attested: the server of a sealed split signed a record of every rollout that the player "
    "started. Self-reported: the player may have omitted rollouts, so pass^k is shown only for "
    "k = 1. pass@1 is the share of rollouts with the full score, and pass^k the probability that "
    "k rollouts of an episode all have it. The bar shows the mean and its 95 % interval."
)

logger = logging.getLogger("openenv_kit.page")


def build_leaderboard_tab(environment: Environment, board_path: str) -> None:
    """Build the Leaderboard tab.

    Args:
        environment: environment of the page.
        board_path: path of `board.json`; empty to use the leaderboard in the package.
    """
    problem, boards = "", []
    try:
        found = read_board_file(Path(board_path) if board_path else PACKAGED_BOARD).boards
        boards = [board for board in found if board.environment == environment.name]
    except ConfigurationError as refusal:
        logger.warning("failed to read leaderboard", extra={"reason": str(refusal)})
        problem = "The leaderboard file cannot be read. The server log contains the reason."
    unstyled_html_component(
        leaderboard_html(environment, boards, problem),
        js_on_load=SCRIPT.read_text(encoding="utf-8"),
        elem_id="mt-board",
    )


def leaderboard_html(environment: Environment, boards: list[Board], problem: str = "") -> str:
    """Return the leaderboards of an environment and the commands that create an entry.

    Args:
        environment: the environment.
        boards: leaderboards of the environment.
        problem: error message to show; empty if the leaderboards could be read.
    """
    html = heading_html("Leaderboard", SUBTITLE)
    if problem:
        html += f'<p class="mt-note bad">{escape(problem)}</p>'
    level_order = list_levels_in_order(environment)
    html += "".join(_board_html(board, level_order) for board in boards)
    if boards:
        html += f'<p class="mt-hint">{escape(EXPLANATION)}</p>'
    entries = [entry for board in boards for entry in board.entries]
    if not any(not entry.is_scripted for entry in entries):
        state = (
            "No language model is listed yet, only policies."
            if entries
            else "There are no entries yet."
        )
        html += _invitation_html(environment, boards, state)
    else:
        html += _invitation_html(environment, boards, "Add your model.")
    return html


def _board_html(board: Board, level_order: Sequence[str]) -> str:
    found = {level for entry in board.entries for level in entry.levels}
    levels = [level for level in dict.fromkeys([*level_order, *sorted(found)]) if level in found]
    k_values = sorted({1, *(k for entry in board.entries for k in entry.pass_rates)})
    titles = ["Rank", "Player", "Completeness", "Mean score", "Interval", *levels]
    titles += ["pass@1" if k == 1 else f"pass^{k}" for k in k_values]
    titles += ["Episodes", "Tokens", "Date"]
    numeric = {0, *range(5, 5 + len(levels) + len(k_values) + 2)}
    head = "".join(
        f'<th scope="col"{_numeric(at in numeric)}>{escape(title)}</th>'
        for at, title in enumerate(titles)
    )
    rows = "".join(
        _entry_html(entry, rank, levels, k_values)
        for rank, entry in enumerate(board.entries, start=1)
    )
    reset = "".join(f", {name} {value}" for name, value in board.reset.items())
    last = board.first + board.count - 1
    title = f"{board.split}, tasks {board.first} to {last}{reset}"
    versions = ", ".join(f"{name} {version}" for name, version in board.versions.items())
    versions = f"played with these versions of the environment: {versions}" if versions else ""
    return (
        f'<h3 class="mt-board-title">{escape(title)} <small>{escape(versions)}</small></h3>'
        f'<div class="mt-scroll" tabindex="0" role="region" aria-label="{escape(title)}">'
        f'<table class="mt-table mt-board"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _entry_html(entry: BoardEntry, rank: int, levels: list[str], k_values: list[int]) -> str:
    """Return the row of an entry.

    The page's script turns the player's name into a link if the Runs tab lists its rollouts.
    """
    href = "?" + urlencode({"tab": "runs", "player": entry.recorded_player})
    about = f"by {entry.by}. {entry.notes}" if entry.by else entry.notes
    scripted = ' <span class="mt-label">policy</span>' if entry.is_scripted else ""
    player = (
        f'<span data-runs="{escape(href)}">{escape(entry.recorded_player)}</span>{scripted}'
        f"{f'<br><small>{escape(about)}</small>' if about else ''}"
    )
    cells = [_score_text(entry.levels.get(level)) for level in levels]
    cells += [_score_text(entry.pass_rates.get(k)) for k in k_values]
    cells.append(str(entry.episodes))
    cells.append("–" if entry.tokens is None else f"{entry.tokens:,.0f}")
    numbers = "".join(f'<td class="num">{cell}</td>' for cell in cells)
    return (
        f'<tr><td class="num">{rank}</td><th scope="row">{player}</th>'
        f'<td><span class="mt-label {escape(entry.evidence)}">{escape(entry.evidence)}</span></td>'
        f'<td class="num">{_interval_text(entry)}</td><td class="bar">{_interval_bar(entry)}</td>'
        f"{numbers}<td>{escape(entry.date) or '–'}</td></tr>"
    )


def _interval_text(entry: BoardEntry) -> str:
    if entry.mean is None:
        return "–"
    if entry.ci_low is None or entry.ci_high is None:
        return f"<b>{entry.mean:.3f}</b>"
    return f"<b>{entry.mean:.3f}</b> <small>{entry.ci_low:.3f} to {entry.ci_high:.3f}</small>"


def _interval_bar(entry: BoardEntry) -> str:
    """Return a bar from 0 to 1 that shows an entry's mean score and its confidence interval."""
    if entry.mean is None:
        return ""
    low = entry.mean if entry.ci_low is None else entry.ci_low
    high = entry.mean if entry.ci_high is None else entry.ci_high
    return (
        '<i class="mt-interval" aria-hidden="true">'
        f'<b style="width:{100 * entry.mean:.1f}%"></b>'
        f'<u style="left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%"></u></i>'
    )


def _invitation_html(environment: Environment, boards: Sequence[Board], state: str) -> str:
    """Return the commands that create an entry with the tasks of the first leaderboard."""
    if boards:
        split, first, count = boards[0].split, boards[0].first, boards[0].count
    else:
        splits = environment.splits.list_playable_split_names()
        split = "validation" if "validation" in splits else splits[0]
        first, count = 0, TASKS_OF_FIRST_ENTRY
    commands = ENTRY_COMMANDS.format(
        name=environment.name, split=split, first=first, last=first + count - 1
    )
    return (
        f'<div class="mt-runs-empty"><h3>{escape(state)}</h3>'
        "<p>Create an entry with two commands:</p>"
        f'<pre tabindex="0" role="region" aria-label="Commands">{escape(commands)}</pre></div>'
    )


def _score_text(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _numeric(is_numeric: bool) -> str:
    return ' class="num"' if is_numeric else ""
