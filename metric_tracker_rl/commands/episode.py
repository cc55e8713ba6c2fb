"""The `metric-tracker episode` command, which writes an episode's data to files."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.products.product_registry import register_product_file
from openenv_kit.cli.common import ProductOption, is_package_installed, require_installed
from openenv_kit.reply import ReplyStatus
from openenv_kit.sealed_split import is_sealed_split


class EpisodeFileFormat(StrEnum):
    """Format of the written files."""

    CSV = "csv"
    PARQUET = "parquet"


def episode(
    out: Annotated[Path, typer.Argument(help="Folder for the two files; created if missing.")],
    to: Annotated[
        EpisodeFileFormat, typer.Option(help="Format of the files.")
    ] = EpisodeFileFormat.CSV,
    task: Annotated[
        str | None, typer.Option(help="Name of a task; default: the default task.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed; default: the task's seed.")] = None,
    difficulty: Annotated[
        str | None, typer.Option(help="Level; default: the task's level.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split; requires --index.")] = None,
    index: Annotated[int | None, typer.Option(help="Position in the split, from 0.")] = None,
    product: ProductOption = None,
) -> None:
    """Write the daily and the hourly counts of one episode, without its labels.

    The options select the episode as the reset arguments of the same name do. Existing files are
    not overwritten.
    """
    if is_sealed_split(split):
        raise typer.BadParameter(f"the data of the sealed split {split!r} cannot be exported")
    if to is EpisodeFileFormat.PARQUET and not is_package_installed("fastparquet"):
        require_installed("pyarrow", needed_for="--to parquet")
    session = EpisodeSession()
    reply = session.reset(
        task_id=task,
        seed=seed,
        difficulty=difficulty,
        split=split,
        index=index,
        product=None if product is None else register_product_file(product).name,
    )
    if reply.status == ReplyStatus.ERROR or session.episode is None:
        raise typer.BadParameter(reply.message)
    options = [str(value) for value in (difficulty, seed) if value is not None]
    file_prefix = "-".join([session.task_id, *options])
    frames = {"daily": session.episode.daily, "hourly": session.episode.hourly}
    paths = {name: out / f"{file_prefix}-{name}.{to.value}" for name in frames}
    existing = [path for path in paths.values() if path.exists()]
    if existing:
        raise typer.BadParameter(f"{existing[0]} already exists; move it or give another folder")
    out.mkdir(parents=True, exist_ok=True)
    for name, frame in frames.items():
        write = frame.to_csv if to is EpisodeFileFormat.CSV else frame.to_parquet
        write(paths[name])
        typer.echo(f"{paths[name]}: {len(frame)} rows, columns {', '.join(frame.columns)}")
