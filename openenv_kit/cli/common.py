"""Options, exit codes, usage errors and tables that the commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Generic, TypeVar

import typer
from rich.table import Table

from openenv_kit.environment import DEFAULT_ENVIRONMENT
from openenv_kit.errors import ConfigurationError
from openenv_kit.variables import ENVIRONMENT_VARIABLE

RowT = TypeVar("RowT")

EnvironmentOption = Annotated[
    str | None,
    typer.Option(
        "--environment",
        help=f"Name of the environment; default: {ENVIRONMENT_VARIABLE}, or {DEFAULT_ENVIRONMENT}.",
    ),
]
LevelOption = Annotated[str | None, typer.Option(help="Only tasks of this level.")]
ResetOption = Annotated[
    list[str] | None,
    typer.Option(help="Extra argument of every reset, as NAME=VALUE; may be repeated."),
]
ProductOption = Annotated[
    Path | None,
    typer.Option(
        help="Product file of your own table, made by `import`; its episodes are played.",
        exists=True,
        dir_okay=False,
    ),
]
WorkersOption = Annotated[int, typer.Option(min=0, help="Worker processes; 0 for one per core.")]


class ExitCode(IntEnum):
    """Exit codes of the commands. Click uses 2 for a usage error."""

    SUCCESS = 0
    CHECK_FAILED = 1


@contextmanager
def report_usage_errors() -> Iterator[None]:
    """Convert configuration and file errors into usage errors, which exit with code 2."""
    try:
        yield
    except BrokenPipeError:  # A closed output pipe is not a usage error.
        raise
    except (ConfigurationError, OSError) as problem:
        raise typer.BadParameter(str(problem)) from None


def exit_with_result(*, has_failed: bool) -> None:
    """Exit with the exit code for success or failure.

    Raises:
        typer.Exit: always.
    """
    raise typer.Exit(ExitCode.CHECK_FAILED if has_failed else ExitCode.SUCCESS)


def is_package_installed(package: str) -> bool:
    """Return whether a package can be imported."""
    return find_spec(package) is not None


def require_installed(package: str, needed_for: str) -> None:
    """Raise a usage error if a package is not installed.

    Args:
        package: import name of the package.
        needed_for: option or feature that needs the package, such as "--to parquet".

    Raises:
        typer.BadParameter: the package is not installed. The message contains the install command.
    """
    if not is_package_installed(package):
        raise typer.BadParameter(
            f"{needed_for} needs {package}, which is not installed: uv pip install {package}"
        )


@dataclass(frozen=True)
class Column(Generic[RowT]):
    """A column of a printed table.

    Attributes:
        title: heading of the column.
        format_cell: returns the text of a cell, given the item of the row.
        is_text: whether the column contains text and is left-aligned instead of right-aligned.
    """

    title: str
    format_cell: Callable[[RowT], str]
    is_text: bool = False


def build_item_table(title: str, columns: Sequence[Column[RowT]], items: Iterable[RowT]) -> Table:
    """Build a table with a row for each item."""
    table = Table(title=title)
    for column in columns:
        table.add_column(column.title, justify="left" if column.is_text else "right")
    for item in items:
        table.add_row(*(column.format_cell(item) for column in columns))
    return table


def build_table(
    title: str, titles: Sequence[str], rows: Iterable[Sequence[str]], *, text_column_count: int = 1
) -> Table:
    """Build a table of formatted cells.

    Args:
        title: heading of the table.
        titles: headings of the columns.
        rows: for each row, one cell per column.
        text_column_count: number of left-aligned columns at the start; the others are
            right-aligned.
    """
    table = Table(title=title)
    for number, column_title in enumerate(titles):
        table.add_column(column_title, justify="left" if number < text_column_count else "right")
    for row in rows:
        table.add_row(*row)
    return table


def format_optional(value: float | None, format_spec: str) -> str:
    """Return a number formatted by a format specification, or "-" for None."""
    return "-" if value is None else format(value, format_spec)
