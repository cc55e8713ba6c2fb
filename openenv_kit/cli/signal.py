"""`metric-tracker signal`: what plays of one task differ by, for whoever trains on them."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from openenv_kit.cli.common import EnvironmentOption, build_table
from openenv_kit.cli.compare import TABLE_WIDTH, GroupSizeOption, parse_named_path
from openenv_kit.environment import get_environment
from openenv_kit.results.signal import ROLLOUTS_PER_GROUP
from openenv_kit.rollouts.curriculum import MIN_REWARD_DIFFERENCE


def signal(
    results: Annotated[
        list[str],
        typer.Argument(
            help="Results, recordings, or folders of recordings; NAME=PATH names a player."
        ),
    ],
    group: GroupSizeOption = ROLLOUTS_PER_GROUP,
    environment: EnvironmentOption = None,
) -> None:
    """Measure in how many groups of plays of one task the rewards differ, by level and mode."""
    from openenv_kit.results.scored_episodes import read_player_results, scores_by_episode
    from openenv_kit.results.signal import signal_by_level

    chosen = get_environment(environment)
    players = read_player_results([parse_named_path(each) for each in results], chosen)
    rows = [
        [
            each.player,
            each.level or "-",
            " ".join(f"{name}={value}" for name, value in each.mode.items()) or "-",
            str(each.task_count),
            "-" if each.mean_reward is None else f"{each.mean_reward:.3f}",
            "-" if each.signal is None else f"{each.signal:.3f}",
            "-" if each.standard_error is None else f"{each.standard_error:.3f}",
            "-" if each.per_1000_tokens is None else f"{each.per_1000_tokens:.4f}",
        ]
        for each in signal_by_level(players, chosen, group)
    ]
    titles = ["player", "level", "mode", "tasks", "mean", "signal", "± s.e.", "per 1,000 tokens"]
    console = Console(width=TABLE_WIDTH)
    title = (
        f"{chosen.title}: groups of {group} whose rewards differ by more than "
        f"{MIN_REWARD_DIFFERENCE}"
    )
    console.print(build_table(title, titles, rows, text_column_count=3))
    if all(row[3] == "0" for row in rows):
        plays = [len(e) for one in players for e in scores_by_episode(one.scored_rollouts).values()]
        most = max(plays, default=0)
        console.print(f"No task was played {group} times, {most} at most: choose it by --group.")
