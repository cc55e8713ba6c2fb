"""`metric-tracker compare`: players side by side, as a table and as a page to share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from openenv_kit.cli.common import EnvironmentOption, build_table
from openenv_kit.environment import get_environment
from openenv_kit.results.signal import ROLLOUTS_PER_GROUP

if TYPE_CHECKING:
    from openenv_kit.results.comparison_page import Comparison
    from openenv_kit.results.statistics import PlayerSummary

TABLE_WIDTH = 180
"""Columns of the tables: a player has fifteen figures."""
GroupSizeOption = Annotated[int, typer.Option(min=2, help="Plays of a group, for the signal.")]


def compare(
    results: Annotated[
        list[str],
        typer.Argument(
            help="Results of inference.py, recordings, or folders of recordings; NAME=PATH shows "
            "the player under that name."
        ),
    ],
    environment: EnvironmentOption = None,
    split: Annotated[
        str, typer.Option(help="Only plays of this split; 'named tasks' for the named ones.")
    ] = "",
    page: Annotated[Path | None, typer.Option(help="Write a self-contained HTML page.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
    group: GroupSizeOption = ROLLOUTS_PER_GROUP,
) -> None:
    """Compare players on the same tasks: means with intervals, pass rates, cost, differences."""
    from openenv_kit.results.comparison_page import compare_players, write_comparison_page
    from openenv_kit.results.scored_episodes import read_player_results, select_split

    chosen = get_environment(environment)
    files = [parse_named_path(each) for each in results]
    players, of = select_split(read_player_results(files, chosen), split)
    comparison = compare_players(players, of, chosen, group)
    console = Console(width=TABLE_WIDTH)
    console.print(summary_table(f"{comparison.title}, {comparison.split}", comparison.summaries))
    names = [each.name for each in comparison.summaries]
    for kind, groups in comparison.summaries_by_label.items():
        rows = [
            [name, *("-" if one is None else _format_mean(one) for one in each)]
            for name, each in groups.items()
        ]
        console.print(build_table(f"Mean score by {kind}", [kind, *names], rows))
    if comparison.paired:
        rows = [
            [
                each.first,
                each.second,
                str(each.task_count),
                "-" if each.mean_difference is None else f"{each.mean_difference:+.4f}",
                "-" if each.interval is None else "{:+.4f} to {:+.4f}".format(*each.interval),
            ]
            for each in comparison.paired
        ]
        titles = ["first", "second", "episodes", "first - second", "95 % interval"]
        console.print(build_table("Same episodes", titles, rows, text_column_count=2))
    if page is not None:
        write_comparison_page(comparison, page)
        console.print(f"Page: {page}")
    if out is not None:
        out.write_text(
            json.dumps(_comparison_as_dict(comparison), indent=1) + "\n", encoding="utf-8"
        )


def parse_named_path(argument: str) -> tuple[str, Path]:
    """Name and path of an argument; the name is empty where there is none."""
    name, found, rest = argument.partition("=")
    path = Path(rest if found and not Path(argument).exists() else argument)
    if not path.exists():
        raise typer.BadParameter(f"{str(path)!r} does not exist")
    return (name if path != Path(argument) else ""), path


def summary_table(
    title: str, summaries: Sequence[PlayerSummary], row_labels: Sequence[str] = ()
) -> Table:
    """What players came to, a line each; `labels` fill a second column, if there are any."""
    passes = ["pass@1" if k == 1 else f"pass^{k}" for k, _ in summaries[0].pass_rates]
    titles = ["player", "mean score", "± s.e.", "95 % interval", *passes, "signal", "grounded"]
    rows = [
        [
            escape(each.name),
            "-" if each.mean is None else f"{each.mean:.4f}",
            "-" if each.standard_error is None else f"{each.standard_error:.4f}",
            "-" if each.interval is None else "{:.3f} to {:.3f}".format(*each.interval),
            *("-" if value is None else f"{value:.3f}" for _, value in each.pass_rates),
            *(
                "-" if value is None else f"{value:.3f}"
                for value in (each.signal, each.evidence_share)
            ),
            *(str(n) for n in (each.task_count, each.rollout_count, each.error_count)),
            "-" if each.tool_calls is None else f"{each.tool_calls:.1f}",
            "-" if each.tokens is None else f"{each.tokens:,.0f}",
            "-" if each.cost_usd is None else f"{each.cost_usd:.4f}",
            "-" if each.seconds is None else f"{each.seconds:.2f}",
        ]
        for each in summaries
    ]
    titles += ["episodes", "plays", "errors", "calls", "tokens", "cost, $", "seconds"]
    if not row_labels:
        return build_table(title, titles, rows)
    labelled = [[name, label, *rest] for (name, *rest), label in zip(rows, row_labels, strict=True)]
    table = build_table(title, [titles[0], "plays are", *titles[1:]], labelled, text_column_count=2)
    table.columns[0].overflow, table.columns[1].no_wrap = "fold", True
    return table


def _format_mean(summary: PlayerSummary) -> str:
    errors = f", {summary.error_count} errors" if summary.error_count else ""
    around = "" if summary.standard_error is None else f" ± {summary.standard_error:.4f}"
    mean = "-" if summary.mean is None else f"{summary.mean:.4f}"
    return f"{mean}{around} ({summary.task_count}{errors})"


def _comparison_as_dict(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as JSON, without its rollouts, under the keys of the file format."""
    document: dict[str, Any] = _to_file_json(replace(comparison, players=()))
    document["players"] = document.pop("summaries")
    return document


FILE_KEYS = {
    "rollout_count": "plays",
    "error_count": "errors",
    "standard_error": "error",
    "pass_rates": "passes",
    "task_count": "tasks",
    "mean_difference": "mean",
    "evidence_share": "grounded",
    "cost_usd": "cost",
    "summaries_by_label": "groups",
    "group_size": "group",
}
"""Names of fields in the JSON of `--out`, where they differ from those in the code."""


def _to_file_json(value: Any) -> Any:
    """Return dataclasses as dictionaries under `FILE_KEYS`; keys of dictionaries are data."""
    if is_dataclass(value):
        return {
            FILE_KEYS.get(field.name, field.name): _to_file_json(getattr(value, field.name))
            for field in fields(value)
        }
    if isinstance(value, dict):
        return {key: _to_file_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_to_file_json(each) for each in value]
    return value
