"""`metric-tracker audit`: play every exploit, and fail if one earns more than its ceiling."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from metric_tracker_rl.engine.levels import LEVELS
from metric_tracker_rl.exploits import EXPLOITS
from metric_tracker_rl.exploits.second_play import PLAYERS, play_again
from openenv_kit.errors import UnknownNameError, require_name
from openenv_kit.play.recording import versions
from openenv_kit.trust.audit import BASELINES, Job, Line, jobs, lines, run_job, settings

MOST_REPEATED = 50
"""Episodes of each level that are played again and again, for `--out`."""


def audit(
    episodes: Annotated[
        int, typer.Option(min=1, help="Episodes of each level in each setting.")
    ] = 200,
    setting: Annotated[
        list[str] | None,
        typer.Option(help="Only these: a family, or split:NAME. Default: all of them."),
    ] = None,
    difficulty: Annotated[list[str] | None, typer.Option(help="Only these levels.")] = None,
    policy: Annotated[list[str] | None, typer.Option(help="Only these policies.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 for one per core.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write the table as JSON.")] = None,
) -> None:
    """Print what each exploit earns on every level, family and split."""
    try:
        levels = [require_name("difficulty", each, LEVELS) for each in difficulty or LEVELS]
        names = (*BASELINES, *EXPLOITS)
        chosen = [require_name("policy", each, names) for each in policy or names]
        where = [require_name("setting", each, settings()) for each in setting or settings()]
    except UnknownNameError as problem:
        raise typer.BadParameter(str(problem)) from None
    work = jobs(episodes, chosen, levels, chosen=where)
    table = _run(work, workers or os.cpu_count() or 1)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        found = {
            "versions": versions(),
            "lines": [line.as_dict() for line in table],
            "repeats": [
                play_again(uses, level, min(episodes, MOST_REPEATED)).as_dict()
                for uses in PLAYERS
                for level in levels
            ],
        }
        out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    console = Console(width=152)
    console.print(_table(table))
    over = [line for line in table if not line.holds]
    console.print(f"{len(table)} lines, {len(over)} outside their limits.")
    for line in over:
        console.print(f"outside: {line.policy} on {line.difficulty}, {line.setting}: {line}")
    raise typer.Exit(1 if over else 0)


def _run(work: list[Job], workers: int) -> list[Line]:
    with ProcessPoolExecutor(workers) as pool:
        running = [pool.submit(run_job, job) for job in work]
        console = Console(stderr=True)
        done = track(as_completed(running), "Auditing", len(running), console=console)
        return lines(job.result() for job in done)


def _table(table: Iterable[Line]) -> Table:
    shown = Table(title="What does not analyse must not earn")
    names = ("setting", "level", "policy")
    for title in (*names, "mean", "95 %", "max", "perfect", "max ", "calls", "kB"):
        left = title in names
        shown.add_column(title, justify="left" if left else "right", no_wrap=True)
    for line in table:
        shown.add_row(
            line.setting,
            line.difficulty,
            line.policy,
            f"{line.mean:.3f}",
            f"{line.low:.3f} to {line.high:.3f}",
            "" if line.max_mean is None else f"{line.max_mean:.2f}",
            f"{line.perfect:.1%}",
            "" if line.max_perfect is None else f"{line.max_perfect:.0%}",
            f"{line.calls:.1f}",
            f"{line.reply_bytes / 1000:.0f}",
            style=None if line.holds else "bold red",
        )
    return shown
