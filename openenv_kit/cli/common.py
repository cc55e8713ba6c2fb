"""What the commands share: the environment they are about, mistakes, and tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Annotated

import typer
from rich.table import Table

from openenv_kit.environment import DEFAULT_ENVIRONMENT
from openenv_kit.errors import ConfigurationError
from openenv_kit.variables import ENVIRONMENT_VARIABLE

EnvironmentOption = Annotated[
    str | None,
    typer.Option(
        "--environment",
        help=f"Which environment; default: {ENVIRONMENT_VARIABLE}, or {DEFAULT_ENVIRONMENT}.",
    ),
]
LevelOption = Annotated[str | None, typer.Option(help="Only tasks of this level.")]
ResetOption = Annotated[
    list[str] | None,
    typer.Option(help="A further argument of every reset, as NAME=VALUE; may be repeated."),
]
WorkersOption = Annotated[int, typer.Option(min=0, help="Processes; 0 for one per core.")]


@contextmanager
def report_usage_errors() -> Iterator[None]:
    """Turn what is wrong with an option into a usage error: exit code 2, one message."""
    try:
        yield
    except BrokenPipeError:  # of whoever reads the output
        raise
    except (ConfigurationError, OSError) as problem:
        raise typer.BadParameter(str(problem)) from None


def is_package_installed(package: str, needed_for: str = "") -> bool:
    """Whether a package is installed; a usage error where something needs it and it is not."""
    found = find_spec(package) is not None
    if needed_for and not found:
        raise typer.BadParameter(
            f"{needed_for} needs {package}, which is not installed: uv pip install {package}"
        )
    return found


def build_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, text_column_count: int = 1
) -> Table:
    """A table whose first `names` columns are text, and the others numbers."""
    table = Table(title=title)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < text_column_count else "right")
    for row in rows:
        table.add_row(*row)
    return table
