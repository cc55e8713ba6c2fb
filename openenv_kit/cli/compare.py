"""`metric-tracker compare`: prints a comparison of players, and writes it as HTML or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from openenv_kit.cli.common import (
    Column,
    EnvironmentOption,
    ProductOption,
    build_item_table,
    build_table,
    format_optional,
)
from openenv_kit.environment import get_environment
from openenv_kit.own_data.product_argument import get_product_reset_arguments
from openenv_kit.results.signal import ROLLOUTS_PER_GROUP

if TYPE_CHECKING:
    from openenv_kit.results.comparison_page import Comparison
    from openenv_kit.results.player_summary import PlayerDifference, PlayerSummary
    from openenv_kit.results.scored_episodes import NamedPath
    from openenv_kit.results.statistics import MeanInterval

TABLE_WIDTH = 180
"""Width of the tables, in characters; the summary table has sixteen columns."""
GroupSizeOption = Annotated[
    int, typer.Option(min=2, help="Rollouts in a group, for the signal; at least 2.")
]


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
        str,
        typer.Option(help="Only rollouts of this split; 'named tasks' for those without a split."),
    ] = "",
    page: Annotated[
        Path | None, typer.Option(help="Write a self-contained page to this HTML file.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the figures to this JSON file.")] = None,
    group: GroupSizeOption = ROLLOUTS_PER_GROUP,
    product: ProductOption = None,
) -> None:
    """Compare the scores, pass rates and costs of players on the same tasks."""
    from openenv_kit.results.comparison_page import compare_players, write_comparison_page
    from openenv_kit.results.scored_episodes import (
        read_and_merge_player_results,
        select_rollouts_of_split,
    )

    environment_object = get_environment(environment)
    get_product_reset_arguments(environment_object, product)
    files = [parse_named_path(argument) for argument in results]
    selection = select_rollouts_of_split(
        read_and_merge_player_results(files, environment_object), split
    )
    comparison = compare_players(selection.players, selection.split, environment_object, group)
    console = Console(width=TABLE_WIDTH)
    console.print(
        build_summary_table(f"{comparison.title}, {comparison.split}", comparison.summaries)
    )
    for table in _build_mean_score_table_per_label_kind(comparison):
        console.print(table)
    if comparison.paired:
        console.print(_build_difference_table(comparison.paired))
    if page is not None:
        write_comparison_page(comparison, page)
        console.print(f"Page: {page}")
    if out is not None:
        text = json.dumps(_comparison_as_dict(comparison), indent=1)
        out.write_text(f"{text}\n", encoding="utf-8")


def parse_named_path(argument: str) -> NamedPath:
    """Parse an argument of the form NAME=PATH or PATH.

    Raises:
        typer.BadParameter: the path does not exist.
    """
    from openenv_kit.results.scored_episodes import NamedPath

    name, separator, rest = argument.partition("=")
    # The "=" may be part of an existing path.
    if separator and not Path(argument).exists():
        named_path = NamedPath(name, Path(rest))
    else:
        named_path = NamedPath("", Path(argument))
    if not named_path.path.exists():
        raise typer.BadParameter(f"{str(named_path.path)!r} does not exist")
    return named_path


def build_summary_table(title: str, summaries: Sequence[PlayerSummary]) -> Table:
    """Build a table with one row for each player's scores, pass rates and costs."""
    return build_item_table(title, build_summary_columns(summaries), summaries)


def build_summary_columns(summaries: Sequence[PlayerSummary]) -> list[Column[PlayerSummary]]:
    """Build the columns of a player table. All summaries must have pass rates for the same k."""
    pass_columns = [
        _build_pass_rate_column(position, rate.k)
        for position, rate in enumerate(summaries[0].pass_rates)
    ]
    return [
        Column("player", lambda summary: escape(summary.name), is_text=True),
        Column("mean score", lambda summary: format_optional(summary.mean, ".4f")),
        Column("± s.e.", lambda summary: format_optional(summary.standard_error, ".4f")),
        Column("95 % interval", lambda summary: _format_interval(summary.interval, ".3f")),
        *pass_columns,
        Column("signal", lambda summary: format_optional(summary.signal, ".3f")),
        Column("evidence", lambda summary: format_optional(summary.evidence_share, ".3f")),
        Column("episodes", lambda summary: str(summary.task_count)),
        Column("rollouts", lambda summary: str(summary.rollout_count)),
        Column("errors", lambda summary: str(summary.error_count)),
        Column("calls", lambda summary: format_optional(summary.tool_calls, ".1f")),
        Column("tokens", lambda summary: format_optional(summary.tokens, ",.0f")),
        Column("cost, $", lambda summary: format_optional(summary.cost_usd, ".4f")),
        Column("seconds", lambda summary: format_optional(summary.seconds, ".2f")),
    ]


def _build_pass_rate_column(position: int, k: int) -> Column[PlayerSummary]:
    return Column(
        "pass@1" if k == 1 else f"pass^{k}",
        lambda summary: format_optional(summary.pass_rates[position].probability, ".3f"),
    )


def _build_mean_score_table_per_label_kind(comparison: Comparison) -> list[Table]:
    """Build a table of mean scores for each kind of label, such as the level."""
    names = [summary.name for summary in comparison.summaries]
    tables = []
    for kind, summaries_by_name in comparison.summaries_by_label.items():
        rows = [
            [
                name,
                *(
                    "-" if summary is None else _format_mean_with_error_and_counts(summary)
                    for summary in summaries
                ),
            ]
            for name, summaries in summaries_by_name.items()
        ]
        tables.append(build_table(f"Mean score by {kind}", [kind, *names], rows))
    return tables


def _build_difference_table(differences: Sequence[PlayerDifference]) -> Table:
    columns: list[Column[PlayerDifference]] = [
        Column("first", lambda pair: pair.first, is_text=True),
        Column("second", lambda pair: pair.second, is_text=True),
        Column("episodes", lambda pair: str(pair.task_count)),
        Column("first - second", lambda pair: format_optional(pair.mean_difference, "+.4f")),
        Column("95 % interval", lambda pair: _format_interval(pair.interval, "+.4f")),
    ]
    return build_item_table("Differences on common episodes", columns, differences)


def _format_interval(interval: MeanInterval | None, format_spec: str) -> str:
    if interval is None:
        return "-"
    return f"{interval.ci_low:{format_spec}} to {interval.ci_high:{format_spec}}"


def _format_mean_with_error_and_counts(summary: PlayerSummary) -> str:
    mean = format_optional(summary.mean, ".4f")
    if summary.standard_error is not None:
        mean += f" ± {summary.standard_error:.4f}"
    errors = f", {summary.error_count} errors" if summary.error_count else ""
    return f"{mean} ({summary.task_count}{errors})"


def _comparison_as_dict(comparison: Comparison) -> dict[str, Any]:
    """Convert a comparison to the JSON document that `--out` writes."""
    return {
        "title": comparison.title,
        "split": comparison.split,
        "versions": dict(comparison.versions),
        "players": [_summary_as_dict(summary) for summary in comparison.summaries],
        "groups": {
            kind: {
                name: [summary and _summary_as_dict(summary) for summary in summaries]
                for name, summaries in summaries_by_name.items()
            }
            for kind, summaries_by_name in comparison.summaries_by_label.items()
        },
        "paired": [_difference_as_dict(difference) for difference in comparison.paired],
        "group": comparison.group_size,
    }


def _summary_as_dict(summary: PlayerSummary) -> dict[str, Any]:
    return {
        "name": summary.name,
        "plays": summary.rollout_count,
        "errors": summary.error_count,
        "tasks": summary.task_count,
        "mean": summary.mean,
        "error": summary.standard_error,
        "interval": _interval_as_list(summary.interval),
        "passes": [[rate.k, rate.probability] for rate in summary.pass_rates],
        "signal": summary.signal,
        "grounded": summary.evidence_share,
        "tool_calls": summary.tool_calls,
        "tokens": summary.tokens,
        "cost": summary.cost_usd,
        "seconds": summary.seconds,
    }


def _difference_as_dict(difference: PlayerDifference) -> dict[str, Any]:
    return {
        "first": difference.first,
        "second": difference.second,
        "tasks": difference.task_count,
        "mean": difference.mean_difference,
        "interval": _interval_as_list(difference.interval),
    }


def _interval_as_list(interval: MeanInterval | None) -> list[float] | None:
    return None if interval is None else [interval.ci_low, interval.ci_high]
