"""`metric-tracker export`: task sets as data for trainers and dataset hubs."""

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
    EnvironmentName,
    Workers,
    chosen_environment,
    installed,
    mistakes_told,
)


class Format(StrEnum):
    """Formats of the rows."""

    JSONL = "jsonl"
    PARQUET = "parquet"


def export(
    out: Annotated[Path, typer.Argument(help="Folder for the rows, their card and the tools.")],
    split: Annotated[
        list[str] | None, typer.Option(help="Only this split; may be repeated.")
    ] = None,
    first: Annotated[int, typer.Option(min=0, help="First task of each split.")] = 0,
    count: Annotated[
        int | None, typer.Option(min=1, help="Tasks of each split; default: all.")
    ] = None,
    to: Annotated[Format, typer.Option(help="Format of the rows.")] = Format.JSONL,
    workers: Workers = 1,
    environment: EnvironmentName = None,
) -> None:
    """Write splits as rows with prompt, reset, measured difficulty, group and tags, and a card."""
    from openenv_kit.play import task_set
    from openenv_kit.trust.splits import SEALED

    chosen = chosen_environment(environment)
    if to is Format.PARQUET:
        installed("pyarrow", needed_for="--to parquet")
    console, status = Console(), Console(stderr=True)
    names = split or [name for name in chosen.splits.names() if not name.endswith(SEALED)]
    files, samples, tools = {}, {}, {}
    with mistakes_told():
        out.mkdir(parents=True, exist_ok=True)
        for name in names:
            rows = task_set.task_rows(
                chosen, name, first, count, workers=workers or os.cpu_count() or 1
            )
            total = min(chosen.splits.size(name) - first, count or chosen.splits.size(name))
            made = list(track(rows, f"Playing the panel on {name}", total, console=status))
            files[name] = f"{name}.{to.value}"
            task_set.write_rows_of(out / files[name], made)
            samples[name], tools[name] = made[0], task_set.tools_of(chosen, made[0])
            mean = sum(row["difficulty"] for row in made) / len(made)
            console.print(
                f"{out / files[name]}: {len(made)} tasks, mean difficulty {mean:.4f}",
                highlight=False,
                soft_wrap=True,
            )
        (out / task_set.TOOLS).write_text(json.dumps(tools, indent=1) + "\n", encoding="utf-8")
        text = task_set.card_text(chosen, files, samples)
        (out / task_set.CARD).write_text(text, encoding="utf-8")
