"""The pattern table: what a player earns that memorises the demonstrations.

It maps the set of names and signs that `scan` lists for a date to the names of the roots.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from openenv_kit.datasets.split_rows import TaskRow
from openenv_kit.reply import EndInfo
from openenv_kit.trainers.tool_episode import ToolEpisode
from research.ladder.episodes import play_reference
from research.ladder.players import PatternTable
from research.learning_lm.played_task import PlayedTask
from research.learning_lm.settings import ENVIRONMENT_NAME


def fill_pattern_table(rows: Sequence[TaskRow]) -> PatternTable:
    """Return a table that is filled from the reference policy's reports.

    Args:
        rows: rows of the tasks of the demonstrations.
    """
    table = PatternTable()
    for row in rows:
        table.add_episode(play_reference(row["split"], row["index"]).series)
    return table


def play_with_table(table: PatternTable, rows: Sequence[TaskRow]) -> list[PlayedTask]:
    """Play each task once with the reports of a table."""
    played = []
    for row in rows:
        series = play_reference(row["split"], row["index"]).series
        ids = sorted(table.choose_ids(series))
        episode = ToolEpisode(environment=ENVIRONMENT_NAME)
        episode.reset(row)
        _scan_every_page(episode)  # only listed ids can be submitted
        episode.call_tool("submit", {"ids": ids})
        components = EndInfo.from_info(episode.info).components
        played.append(PlayedTask.from_components(row["task"], ids, components, tokens=0))
    return played


def _scan_every_page(episode: ToolEpisode) -> None:
    first: int | None = 1
    while first is not None:
        first = json.loads(episode.call_tool("scan", {"first": first}))["result"].get("next")
