"""The results file, and the table that people see."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from metric_tracker_rl import __version__
from metric_tracker_rl.agent.outcome import RunSummary
from metric_tracker_rl.agent.secrets import Clean
from metric_tracker_rl.recording import versions

RESULTS_FORMAT = "metric-tracker-results/1"
MAX_TABLE_ROWS = 40
"""Episodes shown one by one; the results file holds them all."""


def results_of(summary: RunSummary) -> dict[str, Any]:
    """JSON-ready results."""
    return {
        "format": RESULTS_FORMAT,
        "environment": summary.benchmark,
        "environment_version": __version__,
        "versions": versions(),
        "player": summary.player,
        "server": summary.server,
        "average_score": summary.average,
        "episodes_planned": summary.planned,
        "episodes_not_run": summary.failed,
        "interrupted": summary.interrupted,
        "seconds": round(summary.seconds, 3),
        "tokens": summary.tokens,
        "cost_usd": summary.cost,
        "tasks": [each.as_dict() for each in summary.outcomes],
    }


def write_results(summary: RunSummary, path: Path, clean: Clean) -> None:
    """Write the results file; its folder is made if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results_of(summary), indent=2, ensure_ascii=False)
    path.write_text(clean(text) + "\n", encoding="utf-8")


def print_table(summary: RunSummary, console: Console, clean: Clean) -> None:
    """Score, steps and seconds per task, and the average."""
    table = Table(title=f"{summary.player} on {summary.benchmark}")
    has_tokens = summary.tokens > 0
    for title in ("task", "status", "score", "steps", "seconds", *(["tokens"] * has_tokens)):
        left = title in ("task", "status")
        table.add_column(title, justify="left" if left else "right", overflow="fold")
    for each in summary.outcomes[:MAX_TABLE_ROWS]:
        table.add_row(
            each.job.label,
            each.status,
            f"{each.score:.4f}",
            str(each.steps),
            f"{each.seconds:.2f}",
            *([f"{each.usage.total:,}"] * has_tokens),
        )
    hidden = len(summary.outcomes) - MAX_TABLE_ROWS
    if hidden > 0:
        table.add_row(f"… and {hidden} more", *[""] * (4 + has_tokens))
    table.add_section()
    table.add_row(
        "average",
        "",
        f"{summary.average:.4f}",
        f"{sum(each.steps for each in summary.outcomes) / max(len(summary.outcomes), 1):.1f}",
        f"{sum(each.seconds for each in summary.outcomes) / max(len(summary.outcomes), 1):.2f}",
        *([f"{summary.tokens / max(len(summary.outcomes), 1):,.0f}"] * has_tokens),
    )
    console.print(table)
    if summary.cost is not None:
        console.print(f"Cost: {summary.cost:.4f} US dollars.")
    for each in summary.outcomes[:MAX_TABLE_ROWS]:
        if each.error:
            text = clean(f"{each.job.label}: {each.error}")
            console.print(text, markup=False, highlight=False, soft_wrap=True)
