"""`metric-tracker atif`: recorded runs as trajectories that other tools read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from openenv_kit.cli.common import EnvironmentName, chosen_environment, mistakes_told


def atif(
    recordings: Annotated[
        list[Path], typer.Argument(help="Recordings, JSON Lines, also .gz.", exists=True)
    ],
    out: Annotated[Path, typer.Option(help="Folder for TASK.json, one for each run.")],
    environment: EnvironmentName = None,
) -> None:
    """Write recorded runs in the Agent Trajectory Interchange Format, replies included."""
    from openenv_kit.play.atif import named, trajectory
    from openenv_kit.play.recording import read_runs

    chosen = chosen_environment(environment)
    written = 0
    with mistakes_told():
        out.mkdir(parents=True, exist_ok=True)
        for name, run in named([run for path in recordings for run in read_runs(path)]):
            text = json.dumps(trajectory(run, chosen), indent=1, ensure_ascii=False)
            (out / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")
            written += 1
    typer.echo(f"{out}: {written} trajectories.")
