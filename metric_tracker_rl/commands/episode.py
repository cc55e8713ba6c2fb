"""`metric-tracker episode`: an episode's data as files, for a notebook or a spreadsheet."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from openenv_kit.cli.common import is_package_installed
from openenv_kit.reply import ReplyStatus
from openenv_kit.sealed_split import is_sealed_split


class EpisodeFileFormat(StrEnum):
    """What the files are written as."""

    CSV = "csv"
    PARQUET = "parquet"


def episode(
    out: Annotated[Path, typer.Argument(help="Folder for the two files; made if missing.")],
    to: Annotated[
        EpisodeFileFormat, typer.Option(help="Format of the files.")
    ] = EpisodeFileFormat.CSV,
    task: Annotated[str | None, typer.Option(help="A named task.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed; default: the task's own.")] = None,
    difficulty: Annotated[str | None, typer.Option(help="Level.")] = None,
    split: Annotated[str | None, typer.Option(help="Split, with --index.")] = None,
    index: Annotated[int | None, typer.Option(help="Position in the split, from 0.")] = None,
) -> None:
    """Write the daily and the hourly counts of one episode; never its labels.

    Options mean what the arguments of a reset mean: without any, the default task is written.
    An existing file is not overwritten.
    """
    if is_sealed_split(split):
        raise typer.BadParameter("the data of sealed tasks stay on their server")
    if to is EpisodeFileFormat.PARQUET and not is_package_installed("fastparquet"):
        is_package_installed("pyarrow", needed_for="--to parquet")
    session = EpisodeSession()
    reply = session.reset(task_id=task, seed=seed, difficulty=difficulty, split=split, index=index)
    if reply.status == ReplyStatus.ERROR or session.episode is None:
        raise typer.BadParameter(reply.message)
    marks = [session.task_id, *(str(each) for each in (difficulty, seed) if each is not None)]
    frames = {"daily": session.episode.daily, "hourly": session.episode.hourly}
    paths = {name: out / f"{'-'.join(marks)}-{name}.{to.value}" for name in frames}
    taken = [path for path in paths.values() if path.exists()]
    if taken:
        raise typer.BadParameter(f"{taken[0]} exists; move it away or name another folder")
    out.mkdir(parents=True, exist_ok=True)
    for name, frame in frames.items():
        write = frame.to_csv if to is EpisodeFileFormat.CSV else frame.to_parquet
        write(paths[name])
        typer.echo(f"{paths[name]}: {len(frame)} rows, columns {', '.join(frame.columns)}")
