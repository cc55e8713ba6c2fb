"""Prints the results of a run as a table, with its cost and its errors."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import stdev

from rich import table
from rich.console import Console

from openenv_kit.agent.redaction import Redact
from openenv_kit.agent.results import EpisodeResult, RunResult

MAX_TABLE_ROWS = 40
"""Largest number of tasks in the table; the results file contains all of them."""


def print_results_and_errors(result: RunResult, console: Console, redact: Redact) -> None:
    """Print a table with the results of each task and their means, then the cost and the errors."""
    titles = ["task", "plays", "status", "score", "steps", "seconds"]
    if result.total_tokens:
        titles.append("tokens")
    result_table = table.Table(title=f"{result.player} on {result.benchmark}")
    for title in titles:
        is_text = title in ("task", "status")
        result_table.add_column(
            title, justify="left" if is_text else "right", no_wrap=title == "task"
        )
    groups = result.group_results_by_task()
    for task, group in list(groups.items())[:MAX_TABLE_ROWS]:
        result_table.add_row(*_format_row_of_means(task, group)[: len(titles)])
    if len(groups) > MAX_TABLE_ROWS:
        result_table.add_row(f"… and {len(groups) - MAX_TABLE_ROWS} more")
    result_table.add_section()
    result_table.add_row(*_format_row_of_means("average", result.episodes)[: len(titles)])
    console.print(result_table)
    if result.cost_usd is not None:
        console.print(f"Cost: {result.cost_usd:.4f} US dollars.", highlight=False)
    if not_started_count := result.planned_count - len(result.episodes):
        console.print(f"Episodes not started: {not_started_count}.", highlight=False)
    errors = [
        f"{episode.planned.unique_label}: {episode.error}"
        for episode in result.episodes
        if episode.error
    ]
    for error in errors[:MAX_TABLE_ROWS]:
        console.print(redact(error), markup=False, highlight=False, soft_wrap=True)


def _format_row_of_means(row_title: str, results: Sequence[EpisodeResult]) -> list[str]:
    """Return the cells of a row: title, number of episodes, statuses and mean values."""
    count = max(len(results), 1)
    statuses = Counter(result.status for result in results)
    return [
        row_title,
        str(len(results)),
        ", ".join(
            status if status_count == count else f"{status_count} {status}"
            for status, status_count in statuses.items()
        ),
        _format_score_cell(results),
        f"{sum(result.steps for result in results) / count:.1f}",
        f"{sum(result.seconds for result in results) / count:.2f}",
        f"{sum(result.usage.total_tokens for result in results) / count:,.0f}",
    ]


def _format_score_cell(results: Sequence[EpisodeResult]) -> str:
    """Format the mean score, with its standard error for several episodes of one task."""
    scores = [result.score for result in results if result.score is not None]
    if not scores:
        return "–"
    mean_score = f"{sum(scores) / len(scores):.4f}"
    is_one_task = len({result.planned.task_id for result in results}) == 1
    if is_one_task and len(scores) > 1:
        return f"{mean_score} ± {stdev(scores) / math.sqrt(len(scores)):.3f}"
    return mean_score
