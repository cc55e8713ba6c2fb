"""`metric-tracker replay`: play recorded runs again, compare every reply, grade them anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from openenv_kit.cli.common import EnvironmentName, table_of
from openenv_kit.cli.compare import WIDTH, summary_table
from openenv_kit.environment import Environment, get_environment
from openenv_kit.play.recording import read_runs, recordings
from openenv_kit.play.regrade import Regraded, regrade
from openenv_kit.results.plays import Player, play_of
from openenv_kit.results.statistics import summary

MAX_LISTED = 40


def replay(
    files: Annotated[
        list[Path], typer.Argument(help="Recordings, JSON Lines, or folders of them.", exists=True)
    ],
    environment: EnvironmentName = None,
) -> None:
    """Replay recorded runs in this process; fails if a reply or a score is not the recorded one."""
    chosen = get_environment(environment)
    status = Console(stderr=True)
    runs = [run for file in recordings(files) for run in read_runs(file)]
    done = [regrade(run, chosen) for run in track(runs, "Replaying", console=status)]
    if not done:
        raise typer.BadParameter("these files hold no run")
    console = Console(width=WIDTH)
    console.print(_runs(done))
    for player in players_of(done, chosen):
        console.print(summary_table(f"Regraded, recorded with {player.source}", [summary(player)]))
    # A newer grader may well answer otherwise; that is what regrading is for.
    same_grader = [each for each in done if each.run.versions == dict(chosen.versions)]
    changed = [each for each in same_grader if not each.same or each.score != each.run.score]
    console.print(f"{len(done)} runs, {len(changed)} that differ from their recording.")
    raise typer.Exit(1 if changed else 0)


def _runs(done: Sequence[Regraded]) -> Table:
    titles = ("player", "reset", "replies", "recorded", "regraded", "calls", "bytes")
    rows = [
        [
            each.run.player,
            ", ".join(f"{k}={v}" for k, v in each.run.reset.items() if k != "episode_id"),
            "the same" if each.same else f"differ from step {each.first_difference}",
            "none" if each.run.score is None else f"{each.run.score:.4f}",
            f"{each.score:.4f}",
            str(each.tool_calls),
            f"{each.reply_bytes:,}",
        ]
        for each in done[:MAX_LISTED]
    ]
    if len(done) > MAX_LISTED:
        rows.append([f"… and {len(done) - MAX_LISTED} more"])
    return table_of("Recorded runs, played again", titles, rows, names=3)


def players_of(done: Sequence[Regraded], environment: Environment) -> list[Player]:
    """Who played, with the scores of today; runs of different versions are never put together."""
    found: dict[tuple[str, str], Player] = {}
    for each in done:
        run, play = each.run, replace(play_of(each.run, environment), score=each.score)
        versions = ", ".join(f"{name} {value}" for name, value in sorted(run.versions.items()))
        one = Player(run.player, versions, run.versions, [play])
        before = found.get((run.player, versions))
        found[run.player, versions] = before.and_also(one) if before else one
    return list(found.values())
