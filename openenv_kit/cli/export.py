"""`metric-tracker export` and `atif`: task sets and recorded runs as data for other tools."""

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
    ResetOption,
    WorkersOption,
)
from openenv_kit.environment import get_environment
from openenv_kit.errors import ToolArgumentError


class ExportLayout(StrEnum):
    """What a task becomes."""

    ROWS = "rows"
    HARBOR = "harbor"


def export(
    out: Annotated[Path, typer.Argument(help="Folder for the rows, their card and the tools.")],
    split: Annotated[
        list[str] | None, typer.Option(help="Only this split; may be repeated.")
    ] = None,
    first: Annotated[int, typer.Option(min=0, help="First task of each split.")] = 0,
    count: Annotated[
        int | None, typer.Option(min=1, help="Tasks of each split; default: all.")
    ] = None,
    level: LevelOption = None,
    reset: ResetOption = None,
    layout: Annotated[
        ExportLayout,
        typer.Option(help="rows: one file a split. harbor: one folder a task, which Harbor runs."),
    ] = ExportLayout.ROWS,
    image: Annotated[
        str | None,
        typer.Option(help="Server image, for --layout harbor; default: the one of this version."),
    ] = None,
    workers: WorkersOption = 1,
    environment: EnvironmentOption = None,
) -> None:
    """Write splits as rows with prompt, reset, measured difficulty, group and tags, and a card.

    With --layout harbor, write the same tasks as folders that command-line agents play over MCP.
    """
    from openenv_kit.datasets import export_rows, harbor
    from openenv_kit.datasets.split_rows import write_rows
    from openenv_kit.reset_arguments import parse_reset_argument
    from openenv_kit.sealed_split import is_sealed_split

    chosen = get_environment(environment)
    if layout is ExportLayout.ROWS and image:
        raise typer.BadParameter("--image is for --layout harbor; rows have none.")
    image = image or f"openenv-metric-tracker-rl:{chosen.version}"
    console, status = Console(), Console(stderr=True)
    further = dict(map(parse_reset_argument, reset or ()))
    names = split or [name for name in chosen.splits.names() if not is_sealed_split(name)]
    samples, tools = {}, {}
    written = 0
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        rows = export_rows.iter_export_rows(
            chosen, name, first, count, further, workers or os.cpu_count() or 1, level
        )
        most = min(chosen.splits.size(name) - first, count or chosen.splits.size(name))
        total = None if level else most
        try:
            made = list(track(rows, f"Playing the panel on {name}", total, console=status))
        except ToolArgumentError as problem:
            text = f"The policies that measure difficulty cannot play with this --reset: {problem}"
            raise typer.BadParameter(text) from None
        if layout is ExportLayout.HARBOR:
            place = out / f"{name}-*"
            for row in made:
                harbor.write_harbor_task(out / row["task"], chosen, row, image)
        else:
            place = out / f"{name}.jsonl"
            write_rows(place, made)
            samples[name], tools[name] = made[0], export_rows.get_chat_tools(chosen, made[0])
        written += len(made)
        mean = sum(row["difficulty"] for row in made) / len(made)
        console.print(
            f"{place}: {len(made)} tasks, mean difficulty {mean:.4f}",
            highlight=False,
            soft_wrap=True,
        )
    if layout is ExportLayout.HARBOR:
        text = harbor.build_readme(chosen, image, written)
    else:
        schemas = json.dumps(tools, indent=1) + "\n"
        (out / export_rows.TOOLS_FILENAME).write_text(schemas, encoding="utf-8")
        text = export_rows.build_dataset_card(chosen, samples)
    (out / export_rows.DATASET_CARD_FILENAME).write_text(text, encoding="utf-8")


def atif(
    recordings: Annotated[
        list[Path], typer.Argument(help="Recordings, JSON Lines, or folders of them.", exists=True)
    ],
    out: Annotated[Path, typer.Option(help="Folder for TASK.json, one for each run.")],
    environment: EnvironmentOption = None,
) -> None:
    """Write recorded runs in the Agent Trajectory Interchange Format, replies included."""
    from openenv_kit.recordings.atif import build_atif_trajectory, unique_run_names
    from openenv_kit.recordings.format import iter_recording_paths as files_of
    from openenv_kit.recordings.format import read_runs

    chosen = get_environment(environment)
    written = 0
    out.mkdir(parents=True, exist_ok=True)
    for name, run in unique_run_names(
        run for path in files_of(recordings) for run in read_runs(path)
    ):
        text = json.dumps(build_atif_trajectory(run, chosen), indent=1, ensure_ascii=False)
        (out / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")
        written += 1
    typer.echo(f"{out}: {written} trajectories.")
