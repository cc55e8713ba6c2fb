"""Compares players, and writes the comparison as one self-contained HTML page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from jinja2 import Environment as TemplateEnvironment
from jinja2 import PackageLoader, StrictUndefined

from openenv_kit.environment import Environment
from openenv_kit.results.player_summary import (
    PlayerDifference,
    PlayerSummary,
    compute_difference_on_common_episodes,
    summarize_player,
)
from openenv_kit.results.scored_episodes import PlayerResults, ScoredEpisode
from openenv_kit.results.signal import ROLLOUTS_PER_GROUP

MAX_EPISODE_ROWS = 1000
"""Maximum number of episode rows on the page. Means and intervals cover all episodes."""
STYLE_FILE = Path(__file__).with_name("page.css")

SummariesByLabel = Mapping[str, Mapping[str, Sequence[PlayerSummary | None]]]
"""Player summaries by kind of label (such as `level`) and label (such as `easy`).

Each list has one summary per player, in the order of the players. A summary is None if the player
has no rollout with that label.
"""


@dataclass(frozen=True)
class Comparison:
    """Result of comparing players on the tasks of one split.

    Attributes:
        title: title of the environment.
        split: name of the split.
        versions: versions of the environment in which the rollouts were played.
        players: the players and their rollouts.
        summaries: scores and costs of each player, in the order of the players.
        summaries_by_label: scores and costs of each player on each level or other group of tasks.
        paired: difference between each pair of players on the episodes that both have played.
        group_size: number of rollouts in a group, used to compute the signal.
    """

    title: str
    split: str
    versions: Mapping[str, str]
    players: Sequence[PlayerResults]
    summaries: Sequence[PlayerSummary]
    summaries_by_label: SummariesByLabel
    paired: Sequence[PlayerDifference]
    group_size: int


@dataclass(frozen=True)
class EpisodeCell:
    """One player's rollouts of one episode.

    Attributes:
        mean_score: mean of the rollouts' known scores; None if no rollout has a score.
        error_count: number of rollouts that ended with an error.
    """

    mean_score: float | None
    error_count: int


class EpisodeRow(NamedTuple):
    """A row of the page's episode table: the task, and a cell for each player.

    A cell is None if the player has no rollout of the episode.
    """

    task: str
    cells: Sequence[EpisodeCell | None]


def compare_players(
    players: Sequence[PlayerResults],
    split_name: str,
    environment: Environment,
    group_size: int = ROLLOUTS_PER_GROUP,
) -> Comparison:
    """Compute each player's scores and costs, and the differences between players, on one split.

    Rollouts that were played with a different environment version are not grouped by level, because
    the same task may have had a different level in that version.

    Args:
        players: at least one player. All must have played the same version of the environment.
        split_name: name of the split that was played, for the title.
        environment: environment that was played, which provides the labels of each episode.
        group_size: number of rollouts in a group, used to compute the signal.
    """
    versions = dict(players[0].versions)
    is_current = versions == dict(environment.versions)
    return Comparison(
        title=environment.title,
        split=split_name,
        versions=versions,
        players=players,
        summaries=[summarize_player(player, group_size) for player in players],
        summaries_by_label=_summarize_players_by_label(players, environment) if is_current else {},
        paired=[
            compute_difference_on_common_episodes(first, second)
            for first, second in combinations(players, 2)
        ],
        group_size=group_size,
    )


def write_comparison_page(comparison: Comparison, path: Path, home_url: str = "") -> None:
    """Write the comparison as an HTML page; its folder is created if it is missing.

    Args:
        comparison: the comparison.
        path: file to write.
        home_url: address of the leaderboard that the page links back to; empty for no link.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = _build_episode_rows(comparison.players)
    text = render_html_template(
        "page.html.jinja",
        comparison=comparison,
        home_url=home_url,
        rows=rows[:MAX_EPISODE_ROWS],
        hidden_row_count=max(len(rows) - MAX_EPISODE_ROWS, 0),
    )
    path.write_text(text, encoding="utf-8")


def render_html_template(template_name: str, **values: Any) -> str:
    """Render an HTML template of this package. Values are HTML-escaped."""
    templates = TemplateEnvironment(
        loader=PackageLoader("openenv_kit.results", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = STYLE_FILE.read_text(encoding="utf-8")
    return templates.get_template(template_name).render(style=style, **values)


class _Label(NamedTuple):
    """A label of an episode: its kind, such as `level`, and its name, such as `easy`."""

    kind: str
    name: str


def _summarize_players_by_label(
    players: Sequence[PlayerResults], environment: Environment
) -> SummariesByLabel:
    rollouts_by_label: list[defaultdict[_Label, list[ScoredEpisode]]] = []
    labels: set[_Label] = set()
    kinds: dict[str, None] = {}  # Used as an ordered set.
    for player in players:
        rollouts_of_player: defaultdict[_Label, list[ScoredEpisode]] = defaultdict(list)
        for rollout in player.rollouts:
            for kind, name in environment.build_result_labels(rollout.reset).items():
                kinds[kind] = None
                rollouts_of_player[_Label(kind, name)].append(rollout)
        labels.update(rollouts_of_player)
        rollouts_by_label.append(rollouts_of_player)
    summaries: dict[str, dict[str, list[PlayerSummary | None]]] = {kind: {} for kind in kinds}
    for label in sorted(labels):
        summaries[label.kind][label.name] = [
            summarize_player(replace(player, rollouts=rollouts[label]))
            if label in rollouts
            else None
            for player, rollouts in zip(players, rollouts_by_label, strict=True)
        ]
    return summaries


def _build_episode_rows(players: Sequence[PlayerResults]) -> list[EpisodeRow]:
    tasks: dict[str, str] = {}
    rollouts_by_episode: list[defaultdict[str, list[ScoredEpisode]]] = []
    for player in players:
        rollouts_of_player: defaultdict[str, list[ScoredEpisode]] = defaultdict(list)
        for rollout in player.rollouts:
            tasks[rollout.episode_key] = rollout.task
            rollouts_of_player[rollout.episode_key].append(rollout)
        rollouts_by_episode.append(rollouts_of_player)
    return [
        EpisodeRow(
            task,
            [
                _build_episode_cell(rollouts[episode]) if episode in rollouts else None
                for rollouts in rollouts_by_episode
            ],
        )
        for episode, task in tasks.items()
    ]


def _build_episode_cell(rollouts: Sequence[ScoredEpisode]) -> EpisodeCell:
    scores = [rollout.score for rollout in rollouts if rollout.score is not None]
    return EpisodeCell(fmean(scores) if scores else None, len(rollouts) - len(scores))
