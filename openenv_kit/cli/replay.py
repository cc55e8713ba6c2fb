"""`metric-tracker replay`: play recorded runs again, compare every reply, grade them anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from openenv_kit.play.recording import RecordingError, read_runs, versions
from openenv_kit.play.regrade import PASS_POWERS, Regraded, Summary, regrade, summaries

MAX_LISTED = 40


def replay(
    files: Annotated[list[Path], typer.Argument(help="Recordings, JSON Lines.", exists=True)],
) -> None:
    """Replay recorded runs in this process; fails if a reply or a score is not the recorded one."""
    done: list[Regraded] = []
    try:
        runs = [run for file in files for run in read_runs(file)]
        for run in track(runs, "Replaying", console=Console(stderr=True)):
            done.append(regrade(run))
    except (RecordingError, OSError) as problem:
        raise typer.BadParameter(str(problem)) from None
    if not done:
        raise typer.BadParameter("there is no run in these files")
    console = Console(width=118)
    console.print(_runs(done))
    for summary in summaries(done):
        console.print(_summary(summary))
    changed = [each for each in done if _differs(each)]
    console.print(f"{len(done)} runs, {len(changed)} that differ from their recording.")
    raise typer.Exit(1 if changed else 0)


def _differs(each: Regraded) -> bool:
    """Whether a run that was graded by this very grader came out otherwise."""
    if each.run.versions != versions():
        return False  # a newer grader may well answer otherwise; that is what regrading is for
    return not each.same or each.score != each.run.score


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
    table = Table(title=f"{summary.player} ({made_with})")
    names = ["pass@1" if k == 1 else f"pass^{k}" for k in PASS_POWERS]
    for title in ("runs", "episodes", "mean score", *names, "calls", "bytes"):
        table.add_column(title, justify="right")
    table.add_row(
        str(summary.runs),
        str(summary.episodes),
        f"{summary.mean:.4f}",
        *("-" if value is None else f"{value:.3f}" for _, value in summary.passes),
        f"{summary.tool_calls:.1f}",
        f"{summary.reply_bytes:,.0f}",
    )
    return table
