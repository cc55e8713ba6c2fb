"""A comparison as one page that loads nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

from jinja2 import Environment as Templates
from jinja2 import PackageLoader, StrictUndefined

from openenv_kit.environment import Environment
from openenv_kit.results.scored_episodes import PlayerResults, ScoredEpisode
from openenv_kit.results.signal import ROLLOUTS_PER_GROUP
from openenv_kit.results.statistics import (
    PlayerDifference,
    PlayerSummary,
    paired_difference,
    summarize_player,
)

MAX_EPISODE_ROWS = 1000
"""Episodes in the matrix; means and intervals are of all of them."""
STYLE_FILE = Path(__file__).with_name("page.css")


@dataclass(frozen=True)
class Comparison:
    """Players on the tasks of one split.

    Attributes:
        summaries_by_label: by what plays are grouped (such as level) and then by group: a summary
            of each player, in the order of the players; None where one has no play there.
        paired: every two players on their common episodes.
        group_size: plays of a group, for the signal.
    """

    title: str
    split: str
    versions: Mapping[str, str]
    players: Sequence[PlayerResults]
    summaries: Sequence[PlayerSummary]
    summaries_by_label: Mapping[str, Mapping[str, Sequence[PlayerSummary | None]]]
    paired: Sequence[PlayerDifference]
    group_size: int


@dataclass(frozen=True)
class MatrixCell:
    """An episode's plays by one player: mean score and errors."""

    mean_score: float | None
    error_count: int


def compare_players(
    players: Sequence[PlayerResults],
    split: str,
    environment: Environment,
    group_size: int = ROLLOUTS_PER_GROUP,
) -> Comparison:
    """Everything there is to say about some players' plays of one split.

    Which level an episode had is known only of this release's own versions.
    """
    summaries = [summarize_player(player, group_size) for player in players]
    versions = dict(players[0].versions)
    current = versions == dict(environment.versions)
    return Comparison(
        title=environment.title,
        split=split,
        versions=versions,
        players=players,
        summaries=summaries,
        summaries_by_label=_summaries_by_label(players, environment) if current else {},
        paired=[paired_difference(*two) for two in combinations(players, 2)],
        group_size=group_size,
    )


def write_comparison_page(comparison: Comparison, path: Path, home_url: str = "") -> None:
    """Write the page; its folder is created if it is missing.

    `home` is the address of the page above it, if there is one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = _episode_rows(comparison.players)
    text = render_template(
        "page.html.jinja",
        board=comparison,
        home=home_url,
        rows=rows[:MAX_EPISODE_ROWS],
        hidden=max(len(rows) - MAX_EPISODE_ROWS, 0),
    )
    path.write_text(text, encoding="utf-8")


def render_template(template: str, **values: Any) -> str:
    """One of this folder's pages."""
    templates = Templates(
        loader=PackageLoader("openenv_kit.results", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = STYLE_FILE.read_text(encoding="utf-8")
    return templates.get_template(template).render(style=style, **values)


def _summaries_by_label(
    players: Sequence[PlayerResults], environment: Environment
) -> dict[str, dict[str, list[PlayerSummary | None]]]:
    """Summaries by each thing that the environment groups episodes by."""
    found: dict[str, dict[str, list[list[ScoredEpisode]]]] = {}
    for number, player in enumerate(players):
        for play in player.rollouts:
            for kind, name in environment.result_labels(play.reset).items():
                group = found.setdefault(kind, {}).setdefault(name, [[] for _ in players])
                group[number].append(play)
    return {
        kind: {
            name: [
                summarize_player(replace(player, rollouts=plays)) if plays else None
                for player, plays in zip(players, each, strict=True)
            ]
            for name, each in sorted(names.items())
        }
        for kind, names in found.items()
    }


def _episode_rows(players: Sequence[PlayerResults]) -> list[tuple[str, list[MatrixCell | None]]]:
    """A row for each episode, with a cell for each player."""
    tasks = {play.episode_key: play.task for player in players for play in player.rollouts}
    by_player: list[dict[str, list[ScoredEpisode]]] = []
    for player in players:
        mine: dict[str, list[ScoredEpisode]] = {}
        for play in player.rollouts:
            mine.setdefault(play.episode_key, []).append(play)
        by_player.append(mine)
    return [
        (task, [_matrix_cell(mine[episode]) if episode in mine else None for mine in by_player])
        for episode, task in tasks.items()
    ]


def _matrix_cell(episodes: Sequence[ScoredEpisode]) -> MatrixCell:
    scores = [play.score for play in episodes if play.score is not None]
    return MatrixCell(fmean(scores) if scores else None, len(episodes) - len(scores))
