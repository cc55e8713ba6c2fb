"""What the commands for a user's table print: titled lines and refusals."""

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
from openenv_kit.own_data.cleaned_table import WHAT_FITS, CleanedTable
from openenv_kit.own_data.stage_counts import DayStatus, StageCounts
from openenv_kit.own_data.support import SummaryLine

TITLE_WIDTH = 12
MIN_WIDTH, MAX_WIDTH = 60, 110


class TableExitCode(IntEnum):
    """Exit codes of the commands for a user's table."""

    DONE = 0
    REFUSED = 2
    NEEDS_ATTENTION = 3
    """An import has no level that is on, or a table no longer fits its product."""


@contextmanager
def report_refusals() -> Iterator[None]:
    """Print what fits and why a table was refused, and exit with code 2.

    A configuration error is a refusal too, because it says that the table cannot be used.

    Raises:
        typer.Exit: the table or an option was refused.
    """
    try:
        yield
    except BrokenPipeError:  # A closed output pipe is no refusal.
        raise
    except (KitError, OSError, ModuleNotFoundError) as problem:
        typer.echo(f"{WHAT_FITS}\n{problem}", err=True)
        raise typer.Exit(TableExitCode.REFUSED) from None


def is_person_present() -> bool:
    """Return whether standard input is a terminal, so that a question can be answered."""
    return sys.stdin.isatty()


def print_lines(lines: Iterable[SummaryLine]) -> None:
    """Print lines with their titles in a column of their own; long texts are wrapped."""
    columns = shutil.get_terminal_size((MAX_WIDTH, 24)).columns
    width = min(MAX_WIDTH, max(MIN_WIDTH, columns))
    for title, text in lines:
        wrapped = textwrap.wrap(
            text,
            width,
            initial_indent=title.ljust(TITLE_WIDTH),
            subsequent_indent=" " * TITLE_WIDTH,
            break_long_words=False,
            break_on_hyphens=False,
        )
        typer.echo("\n".join(wrapped or [title]))


def print_table_description(table: CleanedTable) -> None:
    """Print what was read, the stages, what cleaning did, and warnings."""
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
    """Return the medians of the first count by day, and of each step rate."""
    is_counted = [status == DayStatus.COUNTED for status in counts.day_status]
    totals = counts.daily_counts[is_counted].tolist()
    parts = [f"{counts.stages[0]} {median(day[0] for day in totals):,.0f} a day"]
    for stage in range(1, len(counts.stages)):
        rate = median(day[stage] / day[stage - 1] if day[stage - 1] else 0.0 for day in totals)
        parts.append(f"{counts.stages[stage]} {100.0 * rate:.1f} %")
    return " → ".join(parts)
