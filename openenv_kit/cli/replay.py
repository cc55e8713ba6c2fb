"""`metric-tracker replay`: play recorded runs again and compare every reply and score."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from openenv_kit.cli.common import EnvironmentOption, build_table
from openenv_kit.cli.compare import TABLE_WIDTH
from openenv_kit.environment import get_environment
from openenv_kit.recordings.format import iter_recording_paths, read_runs
from openenv_kit.recordings.replay import ReplayResult, check_replay


def replay(
    files: Annotated[
        list[Path], typer.Argument(help="Recordings, JSON Lines, or folders of them.", exists=True)
    ],
    environment: EnvironmentOption = None,
) -> None:
    """Replay recorded runs in this process; fails if a reply or a score is not the recorded one."""
    chosen = get_environment(environment)
    runs = [run for file in iter_recording_paths(files) for run in read_runs(file)]
    shown = track(runs, "Replaying", console=Console(stderr=True))
    done = [check_replay(run, chosen) for run in shown]
    if not done:
        raise typer.BadParameter("these files hold no run")
    changed = [each for each in done if not each.matches_recording]
    rows = [_replay_row(each) for each in changed or done]
    console = Console(width=TABLE_WIDTH)
    titles = ("player", "reset", "replies", "recorded score", "score")
    console.print(build_table("Recorded runs, played again", titles, rows, text_column_count=3))
    console.print(f"{len(done)} runs, {len(changed)} that differ from their recording.")
    raise typer.Exit(1 if changed else 0)


def _replay_row(result: ReplayResult) -> list[str]:
    run, at = result.run, result.first_different_step
    return [
        run.player,
        ", ".join(f"{k}={v}" for k, v in run.reset.items() if k != "episode_id"),
        "the same" if at is None else f"differ from step {at}",
        "none" if run.score is None else f"{run.score:.4f}",
        f"{result.score:.4f}",
    ]
