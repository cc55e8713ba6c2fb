"""What the commands share: the environment they are about, mistakes, and tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Annotated

import typer
from rich.table import Table

from openenv_kit.environment import DEFAULT, VARIABLE, Environment, get_environment
from openenv_kit.errors import ConfigurationError

EnvironmentName = Annotated[
    str | None,
    typer.Option("--environment", help=f"Which environment; default: {VARIABLE}, or {DEFAULT}."),
]
Workers = Annotated[int, typer.Option(min=0, help="Processes; 0 for one per core.")]


@contextmanager
def mistakes_told() -> Iterator[None]:
    """Turn what is wrong with an option into a usage error: exit code 2, one message."""
    try:
        yield
    except (ConfigurationError, OSError) as problem:
        raise typer.BadParameter(str(problem)) from None


def chosen_environment(name: str | None) -> Environment:
    """The environment of that name; a usage error where there is none."""
    with mistakes_told():
        return get_environment(name)


def installed(package: str, needed_for: str = "") -> bool:
    """Whether a package is installed; a usage error where something needs it and it is not."""
    found = find_spec(package) is not None
    if needed_for and not found:
        raise typer.BadParameter(
            f"{needed_for} needs {package}, which is not installed: uv pip install {package}"
        )
    return found


def require_extra(extra: str, packages: Sequence[str]) -> None:
    """A usage error that names all packages of an extra that are not installed, and the extra."""
    if missing := [package for package in packages if not installed(package)]:
        raise typer.BadParameter(
            f"{extra} needs what is not installed: {', '.join(missing)}; "
            f"pip install 'openenv-metric-tracker-rl[{extra}]'"
        )


def table_of(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, names: int = 1
) -> Table:
    """A table whose first `names` columns are text, and the others numbers."""
    table = Table(title=title)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < names else "right")
    for row in rows:
        table.add_row(*row)
    return table
