"""`metric-tracker replay`: replays recorded runs and checks that replies and scores are equal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from openenv_kit.cli.common import (
    Column,
    EnvironmentOption,
    ProductOption,
    build_item_table,
    exit_with_result,
)
from openenv_kit.cli.compare import TABLE_WIDTH
from openenv_kit.environment import get_environment
from openenv_kit.own_data.product_argument import get_product_reset_arguments
from openenv_kit.recordings.format import iter_recording_paths, read_runs
from openenv_kit.recordings.replay import ReplayResult, replay_and_compare_run

COLUMNS = (
    Column[ReplayResult]("player", lambda result: result.run.player, is_text=True),
    Column[ReplayResult](
        "reset", lambda result: _format_reset_arguments_without_episode_id(result), is_text=True
    ),
    Column[ReplayResult](
        "replies", lambda result: _format_equal_or_first_difference(result), is_text=True
    ),
    Column[ReplayResult](
        "recorded score",
        lambda result: "none" if result.run.score is None else f"{result.run.score:.4f}",
    ),
    Column[ReplayResult]("score", lambda result: f"{result.score:.4f}"),
)


def replay(
    files: Annotated[
        list[Path], typer.Argument(help="Recordings, JSON Lines, or folders of them.", exists=True)
    ],
    product: ProductOption = None,
    environment: EnvironmentOption = None,
) -> None:
    """Replay recorded runs in this process. Fails if a reply or a score differs.

    Runs of your own table need --product with the file that they were recorded with.
    """
    environment_object = get_environment(environment)
    get_product_reset_arguments(environment_object, product)
    runs = [run for file in iter_recording_paths(files) for run in read_runs(file)]
    if not runs:
        raise typer.BadParameter("the files contain no run")
    progress = track(runs, "Replaying", console=Console(stderr=True))
    results = [replay_and_compare_run(run, environment_object) for run in progress]
    different = [result for result in results if not result.matches_recording]
    console = Console(width=TABLE_WIDTH)
    console.print(build_item_table("Replayed runs", COLUMNS, different or results))
    console.print(f"{len(results)} runs, {len(different)} that differ from their recording.")
    exit_with_result(has_failed=bool(different))


def _format_reset_arguments_without_episode_id(result: ReplayResult) -> str:
    return ", ".join(
        f"{name}={value}" for name, value in result.run.reset.items() if name != "episode_id"
    )


def _format_equal_or_first_difference(result: ReplayResult) -> str:
    step = result.first_different_step
    return "the same" if step is None else f"differ from step {step}"
