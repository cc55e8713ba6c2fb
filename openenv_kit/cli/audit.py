"""`metric-tracker audit`: play every exploit, and fail if one earns more than its ceiling."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from openenv_kit.cli.common import EnvironmentOption, WorkersOption, build_table
from openenv_kit.environment import get_environment
from openenv_kit.trust.audit import AuditLine, run_job


def audit(
    episodes: Annotated[
        int, typer.Option(min=1, help="Episodes of each level in each setting.")
    ] = 200,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these settings: a family, or split:NAME; may be repeated. By default all."
        ),
    ] = None,
    difficulty: Annotated[
        list[str] | None, typer.Option(help="Only these levels; may be repeated.")
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these policies; may be repeated. By default all of the environment's and "
            "every exploit."
        ),
    ] = None,
    workers: WorkersOption = 0,
    out: Annotated[Path | None, typer.Option(help="Write the table as JSON.")] = None,
    environment: EnvironmentOption = None,
) -> None:
    """Print what each exploit earns on every level, family and split."""
    chosen = get_environment(environment)
    audited = chosen.audit
    work = audited.plan_jobs(episodes, policy, difficulty, setting)
    with ProcessPoolExecutor(workers or os.cpu_count() or 1) as pool:
        running = [pool.submit(run_job, job) for job in work]
        ended = as_completed(running)
        done = track(ended, "Auditing", len(running), console=Console(stderr=True))
        lines = audited.build_lines(job.result() for job in done)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        found = {"versions": dict(chosen.versions), "lines": [each.as_dict() for each in lines]}
        out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    console = Console(width=152)
    console.print(_audit_table(lines))
    over = [line for line in lines if not line.holds]
    console.print(f"{len(lines)} lines, {len(over)} outside their limits.")
    raise typer.Exit(1 if over else 0)


def _audit_table(lines: Sequence[AuditLine]) -> Table:
    names = ("setting", "level", "policy")
    figures = ("mean", "95 %", "max", "perfect", "max ", "calls", "holds")
    rows = [
        [
            *(line.setting, line.difficulty, line.policy),
            f"{line.mean:.3f}",
            f"{line.low:.3f} to {line.high:.3f}",
            "" if line.max_mean is None else f"{line.max_mean:.2f}",
            f"{line.perfect:.1%}",
            "" if line.max_perfect is None else f"{line.max_perfect:.0%}",
            f"{line.calls:.1f}",
            "yes" if line.holds else "no",
        ]
        for line in lines
    ]
    title = "What does not analyse must not earn"
    return build_table(title, (*names, *figures), rows, text_column_count=len(names))
