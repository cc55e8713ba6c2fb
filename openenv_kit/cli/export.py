"""`metric-tracker export` and `atif`: write tasks and recorded runs for other tools."""

from __future__ import annotations

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from openenv_kit.cli.common import (
    EnvironmentOption,
    LevelOption,
    ProductOption,
    ResetOption,
    WorkersOption,
)
from openenv_kit.environment import get_environment
from openenv_kit.errors import ToolArgumentError


class ExportLayout(StrEnum):
    """Format of the exported tasks: rows of a dataset, or folders that Harbor runs."""

    ROWS = "rows"
    HARBOR = "harbor"


def export(
    out: Annotated[Path, typer.Argument(help="Folder to write to.")],
    split: Annotated[
        list[str] | None,
        typer.Option(help="Only this split; may be repeated. Default: all but sealed."),
    ] = None,
    first: Annotated[int, typer.Option(min=0, help="First task of each split.")] = 0,
    count: Annotated[
        int | None, typer.Option(min=1, help="Tasks of each split. Default: all.")
    ] = None,
    level: LevelOption = None,
    reset: ResetOption = None,
    product: ProductOption = None,
    layout: Annotated[
        ExportLayout,
        typer.Option(help="rows: a file per split. harbor: a folder per task, for Harbor."),
    ] = ExportLayout.ROWS,
    image: Annotated[
        str | None,
        typer.Option(help="Server image, for --layout harbor. Default: the image of this version."),
    ] = None,
    workers: WorkersOption = 1,
    environment: EnvironmentOption = None,
) -> None:
    """Write the tasks of splits as dataset rows, together with a dataset card.

    With --layout harbor, write the tasks as folders that command-line agents play over MCP.
    """
    from openenv_kit.datasets import export_rows, harbor
    from openenv_kit.datasets.split_rows import write_rows
    from openenv_kit.own_data.product_argument import (
        get_product_reset_arguments,
        get_splits_of_reset,
    )
    from openenv_kit.reset_arguments import parse_reset_argument
    from openenv_kit.sealed_split import is_sealed_split

    environment_object = get_environment(environment)
    if layout is ExportLayout.ROWS and image:
        raise typer.BadParameter("--image needs --layout harbor; rows have no image")
    if layout is ExportLayout.HARBOR and product:
        raise typer.BadParameter("--product needs --layout rows; Harbor's image lacks the product")
    image = image or f"openenv-metric-tracker-rl:{environment_object.version}"
    console, progress_console = Console(), Console(stderr=True)
    extra_reset_arguments = {
        **dict(map(parse_reset_argument, reset or ())),
        **get_product_reset_arguments(environment_object, product),
    }
    splits = get_splits_of_reset(environment_object, extra_reset_arguments)
    names = split or [
        name for name in splits.list_playable_split_names() if not is_sealed_split(name)
    ]
    first_rows, chat_tools = {}, {}
    task_count = 0
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        row_stream = export_rows.iter_export_rows(
            environment_object,
            name,
            first,
            count,
            extra_reset_arguments,
            workers or os.cpu_count() or 1,
            level,
        )
        # The number of tasks of one level is unknown before they are measured.
        total = None if level else min(splits.size(name) - first, count or splits.size(name))
        try:
            rows = list(track(row_stream, f"Measuring {name}", total, console=progress_console))
        except ToolArgumentError as problem:
            raise typer.BadParameter(
                f"the policies that measure difficulty cannot play with this --reset: {problem}"
            ) from None
        if layout is ExportLayout.HARBOR:
            target = out / f"{name}-*"
            for row in rows:
                harbor.write_harbor_task(out / row["task"], environment_object, row, image)
        else:
            target = out / f"{name}.jsonl"
            write_rows(target, rows)
            first_rows[name] = rows[0]
            chat_tools[name] = export_rows.build_chat_tools_of_row(environment_object, rows[0])
        task_count += len(rows)
        mean_difficulty = sum(row["difficulty"] for row in rows) / len(rows)
        console.print(
            f"{target}: {len(rows)} tasks, mean difficulty {mean_difficulty:.4f}",
            highlight=False,
            soft_wrap=True,
        )
    if layout is ExportLayout.HARBOR:
        readme = harbor.build_harbor_readme(environment_object, image, task_count)
    else:
        tools_text = json.dumps(chat_tools, indent=1) + "\n"
        (out / export_rows.TOOLS_FILENAME).write_text(tools_text, encoding="utf-8")
        readme = export_rows.build_dataset_card(environment_object, first_rows)
    (out / export_rows.DATASET_CARD_FILENAME).write_text(readme, encoding="utf-8")


def atif(
    recordings: Annotated[
        list[Path], typer.Argument(help="Recordings, JSON Lines, or folders of them.", exists=True)
    ],
    out: Annotated[Path, typer.Option(help="Folder to write a TASK.json for each run to.")],
    product: ProductOption = None,
    environment: EnvironmentOption = None,
) -> None:
    """Write recorded runs and their replies in the Agent Trajectory Interchange Format."""
    from openenv_kit.own_data.product_argument import get_product_reset_arguments
    from openenv_kit.recordings.atif import build_atif_trajectory, iter_uniquely_named_runs
    from openenv_kit.recordings.format import iter_recording_paths, read_runs

    environment_object = get_environment(environment)
    get_product_reset_arguments(environment_object, product)
    out.mkdir(parents=True, exist_ok=True)
    runs = (run for path in iter_recording_paths(recordings) for run in read_runs(path))
    trajectory_count = 0
    for name, run in iter_uniquely_named_runs(runs):
        trajectory = build_atif_trajectory(run, environment_object)
        text = json.dumps(trajectory, indent=1, ensure_ascii=False)
        (out / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")
        trajectory_count += 1
    typer.echo(f"{out}: {trajectory_count} trajectories.")
