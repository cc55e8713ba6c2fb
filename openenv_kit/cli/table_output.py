"""Prints titled lines and error messages of the commands for a user's table."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from statistics import median

import typer

from openenv_kit.errors import KitError
from openenv_kit.own_data.cleaned_table import CleanedTable
from openenv_kit.own_data.stage_counts import DayStatus, StageCounts
from openenv_kit.own_data.support import SummaryLine

MIN_TITLE_WIDTH = 12
MIN_WIDTH, MAX_WIDTH = 60, 110


class TableExitCode(IntEnum):
    """Exit codes of the commands for a user's table."""

    DONE = 0
    REFUSED = 2
    NEEDS_ATTENTION = 3
    """No level can be played, a table no longer fits its product, or no report was submitted."""


@contextmanager
def report_refusals(first_line: str = "") -> Iterator[None]:
    """If a table or an option is rejected, print the error without a traceback and exit with 2.

    Args:
        first_line: line to print before the error.

    Raises:
        typer.Exit: the table or an option was rejected.
    """
    try:
        yield
    except BrokenPipeError:  # A closed output pipe is not a problem with the table.
        raise
    except (KitError, OSError, ModuleNotFoundError) as problem:
        if first_line:
            typer.echo(first_line, err=True)
        typer.echo(str(problem), err=True)
        raise typer.Exit(TableExitCode.REFUSED) from None


def is_person_present() -> bool:
    """Return whether standard input is a terminal, so that a user can answer questions."""
    return sys.stdin.isatty()


def print_lines(lines: Iterable[SummaryLine]) -> None:
    """Print lines with their titles in a separate column. Long texts are wrapped."""
    printed = list(lines)
    columns = shutil.get_terminal_size((MAX_WIDTH, 24)).columns
    width = min(MAX_WIDTH, max(MIN_WIDTH, columns))
    title_width = max([MIN_TITLE_WIDTH, *(len(line.title) + 2 for line in printed)])
    for title, text in printed:
        wrapped = textwrap.wrap(
            text,
            width,
            initial_indent=title.ljust(title_width),
            subsequent_indent=" " * title_width,
            break_long_words=False,
            break_on_hyphens=False,
        )
        typer.echo("\n".join(wrapped or [title]))


def print_table_description(table: CleanedTable) -> None:
    """Print the format of a table, its stages, the changes made while cleaning, and warnings."""
    counts = table.stage_counts
    print_lines(
        [
            SummaryLine("Read", f"{table.description}; {counts.days} days from {counts.start}"),
            *(SummaryLine("Note", note) for note in table.description.notes),
            SummaryLine("Stages", describe_stages(counts)),
            *(
                SummaryLine("Renamed", f"{old} → {new}")
                for new, old in table.renamed_stages.items()
            ),
            *(SummaryLine("Cleaned", action) for action in table.actions),
            *(SummaryLine("Warning", warning) for warning in table.warnings),
        ]
    )


def describe_stages(counts: StageCounts) -> str:
    """Return a text with the first stage's daily median and the rates from stage to stage."""
    is_counted = [status == DayStatus.COUNTED for status in counts.day_status]
    by_day = counts.daily_counts[is_counted]
    sums = by_day.sum(axis=0).tolist()
    parts = [f"{counts.stages[0]} median {median(by_day[:, 0].tolist()):,.0f} a day"]
    for stage in range(1, len(counts.stages)):
        rate = sums[stage] / sums[stage - 1] if sums[stage - 1] else 0.0
        parts.append(f"{counts.stages[stage]} {100.0 * rate:.1f} %")
    return " → ".join(parts)
