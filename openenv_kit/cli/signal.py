"""`metric-tracker signal`: prints the share of rollout groups with unequal rewards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from openenv_kit.cli.common import (
    Column,
    EnvironmentOption,
    ProductOption,
    build_item_table,
    format_optional,
)
from openenv_kit.cli.compare import TABLE_WIDTH, GroupSizeOption, parse_named_path
from openenv_kit.environment import get_environment
from openenv_kit.own_data.product_argument import get_product_reset_arguments
from openenv_kit.results.signal import ROLLOUTS_PER_GROUP, LevelSignal
from openenv_kit.rollouts.curriculum import MIN_REWARD_DIFFERENCE

if TYPE_CHECKING:
    from openenv_kit.results.scored_episodes import PlayerResults

COLUMNS = (
    Column[LevelSignal]("player", lambda line: line.player, is_text=True),
    Column[LevelSignal]("level", lambda line: line.level or "-", is_text=True),
    Column[LevelSignal]("mode", lambda line: _format_mode_arguments(line), is_text=True),
    Column[LevelSignal]("tasks", lambda line: str(line.task_count)),
    Column[LevelSignal]("mean", lambda line: format_optional(line.mean_reward, ".3f")),
    Column[LevelSignal]("signal", lambda line: format_optional(line.signal, ".3f")),
    Column[LevelSignal]("± s.e.", lambda line: format_optional(line.standard_error, ".3f")),
    Column[LevelSignal](
        "per 1,000 tokens",
        lambda line: format_optional(line.groups_with_signal_per_1000_tokens, ".4f"),
    ),
)


def signal(
    results: Annotated[
        list[str],
        typer.Argument(
            help="Results of inference.py, recordings, or folders of recordings; NAME=PATH shows "
            "the player under that name."
        ),
    ],
    group: GroupSizeOption = ROLLOUTS_PER_GROUP,
    product: ProductOption = None,
    environment: EnvironmentOption = None,
) -> None:
    """Print the share of rollout groups with different rewards, by level and mode."""
    from openenv_kit.results.scored_episodes import read_and_merge_player_results
    from openenv_kit.results.signal import measure_signal_by_level_and_mode

    environment_object = get_environment(environment)
    get_product_reset_arguments(environment_object, product)
    files = [parse_named_path(argument) for argument in results]
    players = read_and_merge_player_results(files, environment_object)
    lines = list(measure_signal_by_level_and_mode(players, environment_object, group))
    title = (
        f"{environment_object.title}: groups of {group} whose rewards differ by more than "
        f"{MIN_REWARD_DIFFERENCE}"
    )
    console = Console(width=TABLE_WIDTH)
    console.print(build_item_table(title, COLUMNS, lines))
    if all(line.task_count == 0 for line in lines):
        most = _count_most_scored_rollouts_of_a_task(players)
        console.print(
            f"No task has {group} rollouts; the most is {most}. Choose a smaller --group."
        )


def _count_most_scored_rollouts_of_a_task(players: Sequence[PlayerResults]) -> int:
    from openenv_kit.results.scored_episodes import group_scores_by_episode

    counts = [
        len(scores)
        for player in players
        for scores in group_scores_by_episode(player.scored_rollouts).values()
    ]
    return max(counts, default=0)


def _format_mode_arguments(line: LevelSignal) -> str:
    return " ".join(f"{name}={value}" for name, value in line.mode.items()) or "-"
