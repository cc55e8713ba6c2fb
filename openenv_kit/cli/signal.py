"""`metric-tracker signal`: what plays of one task differ by, for whoever trains on them."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from openenv_kit.cli.common import EnvironmentName, table_of
from openenv_kit.cli.compare import WIDTH, Group, named_file
from openenv_kit.environment import get_environment
from openenv_kit.results.signal import GROUP
from openenv_kit.rollouts.curriculum import DIFFERENCE


def signal(
    results: Annotated[
        list[str],
        typer.Argument(
            help="Results, recordings, or folders of recordings; NAME=PATH names a player."
        ),
    ],
    group: Group = GROUP,
    environment: EnvironmentName = None,
) -> None:
    """Measure in how many groups of plays of one task the rewards differ, by level and mode."""
    from openenv_kit.results.scored_episodes import read_players, scores_by_episode
    from openenv_kit.results.signal import lines

    chosen = get_environment(environment)
    players = read_players([named_file(each) for each in results], chosen)
    rows = [
        [
            each.player,
            each.level or "-",
            " ".join(f"{name}={value}" for name, value in each.mode.items()) or "-",
            str(each.tasks),
            "-" if each.mean is None else f"{each.mean:.3f}",
            "-" if each.signal is None else f"{each.signal:.3f}",
            "-" if each.error is None else f"{each.error:.3f}",
            "-" if each.per_thousand is None else f"{each.per_thousand:.4f}",
        ]
        for each in lines(players, chosen, group)
    ]
    titles = ["player", "level", "mode", "tasks", "mean", "signal", "± s.e.", "per 1,000 tokens"]
    console = Console(width=WIDTH)
    title = f"{chosen.title}: groups of {group} whose rewards differ by more than {DIFFERENCE}"
    console.print(table_of(title, titles, rows, names=3))
    if all(row[3] == "0" for row in rows):
        plays = [len(e) for one in players for e in scores_by_episode(one.scored).values()]
        most = max(plays, default=0)
        console.print(f"No task was played {group} times, {most} at most: choose it by --group.")
