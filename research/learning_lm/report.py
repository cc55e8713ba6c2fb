"""`python -m research.learning_lm.report DIR`: table and figure of a run, from its JSON files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from openenv_kit.cli.common import build_table
from openenv_kit.results.statistics import MeanInterval
from research.learning_lm.records import PLAN_FILE, read_all_played, read_all_trainings
from research.learning_lm.results import (
    Comparison,
    Difference,
    PlayerResult,
    iter_differences,
    summarize_players,
)
from research.learning_lm.settings import PLAYER_LABELS, TASK_SET_LABELS

CHART_FILE = "learning-lm.png"
TABLE_COLUMNS = (
    *("tasks played", "player", "tasks", "exact", "95 % interval"),
    *("score", "key F1", "submitted", "tokens"),
)
DIFFERENCE_COLUMNS = ("difference in exact reports", "tasks", "mean", "95 % interval", "changed")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a run.", exists=True, file_okay=False)],
    chart: Annotated[
        Path | None, typer.Option(help="PNG file of the figure. Default: in the folder.")
    ] = None,
) -> None:
    """Print the table of a run and draw its figure."""
    if not (folder / PLAN_FILE).is_file():
        raise typer.BadParameter(f"{folder} contains no {PLAN_FILE}, so it is no folder of a run.")
    plan = json.loads((folder / PLAN_FILE).read_text(encoding="utf-8"))["plan"]
    write_report(
        folder,
        Console(width=110),
        has_comparisons=plan["base_test_tasks"] > 0,
        chart=chart,
    )


def write_report(
    folder: Path, console: Console, *, has_comparisons: bool, chart: Path | None = None
) -> None:
    """Print the table of a run and draw its figure.

    Args:
        folder: folder of the run.
        console: where to print.
        has_comparisons: whether to compare players; a reduced run has too few tasks for it.
        chart: PNG file of the figure; None for a file in the folder.
    """
    from research.learning_lm.chart import draw_chart

    played, trainings = read_all_played(folder), read_all_trainings(folder)
    results = summarize_players(played)
    console.print(_build_player_table(results))
    differences = list(iter_differences(played)) if has_comparisons else []
    if differences:
        console.print(_build_difference_table(differences))
    for record in trainings:
        console.print(
            f"{PLAYER_LABELS[record.player]}: {record.steps} gradient steps, "
            f"{record.cpu_seconds / 60:.1f} CPU minutes."
        )
    draw_chart(chart or folder / CHART_FILE, trainings, results)


def _build_player_table(results: Sequence[PlayerResult]) -> Table:
    return build_table("Players, each task played once", TABLE_COLUMNS, map(_format_row, results))


def _format_row(result: PlayerResult) -> Sequence[str]:
    return (
        TASK_SET_LABELS[result.task_set],
        PLAYER_LABELS[result.player],
        str(result.task_count),
        f"{result.exact.mean:.3f}" if result.exact else "",
        _format_interval(result.exact),
        f"{result.graded:.3f}",
        f"{result.key_f1:.3f}",
        f"{result.submitted:.2f}",
        f"{result.tokens:.0f}",
    )


def _build_difference_table(differences: Sequence[Difference]) -> Table:
    rows = [
        (
            _describe_comparison(difference.comparison),
            str(difference.task_count),
            f"{difference.exact.mean:+.3f}",
            _format_interval(difference.exact, sign="+"),
            f"{difference.changed:.2f}",
        )
        for difference in differences
    ]
    return build_table("Paired differences by task", DIFFERENCE_COLUMNS, rows)


def _describe_comparison(comparison: Comparison) -> str:
    text = f"{PLAYER_LABELS[comparison.player]} − {PLAYER_LABELS[comparison.baseline]}"
    if comparison.player is comparison.baseline:
        text = f"{PLAYER_LABELS[comparison.player]}: {TASK_SET_LABELS[comparison.task_set]}"
    elif comparison.task_set is not comparison.baseline_task_set or comparison.task_set != "test":
        text += f" ({TASK_SET_LABELS[comparison.task_set]})"
    return f"{text} (primary)" if comparison.is_primary else text


def _format_interval(interval: MeanInterval | None, sign: str = "") -> str:
    if interval is None:
        return ""
    return f"[{interval.ci_low:{sign}.3f}, {interval.ci_high:{sign}.3f}]"


if __name__ == "__main__":
    app()
