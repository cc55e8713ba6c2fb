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
from openenv_kit.results.scored_episodes import Play, Player
from openenv_kit.results.signal import GROUP
from openenv_kit.results.statistics import Difference, Summary, difference, summary

MAX_ROWS = 1000
"""Episodes in the matrix; means and intervals are of all of them."""
STYLE = Path(__file__).with_name("page.css")


@dataclass(frozen=True)
class Comparison:
    """Players on the tasks of one split.

    Attributes:
        groups: by what plays are grouped (such as level) and then by group: a summary of each
            player, in the order of the players; None where one has no play there.
        paired: every two players on their common episodes.
        group: plays of a group, for the signal.
    """

    title: str
    split: str
    versions: Mapping[str, str]
    players: Sequence[Player]
    summaries: Sequence[Summary]
    groups: Mapping[str, Mapping[str, Sequence[Summary | None]]]
    paired: Sequence[Difference]
    group: int


@dataclass(frozen=True)
class Cell:
    """An episode's plays by one player: mean score and errors."""

    score: float | None
    errors: int


def compared(
    players: Sequence[Player], split: str, environment: Environment, group: int = GROUP
) -> Comparison:
    """Everything there is to say about some players' plays of one split.

    Which level an episode had is known only of this release's own versions.
    """
    summaries = [summary(player, group) for player in players]
    versions = dict(players[0].versions)
    current = versions == dict(environment.versions)
    return Comparison(
        title=environment.title,
        split=split,
        versions=versions,
        players=players,
        summaries=summaries,
        groups=_groups(players, environment) if current else {},
        paired=[difference(*two) for two in combinations(players, 2)],
        group=group,
    )


def write_page(comparison: Comparison, path: Path, home: str = "") -> None:
    """Write the page; its folder is created if it is missing.

    `home` is the address of the page above it, if there is one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = _matrix(comparison.players)
    text = rendered(
        "page.html.jinja",
        board=comparison,
        home=home,
        rows=rows[:MAX_ROWS],
        hidden=max(len(rows) - MAX_ROWS, 0),
    )
    path.write_text(text, encoding="utf-8")


def rendered(template: str, **values: Any) -> str:
    """One of this folder's pages."""
    templates = Templates(
        loader=PackageLoader("openenv_kit.results", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = STYLE.read_text(encoding="utf-8")
    return templates.get_template(template).render(style=style, **values)


def _groups(
    players: Sequence[Player], environment: Environment
) -> dict[str, dict[str, list[Summary | None]]]:
    """Summaries by each thing that the environment groups episodes by."""
    found: dict[str, dict[str, list[list[Play]]]] = {}
    for number, player in enumerate(players):
        for play in player.plays:
            for kind, name in environment.groups(play.reset).items():
                group = found.setdefault(kind, {}).setdefault(name, [[] for _ in players])
                group[number].append(play)
    return {
        kind: {
            name: [
                summary(replace(player, plays=plays)) if plays else None
                for player, plays in zip(players, each, strict=True)
            ]
            for name, each in sorted(names.items())
        }
        for kind, names in found.items()
    }


def _matrix(players: Sequence[Player]) -> list[tuple[str, list[Cell | None]]]:
    """A row for each episode, with a cell for each player."""
    tasks = {play.episode: play.task for player in players for play in player.plays}
    by_player: list[dict[str, list[Play]]] = []
    for player in players:
        mine: dict[str, list[Play]] = {}
        for play in player.plays:
            mine.setdefault(play.episode, []).append(play)
        by_player.append(mine)
    return [
        (task, [_cell(mine[episode]) if episode in mine else None for mine in by_player])
        for episode, task in tasks.items()
    ]


def _cell(plays: Sequence[Play]) -> Cell:
    scores = [play.score for play in plays if play.score is not None]
    return Cell(fmean(scores) if scores else None, len(plays) - len(scores))
