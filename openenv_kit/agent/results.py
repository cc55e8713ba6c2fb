"""The results file, and the table that people see."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import stdev
from typing import Any

from rich.console import Console
from rich.table import Table

from openenv_kit.agent.outcome import Outcome, RunSummary
from openenv_kit.agent.secrets import Clean
from openenv_kit.environment import Environment

RESULTS_FORMAT = "metric-tracker-results/1"
MAX_TABLE_ROWS = 40
"""Tasks shown one by one; the results file holds them all."""


def results_of(summary: RunSummary, environment: Environment) -> dict[str, Any]:
    """JSON-ready results."""
    return {
        "format": RESULTS_FORMAT,
        "environment": summary.benchmark,
        "environment_version": environment.version,
        "versions": dict(environment.versions),
        "player": summary.player,
        "server": summary.server,
        "average_score": summary.average,
        "episodes_planned": summary.planned,
        "episodes_not_run": summary.failed,
        "interrupted": summary.interrupted,
        "seconds": round(summary.seconds, 3),
        "tokens": summary.tokens,
        "cost_usd": summary.cost,
        "by_task": {
            task: {
                "episodes": len(group),
                "mean_score": sum(each.score for each in group) / len(group),
                "successes": sum(each.success for each in group),
            }
            for task, group in summary.by_task().items()
        },
        "tasks": [each.as_dict() for each in summary.outcomes],
    }


def write_results(summary: RunSummary, path: Path, clean: Clean, environment: Environment) -> None:
    """Write the results file; its folder is made if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results_of(summary, environment), indent=2, ensure_ascii=False)
    path.write_text(clean(text) + "\n", encoding="utf-8")


def print_table(summary: RunSummary, console: Console, clean: Clean) -> None:
    """Score, steps and seconds per task, the average, and what went wrong."""
    table = Table(title=f"{summary.player} on {summary.benchmark}")
    with_tokens = summary.tokens > 0
    for title in ("task", "plays", "status", "score", "steps", "seconds", "tokens"):
        if title != "tokens" or with_tokens:
            left = title in ("task", "status")
            table.add_column(title, justify="left" if left else "right", no_wrap=title == "task")
    groups = summary.by_task()
    for task, group in list(groups.items())[:MAX_TABLE_ROWS]:
        table.add_row(*_row(task, group, with_tokens))
    if len(groups) > MAX_TABLE_ROWS:
        table.add_row(f"… and {len(groups) - MAX_TABLE_ROWS} more")
    table.add_section()
    table.add_row(*_row("average", summary.outcomes, with_tokens))
    console.print(table)
    if summary.cost is not None:
        console.print(f"Cost: {summary.cost:.4f} US dollars.", highlight=False)
    unplayed = summary.planned - len(summary.outcomes)
    if unplayed:
        console.print(f"{unplayed} episode(s) were not started.", highlight=False)
    for each in [each for each in summary.outcomes if each.error][:MAX_TABLE_ROWS]:
        text = clean(f"{each.job.label}: {each.error}")
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def _row(name: str, group: Sequence[Outcome], with_tokens: bool) -> list[str]:
    """One line of the table: means over some episodes."""
    count = max(len(group), 1)
    statuses = Counter(each.status for each in group)
    scores = [each.score for each in group]
    spread = len({each.job.task_id for each in group}) == 1 and count > 1
    error = f" ± {stdev(scores) / math.sqrt(count):.3f}" if spread else ""
    row = [
        name,
        str(len(group)),
        ", ".join(s if n == count else f"{n} {s}" for s, n in statuses.items()),
        f"{sum(scores) / count:.4f}{error}",
        f"{sum(each.steps for each in group) / count:.1f}",
        f"{sum(each.seconds for each in group) / count:.2f}",
    ]
    if with_tokens:
        row.append(f"{sum(each.usage.total for each in group) / count:,.0f}")
    return row
