"""`metric-tracker replay`: play recorded runs again, compare every reply, grade them anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from openenv_kit.cli.common import EnvironmentName, chosen_environment, mistakes_told, table_of
from openenv_kit.play.recording import read_runs
from openenv_kit.play.regrade import Regraded, Summary, regrade, summaries

MAX_LISTED = 40


def replay(
    files: Annotated[list[Path], typer.Argument(help="Recordings, JSON Lines.", exists=True)],
    environment: EnvironmentName = None,
) -> None:
    """Replay recorded runs in this process; fails if a reply or a score is not the recorded one."""
    chosen = chosen_environment(environment)
    status = Console(stderr=True)
    with mistakes_told():
        runs = [run for file in files for run in read_runs(file)]
        done = [regrade(run, chosen) for run in track(runs, "Replaying", console=status)]
    if not done:
        raise typer.BadParameter("these files hold no run")
    console = Console(width=118)
    console.print(_runs(done))
    for summary in summaries(done):
        console.print(_summary(summary))
    # A newer grader may well answer otherwise; that is what regrading is for.
    same_grader = [
        each for each in done if each.run.versions == dict(chosen.versions_for(each.run.reset))
    ]
    changed = [each for each in same_grader if not each.same or each.score != each.run.score]
    console.print(f"{len(done)} runs, {len(changed)} that differ from their recording.")
    raise typer.Exit(1 if changed else 0)


def _runs(done: Sequence[Regraded]) -> Table:
    table = Table(title="Recorded runs, played again")
    for title in ("player", "reset", "recorded", "regraded", "replies", "calls", "bytes"):
        left = title in ("player", "reset", "replies")
        table.add_column(title, justify="left" if left else "right", overflow="fold")
    for each in done[:MAX_LISTED]:
        known = each.run.score
        table.add_row(
            each.run.player,
            ", ".join(f"{k}={v}" for k, v in each.run.reset.items() if k != "episode_id"),
            "none" if known is None else f"{known:.4f}",
            f"{each.score:.4f}",
            "the same" if each.same else f"differ from step {each.first_difference}",
            str(each.tool_calls),
            f"{each.reply_bytes:,}",
        )
    if len(done) > MAX_LISTED:
        table.add_row(f"… and {len(done) - MAX_LISTED} more")
    return table


def _summary(summary: Summary) -> Table:
    made_with = ", ".join(f"{name} {version}" for name, version in summary.versions)
    columns = {
        "runs": str(summary.runs),
        "episodes": str(summary.episodes),
        "mean score": f"{summary.mean:.4f}",
        **{
            "pass@1" if k == 1 else f"pass^{k}": "-" if value is None else f"{value:.3f}"
            for k, value in summary.passes
        },
        "calls": f"{summary.tool_calls:.1f}",
        "bytes": f"{summary.reply_bytes:,.0f}",
    }
    title = f"{summary.player} ({made_with})"
    return table_of(title, list(columns), [list(columns.values())], names=0)
