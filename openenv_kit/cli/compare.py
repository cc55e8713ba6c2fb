"""`metric-tracker compare`: players side by side, as a table and as a page to share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from openenv_kit.cli.common import EnvironmentName, table_of
from openenv_kit.environment import get_environment
from openenv_kit.results.signal import GROUP

if TYPE_CHECKING:
    from openenv_kit.results.comparison_page import Comparison
    from openenv_kit.results.statistics import Summary

WIDTH = 180
"""Columns of the tables: a player has fifteen figures."""
Group = Annotated[int, typer.Option(min=2, help="Plays of a group, for the signal.")]


def compare(
    results: Annotated[
        list[str],
        typer.Argument(
            help="Results of inference.py, recordings, or folders of recordings; NAME=PATH shows "
            "the player under that name."
        ),
    ],
    environment: EnvironmentName = None,
    split: Annotated[
        str, typer.Option(help="Only plays of this split; 'named tasks' for the named ones.")
    ] = "",
    page: Annotated[Path | None, typer.Option(help="Write a self-contained HTML page.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
    group: Group = GROUP,
) -> None:
    """Compare players on the same tasks: means with intervals, pass rates, cost, differences."""
    from openenv_kit.results.comparison_page import compared, write_page
    from openenv_kit.results.scored_episodes import of_one_split, read_players

    chosen = get_environment(environment)
    files = [named_file(each) for each in results]
    players, of = of_one_split(read_players(files, chosen), split)
    comparison = compared(players, of, chosen, group)
    console = Console(width=WIDTH)
    console.print(summary_table(f"{comparison.title}, {comparison.split}", comparison.summaries))
    names = [each.name for each in comparison.summaries]
    for kind, groups in comparison.groups.items():
        rows = [
            [name, *("-" if one is None else _mean(one) for one in each)]
            for name, each in groups.items()
        ]
        console.print(table_of(f"Mean score by {kind}", [kind, *names], rows))
    if comparison.paired:
        rows = [
            [
                each.first,
                each.second,
                str(each.tasks),
                "-" if each.mean is None else f"{each.mean:+.4f}",
                "-" if each.interval is None else "{:+.4f} to {:+.4f}".format(*each.interval),
            ]
            for each in comparison.paired
        ]
        titles = ["first", "second", "episodes", "first - second", "95 % interval"]
        console.print(table_of("Same episodes", titles, rows, names=2))
    if page is not None:
        write_page(comparison, page)
        console.print(f"Page: {page}")
    if out is not None:
        out.write_text(json.dumps(_as_dict(comparison), indent=1) + "\n", encoding="utf-8")


def named_file(given: str) -> tuple[str, Path]:
    """Name and path of an argument; the name is empty where there is none."""
    name, found, rest = given.partition("=")
    path = Path(rest if found and not Path(given).exists() else given)
    if not path.exists():
        raise typer.BadParameter(f"{str(path)!r} does not exist")
    return (name if path != Path(given) else ""), path


def summary_table(title: str, summaries: Sequence[Summary], labels: Sequence[str] = ()) -> Table:
    """What players came to, a line each; `labels` fill a second column, if there are any."""
    passes = ["pass@1" if k == 1 else f"pass^{k}" for k, _ in summaries[0].passes]
    titles = ["player", "mean score", "± s.e.", "95 % interval", *passes, "signal", "grounded"]
    rows = [
        [
            escape(each.name),
            "-" if each.mean is None else f"{each.mean:.4f}",
            "-" if each.error is None else f"{each.error:.4f}",
            "-" if each.interval is None else "{:.3f} to {:.3f}".format(*each.interval),
            *("-" if value is None else f"{value:.3f}" for _, value in each.passes),
            *("-" if value is None else f"{value:.3f}" for value in (each.signal, each.grounded)),
            *(str(n) for n in (each.tasks, each.plays, each.errors)),
            "-" if each.tool_calls is None else f"{each.tool_calls:.1f}",
            "-" if each.tokens is None else f"{each.tokens:,.0f}",
            "-" if each.cost is None else f"{each.cost:.4f}",
            "-" if each.seconds is None else f"{each.seconds:.2f}",
        ]
        for each in summaries
    ]
    titles += ["episodes", "plays", "errors", "calls", "tokens", "cost, $", "seconds"]
    if not labels:
        return table_of(title, titles, rows)
    labelled = [[name, label, *rest] for (name, *rest), label in zip(rows, labels, strict=True)]
    table = table_of(title, [titles[0], "plays are", *titles[1:]], labelled, names=2)
    table.columns[0].overflow, table.columns[1].no_wrap = "fold", True
    return table


def _mean(one: Summary) -> str:
    errors = f", {one.errors} errors" if one.errors else ""
    around = "" if one.error is None else f" ± {one.error:.4f}"
    return f"{'-' if one.mean is None else format(one.mean, '.4f')}{around} ({one.tasks}{errors})"


def _as_dict(comparison: Comparison) -> dict[str, Any]:
    """JSON-ready, without the plays."""
    found = asdict(replace(comparison, players=()))
    return found | {"players": found.pop("summaries")}
